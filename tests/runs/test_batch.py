import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import Writer
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import OptionsError
from workbench.runs.batch import PlannedRun, plan, read_yaml

PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=20)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)

PARAMETERS = "seed: int = 0  # the dice [0..99]\nswing: float = 0.5  # of a beat [0..1]"


@pytest.fixture(scope="module")
def two_notebooks(write_notebook: Writer, write_params: Writer) -> None:
    write_notebook("groove", "x = seed", parameters=PARAMETERS)
    write_notebook("playback", "y = speed", parameters="speed: float = 1.0  # times [0.1..4]")
    write_params("groove/tiny.yaml", "seed: 3\n")


@settings(deadline=None)
@given(st.dictionaries(PRINTABLE, SCALARS | PRINTABLE | st.lists(SCALARS, max_size=3), max_size=5))
def test_json_is_yaml_and_is_read_as_json_reads_it(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.yaml"
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    assert read_yaml(path) == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("6:8", "6:8"),
        ("yes", "yes"),
        ("on", "on"),
        ("010", "010"),
        ("2026-01-31", "2026-01-31"),
        ("1_000", "1_000"),
        ("~", None),
        ("true", True),
        ("-5", -5),
    ],
)
def test_a_scalar_means_what_the_core_schema_says(tmp_path: Path, text: str, value: object) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"a: {text}\n")
    assert read_yaml(path) == {"a": value}
    assert type(read_yaml(path)["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: [1, 2\n", "line 3, column 1: "),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: 'a' stands there twice"),
        ("a: 1\nc: {x: 1, x: 2}\n", "line 2, column 11: 'x' stands there twice"),
        ("a: !!python/object/apply:os.system ['touch pwned']\n", "line 1, column 4: "),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: "),
        ("a: \0\n", "is no yaml text"),
        ("a: " + "[" * 5000, "is no yaml text"),
        ("a: " + "9" * 5000, "is no yaml text"),
        ("- 1\n", "is a list"),
        ("a: *hf_Abcdefgh12345678\n", "line 1, column 4: found undefined alias"),
    ],
)
def test_a_yaml_mistake_is_told_with_file_line_and_column(
    project: Path, two_notebooks: None, write_params: Writer, text: str, told: str
) -> None:
    path = write_params("groove/mistake.yaml", text)
    with pytest.raises(OptionsError) as refusal:
        plan(path, project)
    assert str(refusal.value).startswith(str(path))
    assert told in str(refusal.value)
    assert "Abcdefgh" not in str(refusal.value)
    assert not Path("pwned").exists()


def test_a_params_file_is_for_the_notebook_its_folder_is_named_after(
    project: Path, two_notebooks: None, write_params: Writer
) -> None:
    (run,) = plan(project / "params" / "groove" / "tiny.yaml", project)
    assert run.notebook == "groove"
    assert run.values == {"seed": 3, "swing": 0.5}
    assert run.name == f"tiny-{run.fingerprint[:10]}"
    (empty,) = plan(write_params("groove/default.yaml", "# all defaults\n"), project)
    assert empty.values == {"seed": 0, "swing": 0.5}


def test_a_list_names_runs_by_where_their_values_stand(
    project: Path, two_notebooks: None, write_params: Writer
) -> None:
    demo = write_params(
        "demo.yaml",
        "runs:\n- {notebook: groove, params: tiny}\n- {notebook: playback, params: {speed: 2}}\n"
        "- notebook: playback\n",
    )
    named, inline, default = plan(demo, project)
    assert (named,) == plan(project / "params" / "groove" / "tiny.yaml", project)
    assert inline.values == {"speed": 2.0} and inline.name.startswith("demo-")
    assert default.values == {"speed": 1.0} and default.name != inline.name


def test_all_mistakes_of_all_notebooks_are_told_at_once(
    project: Path, two_notebooks: None, write_params: Writer
) -> None:
    write_params("groove/wrong.yaml", "sed: 1\nswing: 2\n")
    demo = write_params(
        "wrong.yaml",
        "runs:\n- {notebook: groove, params: wrong}\n- {notebook: grove}\n"
        "- {notebook: playback, params: {speed: fast}}\n- {notebook: playback, parms: 1}\n"
        "- {notebook: groove, params: absent}\n- {notebook: ../groove}\n- 7\n"
        "- {notebook: playback}\n- {notebook: playback, params: {}}\n",
    )
    with pytest.raises(OptionsError) as refusal:
        plan(demo, project)
    wrong = project / "params" / "groove" / "wrong.yaml"
    absent = project / "params" / "groove" / "absent.yaml"
    assert str(refusal.value).replace(f"{demo}: ", "") == "\n".join(
        [
            f"run 1: {wrong}: unknown parameter 'sed', did you mean 'seed'?",
            f"run 1: {wrong}: swing: 2 is outside [0..1]",
            "run 2: there is no notebook 'grove', did you mean 'groove'?",
            "run 3: speed: 'fast' is str, want float",
            "run 4: unknown word 'parms', did you mean 'params'?",
            f"run 5: {absent}: cannot be read (No such file or directory); check the name",
            "run 6: `notebook:` is no name of a notebook",
            "run 7: is no `{notebook: …, params: …}`",
            "run 9: playback with the same values stands there twice",
        ]
    )


@pytest.mark.parametrize("text", ["runs:\n", "runs: groove\n", "runs: []\n", "runs: []\nseed: 1\n"])
def test_a_list_without_items_is_refused(
    project: Path, two_notebooks: None, write_params: Writer, text: str
) -> None:
    with pytest.raises(OptionsError, match="`runs:` is no list"):
        plan(write_params("list.yaml", text), project)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"nbformat": 3}', "[" * 100_000, "\xff"])
def test_a_broken_notebook_is_refused_by_name(
    project: Path, write_params: Writer, content: str
) -> None:
    broken = project / "notebooks" / "broken.ipynb"
    broken.write_bytes(content.encode("latin-1"))
    with pytest.raises(OptionsError, match=r"broken\.ipynb: is no notebook"):
        plan(write_params("broken/x.yaml", ""), project)


def test_a_runs_name_follows_code_and_values_and_nothing_else(
    project: Path, write_notebook: Writer, write_params: Writer
) -> None:
    def planned(values: str) -> PlannedRun:
        (run,) = plan(write_params("named/x.yaml", values), project)
        return run

    path = write_notebook("named", "x = seed", parameters=PARAMETERS)
    first = planned("swing: 1\n").name
    assert planned("swing: 1.0\nseed: 0\n").name == first
    assert planned("swing: 0.9\n").name != first
    content = json.loads(path.read_text())
    content["cells"][0]["source"] = "# Other words"
    content["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    path.write_text(json.dumps(content))
    assert planned("swing: 1\n").name == first
    write_notebook("named", "x = seed + 1", parameters=PARAMETERS)
    assert planned("swing: 1\n").name != first


def test_a_refusal_is_fast_and_starts_nothing(
    project: Path, two_notebooks: None, write_params: Writer
) -> None:
    path = write_params("groove/bad.yaml", "sed: 1\nswing: 2\nseed: '3'\n")
    program = (
        "import sys, psutil\n"
        "from pathlib import Path\n"
        "from workbench.errors import WorkbenchError\n"
        "from workbench.runs.run import RunOptions, run\n"
        "try:\n"
        "    run(RunOptions(params=Path(sys.argv[1])))\n"
        "except WorkbenchError as error:\n"
        "    print(error)\n"
        "    heavy = {'papermill', 'nbformat', 'nbclient', 'zmq', 'IPython', 'numpy'}\n"
        "    assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "    assert not psutil.Process().children()\n"
        "    sys.exit(error.exit_code)\n"
    )
    began = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert time.monotonic() - began < 2
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout.count(f"{path}: ") == 3
    assert not (project / "outputs").exists()


def test_the_safe_loader_itself_is_left_as_it_was() -> None:
    assert yaml.safe_load("a: yes") == {"a": True}
