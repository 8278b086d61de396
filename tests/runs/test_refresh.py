"""One real notebook, refreshed for real; matplotlib draws, nbval compares."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SANITIZE, Writer, notebook
from hypothesis import given, settings
from hypothesis import strategies as st
from nbval.plugin import get_sanitize_patterns

from workbench.errors import RunsError
from workbench.runs.lint import lint
from workbench.runs.refresh import merged, read_patterns, refresh, sanitizer

DRAWING = "plt.plot([0, 1, SLOPE])\nplt.title('a line')\nplt.show()"
CELLS = (
    "import datetime\nimport time\nimport ipywidgets\nimport matplotlib.pyplot as plt\n"
    "from workbench.runs import record",
    "print(f'took {time.time() % 7:.3f} s at {time.time_ns() % 9999} files/s', object())\n"
    "print(datetime.datetime.now())",
    DRAWING.replace("SLOPE", "2"),
    "record(slope=2)",
    "ipywidgets.IntSlider(value=3)",
    "print(time.time_ns())",
)


@pytest.fixture(scope="module")
def refreshed(project: Path, write_notebook: Writer) -> Path:
    """Return a notebook after its first refresh."""
    path = write_notebook("lines", *CELLS)
    content = json.loads(path.read_text())
    content["cells"][7]["metadata"] = {"tags": ["nbval-ignore-output"]}
    content["metadata"]["papermill"] = {"duration": 3}
    del content["cells"][3]["id"]
    path.write_text(json.dumps(content))
    (outcome,) = refresh([path]).notebooks
    assert outcome.status == "refreshed"
    return path


def cells_of(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return cells


def edit(path: Path, number: int, old: str, new: str) -> None:
    content = json.loads(path.read_text())
    text = "".join(content["cells"][number - 1]["source"])
    assert old in text
    content["cells"][number - 1]["source"] = text.replace(old, new)
    path.write_text(json.dumps(content))


def test_a_refreshed_notebook_has_no_findings(refreshed: Path) -> None:
    assert lint([refreshed]).lines() == ["1 notebooks, 0 findings"]
    outputs = [cell["outputs"] for cell in cells_of(refreshed) if "outputs" in cell]
    assert [len(found) for found in outputs] == [0, 0, 1, 1, 1, 1, 1]
    assert sorted(outputs[3][0]["data"]) == ["image/png", "text/plain"]
    assert outputs[5][0]["data"] == {"text/plain": ["IntSlider(value=3)"]}


def test_a_second_refresh_changes_no_byte(refreshed: Path) -> None:
    first = refreshed.read_bytes()
    report = refresh([refreshed.parent])
    assert (report.exit_code, report.lines()) == (0, [f"{refreshed}: unchanged"])
    assert refreshed.read_bytes() == first


def nbval(path: Path) -> int:
    """Return how many cells nbval finds different."""
    options = ["--nbval", "--nbval-current-env", f"--nbval-sanitize-with={SANITIZE}", "-q"]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", str(path)]
    answer = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    assert answer.returncode in (0, 1), answer.stdout
    return answer.stdout.count("\nFAILED ")


def test_a_changed_result_and_a_changed_picture_are_taken_over(
    refreshed: Path, project: Path
) -> None:
    path = project / "notebooks" / "changed.ipynb"
    path.write_bytes(refreshed.read_bytes())
    edit(path, 5, "2])", "5])")
    edit(path, 6, "slope=2", "slope=5")
    before = cells_of(refreshed)
    assert refresh([path]).lines() == [f"{path}: refreshed"]
    after = cells_of(path)
    changed = [
        n for n in range(1, 9) if before[n - 1].get("outputs") != after[n - 1].get("outputs")
    ]
    assert changed == [5, 6], "the time and the address of cell 4 were kept"
    assert (
        after[4]["outputs"][0]["data"]["text/plain"]
        == before[4]["outputs"][0]["data"]["text/plain"]
    )
    path.unlink()


@pytest.mark.soak
def test_nbval_sees_a_changed_number_no_changed_picture_and_overlooks_the_rest(
    refreshed: Path, project: Path
) -> None:
    path = project / "notebooks" / "seen.ipynb"
    path.write_bytes(refreshed.read_bytes())
    edit(path, 5, "2])", "5])")
    assert nbval(path) == 0
    edit(path, 6, "slope=2", "slope=5")
    assert nbval(path) == 1
    path.unlink()


def test_a_failing_notebook_is_left_as_it_was_and_its_secrets_untold(
    project: Path, write_notebook: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hunter2hunter2")
    path = write_notebook("fails", "x = 1", "import os\nraise OSError(os.environ['HF_TOKEN'])")
    before = path.read_bytes()
    report = refresh([path])
    assert (report.exit_code, report.lines()) == (1, [f"{path}: failed; cell 4: OSError: ***"])
    assert path.read_bytes() == before
    path.unlink()


def test_a_refresh_knows_the_sanitize_file_as_nbval_reads_it() -> None:
    ours = [(pattern.pattern, text) for pattern, text in read_patterns(SANITIZE)]
    assert ours == get_sanitize_patterns(SANITIZE.read_text())
    assert len(ours) >= 9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("took 1.25 s", "took 13 s"),
        ("in 3.1e-05 s", "in 800 µs"),
        ("3,450 rows/s", "12.5 rows/s"),
        ("120 it/s", "7 it/s"),
        ("12.5 MB", "900 kB"),
        ("<A at 0x7f1200aa00>", "<A at 0x55c0ffee1234>"),
        ("2026-01-31 10:22:33.123", "2025-12-01 00:00:00"),
        ("2026-01-31T10:22:33+01:00", "2025-12-01"),
        ("at 10:22:33", "at 01:02:03"),
        ("'/home/zoe/a.mid'", "'/srv/data/a.mid'"),
        ("tmp0123abcd/x", "tmpzz_yyxx9/x"),
        ("<Figure size 640x480 with 1 Axes>", "<Figure size 800x300 with 1 Axes>"),
    ],
)
def test_what_differs_from_run_to_run_is_overlooked(one: str, other: str) -> None:
    sanitize = sanitizer(read_patterns(SANITIZE))
    assert sanitize(one) == sanitize(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("120 bpm in 4/4", "120 bpm in 3/4"),
        ("12 songs", "13 songs"),
        ("loss = 0.25", "loss = 0.26"),
        ("seconds = 3.5", "seconds = 3.6"),
        ("https://x.org/a/b", "https://x.org/a/c"),
        ("<Figure size 640x480 with 1 Axes>", "<Figure size 640x480 with 2 Axes>"),
        ("took 1 s for 3 bars", "took 1 s for 4 bars"),
        ("8 steps", "16 steps"),
    ],
)
def test_what_a_notebook_is_about_is_not_overlooked(one: str, other: str) -> None:
    sanitize = sanitizer(read_patterns(SANITIZE))
    assert sanitize(one) != sanitize(other)


LEVELS = st.lists(st.integers(0, 255), min_size=4, max_size=4)


def picture(levels: list[int], *, comment: str = "", width: int = 2) -> str:
    """Return a grey PNG of four pixels, in base64, with a comment that no one sees."""
    from io import BytesIO

    import numpy as np
    from matplotlib.image import imsave

    file = BytesIO()
    pixels = np.repeat(np.array(levels, dtype=np.uint8).reshape(-1, width, 1), 3, axis=2)
    imsave(file, pixels, format="png", metadata={"Software": comment})
    return base64.b64encode(file.getvalue()).decode()


def shown(png: str, *, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    content = notebook("plt.show()")
    content["cells"][2] |= {
        "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"image/png": png}}],
        "metadata": {"tags": list(tags)},
    }
    return content


@settings(deadline=None)
@given(LEVELS, LEVELS)
def test_a_picture_is_kept_exactly_when_its_pixels_are_the_same(
    before: list[int], after: list[int]
) -> None:
    old, new = shown(picture(before, comment="3.9")), shown(picture(after, comment="3.10"))
    assert old != new
    wanted = old if before == after else new
    assert merged(old, new, str) == wanted
    assert merged(old, shown(picture(before, comment="x")), str) == old


def test_a_picture_of_an_ignored_cell_is_kept_while_its_size_is() -> None:
    tags = ("nbval-ignore-output",)
    old = shown(picture([0, 0, 0, 0]), tags=tags)
    assert merged(old, shown(picture([9, 9, 9, 9]), tags=tags), str) == old
    wide = shown(picture([0, 0, 0, 0], width=4), tags=tags)
    assert merged(old, wide, str) == wide


def test_a_broken_picture_is_replaced() -> None:
    new = shown(picture([1, 2, 3, 4]))
    assert merged(shown("AAAA"), new, str) == new
    assert merged(shown(picture([1, 2, 3, 4])[:60]), new, str) == new


def test_a_sanitize_file_that_is_missing_or_malformed_is_told(
    tmp_path: Path, write_notebook: Writer
) -> None:
    with pytest.raises(RunsError, match="restore it"):
        read_patterns(tmp_path / "sanitize.cfg")
    (tmp_path / "sanitize.cfg").write_text("regex: [\nreplace: x\n")
    with pytest.raises(RunsError, match="is no pattern"):
        read_patterns(tmp_path / "sanitize.cfg")


def test_a_refresh_is_headless_and_leaves_the_environment_as_it_was(
    write_notebook: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORKBENCH_HEADLESS", raising=False)
    path = write_notebook("headless", "import os\nos.environ['WORKBENCH_HEADLESS']")
    assert refresh([path]).exit_code == 0
    assert cells_of(path)[2]["outputs"][0]["data"]["text/plain"] == ["'1'"]
    assert "WORKBENCH_HEADLESS" not in os.environ
    path.unlink()
