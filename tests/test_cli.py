"""The command line: what it imports, what it prints, and how it ends."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import __version__
from workbench.cli import run
from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.reply import Reply

HEAVY = ("numpy", "torch", "numba", "jupyter", "jupyter_client", "papermill", "nbformat", "IPython")
COMMANDS = {
    "groove": ["train", "merge", "info", "score", "sample", "extract", "apply"],
    "nb": ["lint", "refresh"],
    "runs": ["ls", "show", "compare", "clean"],
    "pico": ["plan", "play", "status", "stop", "deploy", "simulate", "ports"],
    "demo": ["drums", "speech", "songs"],
    "speech": ["gather"],
    "beatmap": [
        *("process", "cache", "download", "extract", "charts"),
        *("train", "judge", "generate", "evaluate", "check"),
    ],
}


def command(*tokens, **options):
    """Run the command line in a process of its own."""
    code = "from workbench.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, tokens)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    options = DrumCorpusOptions(files=6, most_bars=8)
    return make_drum_corpus(tmp_path_factory.mktemp("cli") / "corpus", options)


@pytest.fixture(scope="module")
def model(corpus):
    folder = corpus.folder.with_name("model")
    assert run(["groove", "train", str(corpus.folder), "-o", str(folder), "--no-progress"]) == 0
    return folder


# --- help


@pytest.mark.parametrize(
    "tokens",
    [["--help"], [], ["--version"], ["groove", "--help"], ["nb"], ["pico", "play", "--help"]],
)
def test_help_imports_nothing_heavy(tokens):
    code = (
        "import sys\nfrom workbench.cli import run\n"
        f"code = run({tokens!r})\n"
        f"print('ended', code, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "ended 0 []"
    assert found.stderr == ""


@pytest.mark.parametrize("group", [None, *COMMANDS])
def test_help_names_every_command(capsys, group):
    assert run([group, "--help"] if group else ["--help"]) == 0
    told = capsys.readouterr().out
    for name in COMMANDS[group] if group else ("run", *COMMANDS):
        assert f" {name} " in told


@pytest.mark.parametrize(
    "tokens", [["run"], *([group, name] for group, names in COMMANDS.items() for name in names)]
)
def test_every_command_has_its_help_and_takes_json(capsys, tokens):
    assert run([*tokens, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: workbench {' '.join(tokens)}")
    assert "--json" in told


def test_the_version_is_the_packages(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


# --- replies


def test_a_reply_is_text_for_people_and_json_when_asked(capsys, model):
    assert run(["groove", "info", str(model)]) == 0
    text = capsys.readouterr().out
    assert "kept: 6\n" in text
    for tokens in (
        ["groove", "info", str(model), "--json"],
        ["--json", "groove", "info", str(model)],
    ):
        assert run(tokens) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["kept"] == 6
        assert {line.partition(": ")[0] for line in text.splitlines()} == set(told)


def test_json_is_all_there_is_on_standard_output(corpus, tmp_path):
    found = command("groove", "train", corpus.folder, "-o", tmp_path / "model", "--json")
    assert found.returncode == 0
    assert json.loads(found.stdout)["processed"] == 6
    assert "counted: 6/6 files" in found.stderr


def test_a_reply_renders_each_kind_of_value():
    values = {"a": 1, "b": 0.12345678, "c": {"x": [1, "ü"]}, "d": "text", "e": None}
    reply = Reply(values=values)
    assert json.loads(reply.rendered(as_json=True)) == values
    assert reply.rendered(as_json=False).splitlines() == [
        "a: 1",
        "b: 0.123457",
        'c: {"x": [1, "ü"]}',
        "d: text",
        "e: None",
    ]
    assert Reply(values=values, text="in short").rendered(as_json=False) == "in short"
    assert json.loads(Reply(values=values, text="in short").rendered(as_json=True)) == values


def test_a_number_that_json_has_not_is_not_printed_as_json():
    with pytest.raises(ValueError, match="JSON"):
        Reply(values={"a": float("nan")}).rendered(as_json=True)


def test_the_exit_code_is_the_replys(capsys, tmp_path):
    book = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "bare.ipynb").write_text(json.dumps(book))
    assert run(["nb", "lint", str(tmp_path / "bare.ipynb")]) == 1
    assert "bare.ipynb" in capsys.readouterr().out


# --- errors


@pytest.mark.parametrize(
    ("tokens", "code", "said"),
    [
        (["groove", "info", "NO"], 1, "no readable groove model"),
        (["groove", "train", "NO", "-o", "OUT"], 1, "is no folder"),
        (["groove", "train", "--from-filelist", "NO", "-o", "OUT"], 1, "no readable list"),
        (["groove", "train", "-o", "OUT"], 2, "give either LOOP_DIR or --from-filelist"),
        (["groove", "train", "A", "--from-filelist", "B", "-o", "OUT"], 2, "one of them"),
        (["groove", "train", "NO", "-o", "OUT", "--n", "9"], 2, "n: 9 is outside [1..4]"),
        (["groove", "merge", "NO", "-o", "OUT"], 1, "no readable groove model"),
        (["groove", "score", "NO", "NO"], 1, "no readable groove model"),
        (["groove", "sample", "NO", "-o", "OUT"], 1, "no readable groove model"),
        (["groove", "extract", "NO", "-o", "OUT"], 1, "NO"),
        (["run", "NO.yaml"], 2, "NO.yaml"),
    ],
)
def test_an_error_is_one_line_that_says_what_is_wrong(
    tmp_path, monkeypatch, capsys, tokens, code, said
):
    monkeypatch.chdir(tmp_path)
    assert run(tokens) == code
    told = capsys.readouterr()
    assert told.err.startswith("workbench: ")
    assert told.err.count("\n") == 1
    assert said in told.err
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_process_ends_with_the_code_of_its_error(tmp_path):
    found = command("groove", "train", "NO", "-o", "OUT", cwd=tmp_path)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("workbench: NO: is no folder")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["grove"], '"groove"'),
        (["groove", "trian"], '"train"'),
        (["groove", "train", "NO", "-o", "OUT", "--min-count-of", "3"], "--min-count-of"),
        (["groove", "train", "NO", "-o", "OUT", "--n", "many"], "--n"),
        (["groove", "train", "NO", "-o", "OUT", "--part", "voice"], "--part"),
        (["groove", "train", "NO"], "--output"),
    ],
)
def test_what_it_does_not_know_is_refused_by_name(tmp_path, monkeypatch, capsys, tokens, said):
    monkeypatch.chdir(tmp_path)
    assert run(tokens) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_all_values_out_of_range_are_told_at_once(capsys):
    tokens = ["groove", "train", "NO", "-o", "OUT", "--n", "9", "--jobs", "0", "--min-count", "0"]
    assert run(tokens) == 2
    assert capsys.readouterr().err.splitlines() == [
        "workbench: min_count: 0 is outside [1..]",
        "n: 9 is outside [1..4]",
        "jobs: 0 is outside [1..]",
    ]


def test_an_error_under_json_leaves_standard_output_empty(capsys):
    assert run(["groove", "info", "NO", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("workbench: NO: no readable groove model")


def test_what_the_file_system_refuses_is_one_line_too(tmp_path, obey_permissions):
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(0)
    found = command("demo", "drums", tmp_path / "locked" / "x", preexec_fn=obey_permissions)
    (tmp_path / "locked").chmod(0o700)
    assert found.returncode == 1
    assert found.stderr.startswith("workbench: ")
    assert "Permission denied" in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr


def test_log_lines_go_to_standard_error(corpus, tmp_path):
    tokens = ["groove", "train", corpus.folder, "-o", tmp_path / "m", "--log-every", "2"]
    found = command(*tokens, "--no-progress", "--json")
    lines = found.stderr.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        f"counting: {done}/6 files" for done in (2, 4, 6)
    ]


# --- the page of all commands


def test_the_page_of_commands_tells_what_the_commands_take():
    golden = Path(__file__).parent / "golden" / "commands_page.py"
    spec = importlib.util.spec_from_file_location("commands_page", golden)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told = "drifted; run `python tests/golden/commands_page.py`"
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), told
