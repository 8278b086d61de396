from pathlib import Path

import pytest

from workbench.runs.batch import plan
from workbench.runs.comparing import nearest, source_difference
from workbench.runs.demo_sweep import NOTEBOOK, make_demo_project
from workbench.runs.listing import stored_runs
from workbench.runs.notebooks import code_cells, read_notebook


@pytest.mark.parametrize("sizes", [1, 3])
def test_a_night_has_a_run_for_each_size_and_context_and_one_that_the_model_refuses(
    tmp_path: Path, sizes: int
) -> None:
    project = make_demo_project(tmp_path / "project", sizes=sizes)
    runs = plan(project.night, project.top)
    files = [8 * 3**size for size in range(sizes)]
    values = [(run.values["n"], run.values["files"]) for run in runs]
    assert values == [*((n, count) for n in (1, 2, 4) for count in files), (5, files[-1])]
    (again,) = plan(project.morning, project.top)
    assert again.values == {"n": 4, "files": files[-1]}


def test_a_change_is_one_line_of_one_cell_and_makes_another_run_of_it(tmp_path: Path) -> None:
    project = make_demo_project(tmp_path / "project")
    path = project.top / "notebooks" / f"{NOTEBOOK}.ipynb"
    before = [cell["source"] for cell in code_cells(read_notebook(path))]
    (run,) = plan(project.morning, project.top)
    project.change()
    after = [cell["source"] for cell in code_cells(read_notebook(path))]
    changed = [
        line
        for a, b in zip(before, after, strict=True)
        for line in source_difference(a, b)
        if line[0] in "+-"
    ]
    assert [line[0] for line in changed] == ["-", "+"]
    (other,) = plan(project.morning, project.top)
    assert other.fingerprint != run.fingerprint
    make_demo_project(project.top)
    assert [cell["source"] for cell in code_cells(read_notebook(path))] == before


def test_the_nearest_run_has_the_most_parameters_in_common_and_is_the_latest_of_equals(
    tmp_path: Path,
) -> None:
    from made_runs import leave

    from workbench.errors import OptionsError

    leave(tmp_path, "t-0", parameters={"n": 1, "seed": 1}, at=1e9)
    leave(tmp_path, "t-1", parameters={"n": 2, "seed": 1}, at=2e9)
    leave(tmp_path, "t-2", parameters={"n": 2, "seed": 2}, at=3e9, state="failed")
    leave(tmp_path, "t-3", parameters={"n": 2, "seed": 2}, at=4e9)
    leave(tmp_path, "t-4", parameters={"n": 3, "seed": 1}, at=5e9)
    leave(tmp_path, "t-5", parameters={"n": 2, "seed": 2}, book="songs")
    listing = stored_runs(tmp_path)

    def nearest_to(name: str) -> str:
        return nearest(listing.find(name), listing.runs).run

    assert nearest_to("beats/t-3") == "t-1"
    assert nearest_to("beats/t-0") == "t-4"
    assert nearest_to("beats/t-2") == "t-3"
    with pytest.raises(OptionsError, match="songs/t-5: no other run of its notebook is done"):
        nearest_to("songs/t-5")
