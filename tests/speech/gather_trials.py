"""What trials of gathering share: gathers that can be killed, hubs that hold, disks that fill.

Units: seconds, bytes.
"""

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from hub_interface import Answer, Request
from hub_server import HubServer
from hub_store import RefusedError

from workbench.demo.speech import SpeechCorpus, SpeechCorpusOptions, make_speech_corpus
from workbench.speech.state import STATE_NAME

SMALL = {
    "streaming_batch_size": 7,
    "upload_batch_size": 20,
    "attempts": 3,
    "retry_wait": 0.05,
    "timeout": 2.0,
}
LONGEST = 60.0  # seconds that any trial may take


def small_corpus(folder: Path) -> SpeechCorpus:
    """Make 120 clips in three files, 5 % of them corrupt."""
    options = SpeechCorpusOptions(clips=120, seconds=0.5, corrupt=0.05, shards=3)
    return make_speech_corpus(folder, options)


@dataclass(slots=True, kw_only=True)
class Running:
    """A gather in a process of its own.

    Attributes:
        pid: Of the process; nobody else's until the next gather begins.
        code: How it ended; None while it runs.
        begun: When, by the monotonic clock.
        says: File with what it says.
    """

    pid: int
    says: Path
    _answers: int
    begun: float
    code: int | None = None

    def ended_within(self, seconds: float) -> int | None:
        """Return how it ended, or None where it has not after so long."""
        if self.code is None and select.select([self._answers], [], [], max(seconds, 0))[0]:
            self.code = _number(self._answers)
        return self.code

    def has_said_anything(self) -> bool:
        """Return whether its work has begun, as it says."""
        return self.says.stat().st_size > 0

    def killed(self, number: int = signal.SIGKILL, seconds: float = LONGEST) -> int:
        """Send it a signal, and return how it ended."""
        os.kill(self.pid, number)
        code = self.ended_within(seconds)
        assert code is not None, f"{self.pid} still runs {seconds} s after signal {number}"
        return code


class Gathers:
    """Begins gathers, one at a time; a context manager.

    Args:
        folder: For what they say.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._count = 0
        self._running: Running | None = None

    def __enter__(self) -> Self:
        script = Path(__file__).with_name("gather_once.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "OPENBLAS_NUM_THREADS": "1",
            },
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(LONGEST)
        self._process.stdout.close()

    def begin(
        self, said: str, to: Path | str, work: Path, hub: HubServer | None = None, **options: object
    ) -> Running:
        """Begin a gather.

        Args:
            said: The source.
            to: The target.
            work: Folder for files on their way.
            hub: Where its clients go.
            options: In place of those of SMALL.
        """
        self._end()
        self._count += 1
        says = self._folder / f"{self._count}.txt"
        says.touch()
        told: dict[str, object] = {"tokens": tokens(said, to, work, **options), "says": str(says)}
        if hub is not None:
            home = str(self._folder / "home")
            told |= {"url": hub.url, "token": hub.token, "home": home}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        begun = time.monotonic()
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        answers = self._process.stdout.fileno()
        self._running = Running(pid=_number(answers), says=says, _answers=answers, begun=begun)
        return self._running

    def finish(
        self, said: str, to: Path | str, work: Path, hub: HubServer | None = None, **options: object
    ) -> float:
        """Run a gather to its end; return its seconds."""
        running = self.begin(said, to, work, hub, **options)
        code = running.ended_within(LONGEST)
        assert code == 0, (code, running.says.read_text())
        return time.monotonic() - running.begun

    def _end(self) -> None:
        if self._running is not None and self._running.code is None:  # a test has failed
            self._running.killed()


def tokens(said: str, to: Path | str, work: Path, **options: object) -> list[str]:
    """Return the command line of a gather; an option that is True is a flag."""
    found = ["speech", "gather", said, "--to", str(to), "--work-dir", str(work)]
    for name, value in {**SMALL, **options}.items():
        flag = "--" + name.replace("_", "-")
        found += [flag] if value is True else [flag, str(value)]
    return found


def _number(answers: int) -> int:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(answers, 1)
        assert piece, "the process that begins gathers is gone"
        line += piece
    return int(line)


class HoldingHub(HubServer):
    """A hub that holds a commit back between its arrival and its being applied, when told so.

    Attributes:
        arrived: Set when a commit is held.
        let_go: Set it, and what is held goes on.
        settled: Set when what was held is applied or refused.
    """

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.arrived, self.let_go, self.settled = (threading.Event() for _ in range(3))
        self._left: int | None = None

    def hold(self, skip: int) -> None:
        """Hold one commit back, after so many others."""
        for event in (self.arrived, self.let_go, self.settled):
            event.clear()
        self._left = skip

    def answer(self, request: Request) -> Answer:
        """Answer as a hub does, in its own time."""
        if self._left is None or request.method != "POST" or "/commit/" not in request.path:
            return super().answer(request)
        self._left -= 1
        if self._left >= 0:
            return super().answer(request)
        self._left = None
        body = b"".join(request.body)
        self.arrived.set()
        self.let_go.wait(LONGEST)
        answer = super().answer(replace(request, body=iter([body])))
        self.settled.set()
        return answer


class Places:
    """Targets by their names: folders, or repositories of a hub.

    Args:
        folder: For the folders, and for files on their way.
        hub: Where the repositories are; None for folders.
    """

    def __init__(self, folder: Path, hub: HubServer | None = None):
        self._folder = folder
        self.hub = hub

    def to(self, name: str) -> str:
        """Return what a command calls a target."""
        return f"hf://{name}/speech" if self.hub else str(self._folder / name / "speech")

    def work(self, name: str) -> Path:
        """Return where files on their way to it are."""
        return self._folder / f"{name}-work"

    def content(self, name: str) -> dict[str, str]:
        """Return the SHA-256 of every file there, hidden ones too; nothing where it is not."""
        if self.hub is None:
            return digests(Path(self.to(name)))
        try:
            return {path: file.sha256 for path, file in self.hub.files(f"{name}/speech").items()}
        except (RefusedError, FileNotFoundError):  # not there, or just being made
            return {}

    def state(self, name: str) -> dict[str, Any]:
        """Return the state there; empty where there is none."""
        if STATE_NAME not in self.content(name):
            return {}
        if self.hub is None:
            return dict(json.loads((Path(self.to(name)) / STATE_NAME).read_bytes()))
        return dict(json.loads(self.hub.read(f"{name}/speech", STATE_NAME)))


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + LONGEST
    while not is_so():
        assert time.monotonic() < end, f"not so in {LONGEST} s: {what}"
        time.sleep(0.002)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, hidden ones too."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


@contextmanager
def filling_disk(folder: Path, size: int, free: int) -> Iterator[Path]:
    """Mount a disk of so many bytes while the block lasts, all taken but so many.

    The file `taken` in it takes them; deleting it makes room.
    """
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a disk here")
    try:
        (folder / "taken").write_bytes(bytes(size - free))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
