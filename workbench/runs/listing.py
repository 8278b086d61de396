"""The runs that lie below outputs/: what each was asked, what came out, and how it is named.

A run is `outputs/NOTEBOOK/RUN/` with a whole manifest, done, or failed as `RUN.failed/`; a `part`
is what a runner is at work on or was killed over (`.RUN.xxxxxxxx.part/`). Folders and manifests
are the truth; `runs.jsonl` only helps with the time of a run. What is none of these is passed
over and told in one line. Units: seconds are wall-clock seconds, times are UTC.
"""

import difflib
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from workbench.caching.fingerprint import fingerprint
from workbench.errors import OptionsError
from workbench.options import did_you_mean
from workbench.runs import journal
from workbench.runs.manifest import FAILED, MANIFEST, read_manifest

State = Literal["done", "failed", "part"]

logger = logging.getLogger(__name__)

_PART = re.compile(r"\.(?P<run>.+)\.[a-z0-9_]{8}\.part(?P<old>\.old)?")
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "notebook": str,
    "run": str,
    "parameters": dict,
    "results": dict,
    "seconds": (int, float),
    "versions": dict,
    "fingerprint": str,
    "sources": str,
    "git": (dict, type(None)),
    "error": (dict, type(None)),
}

Records = Mapping[tuple[str, str, str, str], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One run as its folder tells it.

    Attributes:
        notebook: The notebook's name.
        run: The run's name.
        state: `done`, `failed`, or `part`, of which nothing but its folder is known.
        folder: Where everything lies.
        at: When it came to its end, UTC; of a part, when something was last put into it.
        told: The manifest, its numbers finite; empty of a part.
    """

    notebook: str
    run: str
    state: State
    folder: Path
    at: datetime
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name that no other run has: NOTEBOOK and the folder's name."""
        return f"{self.notebook}/{self.folder.name}"

    @property
    def stem(self) -> str:
        """The stem of the params file that asked for it."""
        return self.run.rpartition("-")[0]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What was asked."""
        return dict(self.told.get("parameters", {}))

    @property
    def results(self) -> Mapping[str, Any]:
        """What it recorded."""
        return dict(self.told.get("results", {}))

    @property
    def code(self) -> str:
        """Stands for the workbench sources that made it, in eight digits; empty of a part."""
        if rooms := self.told.get("rooms"):
            return fingerprint(rooms)[:8]
        return str(self.told.get("sources", ""))[:8]

    @property
    def notebook_path(self) -> Path:
        """Where the executed notebook lies."""
        return self.folder / f"{self.notebook}.ipynb"

    def as_json(self) -> dict[str, Any]:
        """Return what a table says of the run, as JSON's kinds."""
        return {
            "name": self.name,
            "notebook": self.notebook,
            "run": self.run,
            "state": self.state,
            "at": self.at.isoformat(timespec="seconds"),
            "seconds": self.told.get("seconds"),
            "folder": self.folder.as_posix(),
            "parameters": dict(self.parameters),
            "results": dict(self.results),
            "code": self.code,
            "error": self.told.get("error"),
        }

    def whole_json(self) -> dict[str, Any]:
        """Return all that is known of the run, as JSON's kinds."""
        path = self.notebook_path
        return {
            **self.told,
            **self.as_json(),
            "notebook_path": path.as_posix() if path.is_file() else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All runs below a folder.

    Attributes:
        runs: By notebook, then the oldest first.
        notes: A line for each thing there that is no run.
        outputs: The folder.
    """

    runs: tuple[StoredRun, ...] = ()
    notes: tuple[str, ...] = ()
    outputs: Path = Path()

    def of(self, name: str) -> "Listing":
        """Return the runs of one notebook, or those that one of its params files asked for.

        Args:
            name: NOTEBOOK or NOTEBOOK/PARAMS, the params file without its ending.

        Raises:
            OptionsError: There is none.
        """
        notebook, _, stem = name.partition("/")
        books = {run.notebook: None for run in self.runs}
        stems = {f"{run.notebook}/{run.stem}": None for run in self.runs}
        if name not in (stems if stem else books):
            known = list(stems if stem else books)
            near = did_you_mean(name, known) or f"; there are {', '.join(known) or 'none'}"
            raise OptionsError(f"no run of a notebook {name!r}{near}")
        runs = tuple(r for r in self.runs if r.notebook == notebook and stem in ("", r.stem))
        return Listing(runs=runs, notes=self.notes, outputs=self.outputs)

    def find(self, name: str) -> StoredRun:
        """Return the run of a name: its folder, [NOTEBOOK/]RUN, or a beginning no other run has.

        Raises:
            OptionsError: No whole run has that name, or several begin so; the near ones are told.
        """
        whole = [run for run in self.runs if run.state != "part"]
        place = Path(name).resolve()
        ways = (
            [run for run in whole if run.folder.resolve() == place],
            [run for run in whole if name in (run.name, run.folder.name)],
            [run for run in whole if run.name.startswith(name) or run.folder.name.startswith(name)],
        )
        found = next((runs for runs in ways if runs), [])
        if len(found) == 1:
            return found[0]
        if found:
            raise OptionsError(
                f"{name!r} may be {_several([run.name for run in found])}; write more of it"
            )
        names = {key: run.name for run in whole for key in (run.name, run.folder.name)}
        near = dict.fromkeys(names[key] for key in difflib.get_close_matches(name, names, n=3))
        told = f"near it are {', '.join(near)}" if near else "`workbench runs ls` lists all"
        raise OptionsError(f"no run is named {name!r}; {told}")


def stored_runs(outputs: Path) -> Listing:
    """Return all runs below a folder; there are none where it is not."""
    runs: list[StoredRun] = []
    notes: list[str] = []
    records = ended_at(outputs)
    for notebook in _children(outputs, notes):
        if notebook.name == journal.JOURNAL or notebook.name.startswith("."):
            continue
        if not notebook.is_dir():
            notes.append(f"{notebook}: is no folder of a notebook's runs, left out")
            continue
        for folder in _children(notebook, notes):
            found = read_run(folder, records)
            if isinstance(found, StoredRun):
                runs.append(found)
            else:
                notes.append(found)
    runs.sort(key=lambda run: (run.notebook, run.at, run.folder.name))
    return Listing(runs=tuple(runs), notes=tuple(notes), outputs=outputs)


def read_run(folder: Path, records: Records) -> StoredRun | str:
    """Return the run that a folder holds, else a line that says why it holds none.

    Args:
        folder: A folder or a file in a notebook's folder.
        records: What `ended_at` returns.
    """
    part = _PART.fullmatch(folder.name)
    if folder.is_symlink() or not folder.is_dir():
        return f"{folder}: is no folder of a run, left out"
    try:
        return _part(folder, part) if part else _whole(folder, records)
    except OSError as error:
        return f"{folder}: cannot be read ({error.strerror}), left out"


def ended_at(outputs: Path) -> Records:
    """Return when runs ended by notebook, run, state and fingerprint, as far as the index tells."""
    found = {}
    try:
        records = journal.read(outputs / journal.JOURNAL)
    except OSError as error:
        logger.warning("%s: cannot be read (%s)", outputs / journal.JOURNAL, error.strerror)
        return {}
    for record in records:
        try:
            at = datetime.fromisoformat(record["at"]).astimezone(UTC)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue  # the folder's own time is good enough
        key = (record["notebook"], record["run"], record["status"], str(record.get("fingerprint")))
        found[key] = at
    return found


def differing(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names whose values are not the same in all of some mappings, in their order."""
    names = dict.fromkeys(name for values in told for name in values)
    return [name for name in names if len({repr(values.get(name, ...)) for values in told}) > 1]


def _children(folder: Path, notes: list[str]) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        notes.append(f"{folder}: cannot be read ({error.strerror}), left out")
        return []
    return [path for path in found if not path.name.startswith(".") or _PART.fullmatch(path.name)]


def _part(folder: Path, part: "re.Match[str]") -> StoredRun | str:
    """Return what a runner has not brought to its end."""
    if part["old"] and not folder.with_name(part["run"]).exists():
        return f"{folder}: a whole run, moved aside; the next run of its notebook puts it back"
    return StoredRun(
        notebook=folder.parent.name,
        run=part["run"].removesuffix(FAILED),
        state="part",
        folder=folder,
        at=_changed(folder),
    )


def _whole(folder: Path, records: Records) -> StoredRun | str:
    """Return a run that came to its end."""
    try:
        found = read_manifest(folder)
    except RecursionError:  # brackets within brackets, thousands deep
        found = None
    if found is None or not _has_form(found):
        return f"{folder}: holds no whole {MANIFEST}, left out"
    name = folder.name.removesuffix(FAILED)
    if (found["notebook"], found["run"]) != (folder.parent.name, name):
        return f"{folder}: its {MANIFEST} is of {found['notebook']}/{found['run']}, left out"
    state: State = "done" if name == folder.name else "failed"
    at = records.get((folder.parent.name, name, state, found["fingerprint"]))
    return StoredRun(
        notebook=folder.parent.name,
        run=name,
        state=state,
        folder=folder,
        at=at or _changed(folder / MANIFEST),
        told=_finite(found),
    )


def _has_form(told: Mapping[str, Any]) -> bool:
    """Return whether a manifest holds all that it should, each of its kind."""
    if not all(name in told and isinstance(told[name], kind) for name, kind in _KINDS.items()):
        return False
    rooms = told.get("rooms", {})  # which runs of older versions have not
    if not (isinstance(rooms, dict) and all(isinstance(digest, str) for digest in rooms.values())):
        return False
    error = told["error"]
    if error is not None and not {"type", "message", "cell"} <= error.keys():
        return False
    try:
        return math.isfinite(told["seconds"])
    except OverflowError:  # an integer of hundreds of digits
        return False


def _finite(value: Any) -> Any:
    """Return a value of JSON's kinds, infinities and what is no number as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list) else value


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _several(names: Sequence[str]) -> str:
    more = f" or {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
