"""The scripts of `tests/bench` and what runs them all: nothing is forgotten, nothing is lost."""

import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.runs.measurements import PILLARS

sys.path.append(str(Path(__file__).parent / "bench"))

import rows as bench_rows
import table as bench_table

TOP = Path(__file__).parents[1]
BENCH = TOP / "tests" / "bench"
SHARED = {"rows", "table", "naive_board"}  # what is no script
# What README says, where it is measured, and as what.
CLAIMS = {
    "tens of kB of memory": ("playback_timing", "memory of the board"),
    "The board gets ten bytes for each change": ("playback_timing", "bytes a duty on the wire"),
    "one that learns in a minute on one core": (
        "beatmap_train",
        "the smallest size of the params learns",
    ),
    "what 10 million MIDI files": ("scale", "the caller's time for 10 million files"),
}

GOOD = """
from rows import parser_of, row, tell
arguments = parser_of("good").parse_args()
tell("groove", [row("good", 2, ">= 3"), row("more", 1, ">= 1", unit="s")], as_json=arguments.json)
"""


def script_of(folder: Path, name: str, text: str) -> bench_table.Script:
    path = folder / f"{name}.py"
    path.write_text(f"import sys\nsys.path.append({str(BENCH)!r})\n{textwrap.dedent(text)}")
    return bench_table.Script(name, "groove", folder=folder)


def bench_of(folder: Path, *scripts: bench_table.Script, is_quick: bool = False):
    return bench_table.Bench(folder, scripts, is_quick=is_quick)


# --- what there is


def test_every_script_is_in_the_table_and_is_there():
    found = {path.stem for path in BENCH.glob("*.py")} - SHARED
    assert {script.name for script in bench_table.SCRIPTS} == found
    assert len(bench_table.SCRIPTS) == len(found)


def test_make_bench_is_one_call_with_the_peers_installed():
    makefile = (TOP / "Makefile").read_text()
    called = re.search(r"^bench: (.*?) ##.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert called.group(1) == "$(VENV)/bench"
    assert called.group(2) == "\t$(BIN)/python tests/bench/table.py\n"


def test_scripts_of_a_pillar_stand_together_in_the_order_of_the_pillars():
    pillars = [script.pillar for script in bench_table.SCRIPTS]
    assert list(dict.fromkeys(pillars)) == list(PILLARS)
    assert pillars == sorted(pillars, key=PILLARS.index)


@pytest.mark.parametrize("script", bench_table.SCRIPTS, ids=lambda script: script.name)
def test_a_script_tells_its_rows_under_its_pillar_and_how_it_is_called(script):
    text = script.path.read_text()
    assert f'tell("{script.pillar}", ' in text
    assert f"\n    python tests/bench/{script.name}.py [" in text


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_readme_claims_is_measured(claim):
    assert claim in " ".join((TOP / "README.md").read_text().split())
    script, what = CLAIMS[claim]
    measured = bench_table.Script(script, "").path.read_text()
    assert re.search(rf'\brow\(\s*"{re.escape(what)}"', measured)


# --- turns and ratios


@given(
    st.integers(0, 3).flatmap(
        lambda n: st.tuples(
            *[st.lists(st.floats(1e-3, 1e3), min_size=2 * n + 1, max_size=2 * n + 1)] * 2
        )
    ),
    st.booleans(),
)
def test_a_ratio_lies_between_its_turns(sides, best):
    found = bench_rows.times("work", *sides, against="others", best=best)
    if len(sides[0]) == 1:
        assert (found.least, found.most) == (None, None)
    else:
        assert found.least * (1 - 1e-9) <= found.value <= found.most * (1 + 1e-9)


def test_one_turn_of_theirs_stands_beside_all_of_ours():
    found = bench_rows.times("work", [12.0], [2.0, 3.0, 4.0], against="others", best=False)
    assert (found.least, found.value, found.most) == (3.0, 4.0, 6.0)


def test_sides_take_turns_at_being_first():
    order = []
    sides = {name: lambda name=name: order.append(name) for name in "ab"}
    found = bench_rows.in_turn(3, sides, warms=True)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": 3, "b": 3}


# --- the run of all


def test_a_number_that_is_missed_is_told_with_all_others(tmp_path):
    bench = bench_of(tmp_path, script_of(tmp_path, "good", GOOD))
    assert bench.measure(bench.scripts) == 0
    table = bench.table()
    assert [(row.what, row.state) for row in table.rows] == [
        ("good", "MISSED"),
        ("more", "reached"),
    ]
    assert {(row.script, row.pillar) for row in table.rows} == {("good", "groove")}
    page = "\n".join(bench_table.page(table))
    assert re.search(r"MISSED: 1\n +2 +>= 3 +MISSED +good", page)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise ValueError('no such file')", "exit code 1: ValueError: no such file"),
        ("print('a table')", "exit code 0: it told nothing"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9: it told nothing"),
    ],
)
def test_a_script_that_fails_is_a_row_and_the_others_go_on(tmp_path, text, why):
    scripts = [script_of(tmp_path, "broken", text), script_of(tmp_path, "good", GOOD)]
    bench = bench_of(tmp_path, *scripts)
    assert bench.measure(scripts) == 1
    failed, *others = bench.table().rows
    assert (failed.script, failed.value, failed.note) == ("broken", None, f"failed with {why}")
    assert [row.what for row in others] == ["good", "more"]


def test_a_failed_script_is_measured_again_when_the_table_goes_on(tmp_path):
    script = script_of(
        tmp_path,
        "again",
        """
        from pathlib import Path
        from rows import row, tell
        been = Path(__file__).with_suffix(".been")
        if not been.exists():
            been.touch()
            raise ValueError
        tell("groove", [row("done", 1)], as_json=True)
        """,
    )
    bench = bench_of(tmp_path, script)
    assert bench.measure([script]) == 1
    assert bench.measure([script], keeps=True) == 0
    assert [row.what for row in bench.table().rows] == ["done"]


def test_what_an_interruption_leaves_is_kept_and_gone_on_with(tmp_path):
    begun = tmp_path / "begun"
    slow = f"""
        import time
        from pathlib import Path
        from rows import row, tell
        if not Path({str(begun)!r}).exists():
            Path({str(begun)!r}).touch()
            time.sleep(60)
        tell("groove", [row("slow", 1)], as_json=True)
        """
    script_of(tmp_path, "good", GOOD)
    script_of(tmp_path, "slow", slow)
    driver = f"""
        import sys
        sys.path.append({str(BENCH)!r})
        from pathlib import Path
        from table import Bench, Script
        folder = Path({str(tmp_path)!r})
        scripts = [Script(name, "groove", folder=folder) for name in ("good", "slow")]
        bench = Bench(folder, scripts, is_quick=False)
        status = bench.measure(scripts, keeps=True)
        bench.table().save(folder)
        sys.exit(status)
        """
    command = [sys.executable, "-c", textwrap.dedent(driver)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert "slow: interrupted; `--resume` goes on with it" in process.stderr.read()
    left = json.loads((tmp_path / "benchmarks.json").read_bytes())
    assert ([row["what"] for row in left["rows"]], left["absent"]) == (["good", "more"], ["slow"])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "[1/2] good: kept" in done.stderr
    whole = json.loads((tmp_path / "benchmarks.json").read_bytes())
    assert [row["what"] for row in whole["rows"]] == ["good", "more", "slow"]


def test_a_result_of_another_script_or_size_is_not_in_the_table(tmp_path):
    script = script_of(tmp_path, "good", GOOD)
    bench = bench_of(tmp_path, script)
    bench.measure([script])
    assert bench_of(tmp_path, script, is_quick=True).table().absent == ("good",)
    script_of(tmp_path, "good", GOOD + "# changed\n")
    assert bench_of(tmp_path, script).table().absent == ("good",)


def test_small_sizes_are_told_and_not_judged(tmp_path):
    left_out = replace(script_of(tmp_path, "heavy", GOOD), quick=None)
    script = script_of(tmp_path, "good", GOOD)
    bench = bench_of(tmp_path, script, left_out, is_quick=True)
    assert bench.measure(bench.scripts) == 0
    table = bench.table()
    assert [row.state for row in table.rows] == ["", "", "none"]
    assert table.rows[-1].note == "skipped: is not in the quick set"
    assert table.head()[0].startswith("QUICK")


def test_a_peer_that_is_not_installed_is_named_with_what_to_do():
    hidden = (
        "import runpy, sys; sys.modules['miditok'] = None; sys.argv = [sys.argv[1], '--json'];"
        f"sys.path.insert(0, {str(BENCH)!r}); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", hidden, str(BENCH / "groove_tokenize.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    (row,) = json.loads(done.stdout)
    assert (done.returncode, row["value"]) == (0, None)
    assert row["note"] == "skipped: needs miditok: pip install -e '.[bench]'"


def test_the_table_says_what_machine_and_versions_it_is_of(tmp_path):
    table = bench_of(tmp_path).table()
    assert set(table.machine) == {"processor", "cores", "memory", "system"}
    assert {"Python", "numpy", "torch", "mido", "pretty_midi"} <= set(table.versions)
    assert all(table.machine.values())
