"""The board's own program on a real MicroPython, on this machine, behind a pseudo-terminal.

Its pins are a thin shim that the checkout's tests hold; its watchdog's scratch registers are a
file, so that a kill is to it what a reset by the watchdog is to a board. Units: seconds.
"""

import os
import pty
import select
import subprocess
import sys
import tempfile
import threading
import tty
from pathlib import Path
from typing import Self

from workbench.device import deploy
from workbench.device.clock import RealTime
from workbench.device.link import LinkLostError
from workbench.errors import DeviceError

SHIM = Path(__file__).parents[2] / "tests" / "pico" / "shim"
HEAP = "48wK"  # as many words as 48 KB have on a board, whose words have 4 bytes
_READ_BYTES = 65_536
_WRITE_SECONDS = 0.5


class HandleLink:
    """A link over an open file handle, as the host's end of a pseudo-terminal is."""

    def __init__(self, handle: int, name: str) -> None:
        """Take a handle; closing the link leaves it open."""
        self.name = name
        self._handle = handle
        self._time = RealTime()
        self._writing = threading.Lock()

    def now(self) -> float:
        """Return the machine's time, seconds."""
        return self._time.now()

    def read(self, seconds: float) -> bytes:
        """Return what has come, waiting at most so long for the first byte.

        Raises:
            LinkLostError: The other end is gone.
        """
        try:
            ready, _, _ = select.select([self._handle], [], [], max(0.0, seconds))
            return os.read(self._handle, _READ_BYTES) if ready else b""
        except (OSError, ValueError) as error:
            raise LinkLostError(f"{self.name}: was lost ({error})") from error

    def write(self, data: bytes) -> None:
        """Send bytes; what the other end does not take in half a second is lost.

        Raises:
            LinkLostError: The other end is gone.
        """
        try:
            with self._writing:
                while data:
                    if not select.select([], [self._handle], [], _WRITE_SECONDS)[1]:
                        return
                    data = data[os.write(self._handle, data[:512]) :]
        except (OSError, ValueError) as error:
            raise LinkLostError(f"{self.name}: was lost ({error})") from error

    def close(self) -> None:
        """End nothing: the handle is the board's."""


class MicroPythonBoard:
    """A board made of a process; a context manager that ends it.

    Attributes:
        folder: Where its flash, its registers and, if wanted, its trace are.
    """

    def __init__(
        self,
        options: deploy.BoardOptions | None = None,
        *,
        folder: Path | None = None,
        flash: Path | None = None,
        heap: str = HEAP,
        is_traced: bool = False,
    ) -> None:
        """Say what board it is.

        Args:
            options: What its program is configured for.
            folder: Where its files go; a temporary one, if not given.
            flash: Its flash as `deploy.built` wrote it for x64; built anew, if not given.
            heap: As MicroPython's `-X heapsize=` takes it.
            is_traced: Whether all that moves is written to `folder/trace`.
        """
        self._options = options or deploy.BoardOptions()
        self._scratch = tempfile.TemporaryDirectory() if folder is None else None
        self.folder = folder or Path(self._scratch.name if self._scratch else "")
        self._flash = flash
        self._heap, self._is_traced = heap, is_traced
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Build its flash and switch it on.

        Raises:
            DeviceError: There is no MicroPython, no program or no shim on this machine.
        """
        self._micropython = Path(sys.executable).with_name("micropython")
        for needed, what in (
            (self._micropython, "pip install 'workbench[test]'"),
            (SHIM, "a checkout"),
        ):
            if not needed.exists():
                raise DeviceError(f"{needed}: is not there; a board on this machine needs {what}")
        if self._flash is None:
            self._flash = self.folder / "flash"
            deploy.built(self._options, self._flash, march="x64")
        self._host, self._board = pty.openpty()
        tty.setraw(self._board)
        if self._is_traced:
            (self.folder / "trace").touch()
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        """Switch it off."""
        self.kill()
        os.close(self._host)
        os.close(self._board)
        if self._scratch is not None:
            self._scratch.cleanup()

    def link(self) -> HandleLink:
        """Return the way to it; one at a time."""
        return HandleLink(self._host, "micropython")

    def boot(self) -> None:
        """Switch it on."""
        flash = self._flash or Path()
        paths = {"MICROPYPATH": f"{flash / 'lib'}:{SHIM}", "SHIM": str(self.folder)}
        self._process = subprocess.Popen(
            [self._micropython, "-X", f"heapsize={self._heap}", "main.py"],
            cwd=flash,
            env=paths,
            stdin=self._board,
            stdout=self._board,
            stderr=subprocess.DEVNULL,
            process_group=0,  # the terminal's Ctrl-C is for who plays, and he stops the board
        )

    def kill(self) -> None:
        """Take its life in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reboot(self) -> None:
        """Reset it, as its watchdog would."""
        self.kill()
        self.boot()

    def lose_power(self) -> None:
        """Reset it so that it remembers nothing."""
        self.kill()
        (self.folder / "scratch").unlink(missing_ok=True)
        self.boot()
