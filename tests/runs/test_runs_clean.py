import json
import multiprocessing
import shutil
import tempfile
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import leave

from workbench.cli import run
from workbench.errors import OptionsError
from workbench.runs.cleaning import CleanOptions, clean
from workbench.runs.listing import stored_runs
from workbench.runs.occupying import alone

DAY = 86_400.0
NOW = 1_000_000_000.0
TIME = datetime.fromtimestamp(NOW, UTC)
MANY = st.dictionaries(
    st.tuples(
        st.sampled_from(["beats", "songs"]),
        st.sampled_from(["tiny-0a", "tiny-0b", "sweep-1"]),
        st.sampled_from(["done", "failed", "part"]),
    ),
    st.integers(0, 10),  # age in days, at noon
    max_size=8,
)
ASKED = st.tuples(
    st.booleans(), st.booleans(), st.none() | st.integers(0, 10), st.booleans()
).filter(lambda asked: asked[0] or asked[1] or asked[2] is not None)


@settings(max_examples=40, deadline=None)
@given(MANY, ASKED)
def test_after_cleaning_there_is_exactly_what_was_not_selected(
    many: dict[tuple[str, str, str], int], asked: tuple[bool, bool, int | None, bool]
) -> None:
    failed, parts, days, is_dry = asked
    options = CleanOptions(failed=failed, parts=parts, older_than=days, dry_run=is_dry)
    states = ({"failed"} if failed else set()) | ({"part"} if parts else set())
    wanted = {
        key
        for key, age in many.items()
        if (key[2] in (states or {"done", "failed", "part"})) and (days is None or age >= days)
    }
    with tempfile.TemporaryDirectory() as name:
        outputs = Path(name)
        for (book, run_name, state), age in many.items():
            leave(outputs, run_name, book=book, state=state, at=NOW - (age + 0.5) * DAY)
        torn = outputs / "beats" / "torn"
        torn.mkdir(parents=True)
        report = clean(options, outputs, TIME)
        told = {(r.notebook, r.run, r.state): size for r, size in report.runs}
        assert told.keys() == wanted
        assert all(size >= 1000 for size in told.values())
        assert (report.kept, report.is_dry) == ((), is_dry)
        left = {(r.notebook, r.run, r.state) for r in stored_runs(outputs).runs}
        assert left == many.keys() - (set() if is_dry else wanted)
        assert torn.is_dir()
        whole = list(outputs.rglob("drums.mid"))
        assert len(whole) == len(left)


def _hold(outputs: Path, ready: Connection) -> None:
    with alone(outputs, ["beats.tiny"]):
        ready.send("held")
        ready.recv()


def test_what_another_process_is_at_work_on_is_kept_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = [leave(tmp_path, "tiny-0", state=state) for state in ("done", "failed", "part")]
    free = leave(tmp_path, "wide-0", state="part")
    ours, theirs = multiprocessing.Pipe()
    holder = multiprocessing.get_context("fork").Process(
        target=_hold, args=(tmp_path, theirs), daemon=True
    )
    holder.start()
    assert ours.recv() == "held"
    words = ["runs", "clean", "--older-than", "0", "--outputs", str(tmp_path)]
    assert run(words) == 1
    out = capsys.readouterr().out
    assert f"process {holder.pid} on " in out
    assert "is at work on beats.tiny" in out
    assert [path.exists() for path in (*held, free)] == [True, True, True, False]
    ours.send("end")
    holder.join()
    assert run(words) == 0
    assert stored_runs(tmp_path).runs == ()


@pytest.mark.parametrize("tokens", [[], ["--dry-run"]])
def test_without_a_selection_nothing_is_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tokens: list[str]
) -> None:
    leave(tmp_path, state="failed")
    assert run(["runs", "clean", *tokens, "--outputs", str(tmp_path)]) == 2
    assert "--failed, --parts or --older-than DAYS" in capsys.readouterr().err
    assert len(stored_runs(tmp_path).runs) == 1


@pytest.mark.parametrize("days", [-1.0, float("nan")])
def test_an_age_is_not_negative(days: float) -> None:
    with pytest.raises(OptionsError, match="older_than"):
        CleanOptions(older_than=days)


def test_a_dry_run_says_what_goes_and_how_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = leave(tmp_path, state="part")
    (folder / "more").mkdir()
    (folder / "more" / "big.npz").write_bytes(bytes(2_499_000))
    words = ["runs", "clean", "--parts", "--dry-run", "--outputs", str(tmp_path)]
    assert run(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"would delete beats/{folder.name}, part, 2.5 MB",
        "would delete 1 of the runs, 2.5 MB in all",
    ]
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["bytes"] for each in told["deleted"]] == [2_500_000]
    assert folder.is_dir()


def test_a_whole_run_that_was_moved_aside_is_no_part(tmp_path: Path) -> None:
    folder = leave(tmp_path)
    aside = folder.with_name(f".{folder.name}.01234567.part.old")
    folder.rename(aside)
    assert clean(CleanOptions(parts=True), tmp_path, TIME).runs == ()
    assert aside.is_dir()
    shutil.copytree(aside, folder)
    assert [each.folder for each, _ in clean(CleanOptions(parts=True), tmp_path, TIME).runs] == [
        aside
    ]
    assert folder.is_dir()
    assert not aside.exists()
