"""`workbench speech gather` as it is typed: what it prints, what it leaves, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time

import layouts
import pytest
from hub_clients import client_environment
from huggingface_hub import HfApi
from tiny_speech import files_of, gathered_by, rows_of, write_older, write_speech

from workbench.cli import run
from workbench.speech.sources import NAMED

COMMIT = r"POST .*/commit/"
ONCE = ["--attempts", 1]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_speech(tmp_path_factory.mktemp("commands") / "source")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A source whose second file cannot be read to its end."""
    folder = write_speech(tmp_path_factory.mktemp("commands") / "damaged")
    file = folder / "data" / "train-00001.parquet"
    content = bytearray(file.read_bytes())
    for at in range(200, len(content) // 2, 97):
        content[at] ^= 0xFF
    file.write_bytes(content)
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def visible(folder):
    """Return what is in a folder, without what begins with a dot."""
    return {name: content for name, content in files_of(folder).items() if name[0] != "."}


# --- 0: all was done


def test_what_was_done_is_told_to_people(source, out, capsys):
    assert run(["speech", "gather", str(source), "--to", str(out), "--upload-batch-size", "6"]) == 0
    told = capsys.readouterr()
    first, second = told.out.splitlines()
    assert first.startswith(f"{out}: 10 rows in 2 shards, 10 of them now, in ")
    assert second == "source: 10 kept; left out: 1 other_language, 1 undecodable"
    assert "12/12 rows" in told.err


def test_what_was_done_is_told_to_programs(source, out):
    told = gathered_by(source, "--to", out).told
    state = json.loads((out / "_state" / "state.json").read_text())
    assert told["sources"] == state["sources"]
    assert [told[name] for name in ("to", "rows", "added", "shards", "bytes", "failed")] == [
        str(out),
        10,
        10,
        1,
        (out / "data" / "train-00000.parquet").stat().st_size,
        {},
    ]
    assert told["rows_per_second"] == pytest.approx(10 / told["seconds"], rel=0.1)
    again = gathered_by(source, "--to", out).told
    assert (again["rows"], again["added"]) == (10, 0)


# --- dry run


@pytest.mark.parametrize("flags", [(), ("--fresh",), ("--accept-legacy",)])
def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(source, out, flags, tmp_path):
    write_older(out, [3, 1])
    before = files_of(tmp_path)
    code = 0 if flags else 2
    told = gathered_by(source, "--to", out, "--dry-run", *flags, code=code)
    assert files_of(tmp_path) == before
    if flags:
        assert told.told["deletes_first"] == (flags == ("--fresh",))
        lists = [(s["said"], s["files"], s["rows"]) for s in told.told["sources"]]
        assert lists == [(str(source), 2, 12)]


def test_a_dry_run_makes_no_folder_and_no_repository(source, tmp_path, hub, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    told = gathered_by("demo", "--to", tmp_path / "out", "--dry-run").told
    assert [(s["said"], s["files"], s["rows"]) for s in told["sources"]] == [("demo", 4, 200)]
    assert gathered_by(source, "--to", "hf://user/out", "--dry-run").told["generation"] == 1
    assert {place.name for place in tmp_path.iterdir()} <= {"hub", "hub-home"}
    assert {method for method, _ in hub.endpoint_log} == {"GET"}


def test_a_dry_run_tells_how_far_the_target_is_and_which_source_is_missing(source, out, tmp_path):
    gathered_by(source, "--to", out)
    before = files_of(out)
    (tmp_path / "empty").mkdir()
    flags = ["--to", out, "--append", "--dry-run"]
    told = gathered_by(source, tmp_path / "empty", *flags, code=4).told
    assert told["rows"] == 10
    assert list(told["failed"]) == [str(tmp_path / "empty")]
    assert files_of(out) == before


# --- 2: what cannot be asked for


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([], "no source is given; give demo, GigaSpeech2"),
        (["demo", "--sample-size", "0"], "sample_size: 0 is outside [1..]"),
        (["demo", "--fresh", "--append"], "give one of them"),
        (["Gigaspeech2"], "did you mean 'GigaSpeech2'?"),
        (["demo?sound=x"], "'sound' is none of audio, transcript"),
        (["demo", "--sampel"], "--sampel"),
        (["demo", "--workers", "many"], "--workers"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_and_leaves_nothing(tokens, said, out, capsys):
    assert run(["speech", "gather", *tokens, "--to", str(out)]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
    assert visible(out) == {}


@pytest.mark.parametrize("to", ["hf://name", "hf://user/", "hf://us er/name"])
def test_a_target_that_is_no_repository_is_refused(source, to):
    assert "want hf://user/name" in gathered_by(source, "--to", to, code=2).error


def test_a_target_must_be_given(source, capsys):
    assert run(["speech", "gather", str(source)]) == 2
    assert "--to" in capsys.readouterr().err


def test_all_leaves_out_what_was_named_at_another_place(source, tmp_path, out, hub):
    layouts.write_gigaspeech2(tmp_path / "copy", layouts.clips_of(source))
    for repo in list(NAMED.values())[1:]:
        HfApi().create_repo(repo.removeprefix("hf://"), repo_type="dataset")
    flags = ["--all", "--sample", "--dry-run", "--to", out]
    told = gathered_by(f"GigaSpeech2={tmp_path / 'copy'}", *flags, code=4).told
    assert list(told["failed"]) == ["MozillaCommonVoice", "ProcessedVoiceTH"]
    assert [s["said"] for s in told["sources"]] == [f"GigaSpeech2={tmp_path / 'copy'}"]


# --- 3: another token


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_source_that_wants_another_token_ends_with_3(status, out, hub):
    hub.faults.add(match="GET /api/datasets/someone/speech", kind=status)
    told = gathered_by("hf://someone/speech", "--to", out, *ONCE, code=3)
    assert "hf://someone/speech: " in told.error
    assert "hf auth login" in told.error
    assert visible(out) == {}


@pytest.mark.parametrize("match", ["GET /api/datasets/user/out", "POST .*/create", COMMIT])
def test_a_target_that_wants_another_token_ends_with_3(match, source, tmp_path, hub):
    hub.faults.add(match=match, kind="403", times=None)
    flags = ["--work-dir", tmp_path / "work", *ONCE]
    told = gathered_by(source, "--to", "hf://user/out", *flags, code=3)
    assert "hf://user/out: refused the token (HTTP 403)" in told.error
    assert "Traceback" not in told.error


# --- 4: a source


def test_a_repository_that_is_not_there_ends_with_4(out, hub):
    told = gathered_by("hf://someone/none", "--to", out, *ONCE, code=4)
    assert "hf://someone/none: is not there (HTTP 404)" in told.error
    assert visible(out) == {}


def test_an_empty_folder_ends_with_4(tmp_path, out):
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in gathered_by(tmp_path / "empty", "--to", out, code=4).error
    assert visible(out) == {}


def test_one_of_several_sources_that_fails_is_told_while_the_others_arrive(
    source, damaged, out, capsys
):
    told = gathered_by(damaged, source, "--to", out, code=4).told
    assert list(told["failed"]) == [str(damaged)]
    assert "train-00001.parquet" in told["failed"][str(damaged)]
    assert {s["name"]: s["is_done"] for s in told["sources"]} == {"source": True, "damaged": False}
    assert [row["dataset_name"] for row in rows_of(out)].count("source") == 10
    assert run(["speech", "gather", str(damaged), str(source), "--to", str(out)]) == 4
    assert f"{damaged}: failed: " in capsys.readouterr().out


def test_what_waits_behind_a_source_that_fails_last_arrives_without_it(source, damaged, out):
    told = gathered_by(source, damaged, "--to", out, "--upload-batch-size", 6, code=4).told
    assert list(told["failed"]) == [str(damaged)]
    assert told["rows"] == len(rows_of(out)) == 12  # whole shards, as if it was stopped there
    again = gathered_by(source, "--to", out, "--upload-batch-size", 6).told
    assert {s["name"]: s["is_done"] for s in again["sources"]} == {"source": True, "damaged": False}
    assert again["failed"] == {}


def test_one_of_several_sources_that_is_not_there_is_told_while_the_others_arrive(
    source, tmp_path, out
):
    (tmp_path / "empty").mkdir()
    told = gathered_by(tmp_path / "empty", source, "--to", out, code=4).told
    assert list(told["failed"]) == [str(tmp_path / "empty")]
    assert told["rows"] == 10
    write_speech(tmp_path / "empty", plain=True)
    again = gathered_by(tmp_path / "empty", source, "--to", out, "--append").told
    assert (again["added"], again["rows"]) == (12, 22)


# --- 5: speech, or what is held


@pytest.mark.parametrize("content", ["{}", "", '{"format": 2}'])
def test_a_state_that_cannot_be_read_ends_with_5(content, source, out):
    (out / "_state").mkdir(parents=True)
    (out / "_state" / "state.json").write_text(content)
    assert "start over with --fresh" in gathered_by(source, "--to", out, code=5).error
    assert visible(out) == {"_state/state.json": content.encode()}
    assert gathered_by(source, "--to", out, "--fresh").told["rows"] == 10


@pytest.mark.parametrize(
    ("engines", "said"),
    [("nobody", "is no speech-to-text engine"), ("gone.away:hear", "cannot be imported")],
)
def test_an_engine_that_is_not_there_ends_with_5(engines, said, source, out):
    flags = ["--enable-stt", "--stt-engines", engines]
    assert said in gathered_by(source, "--to", out, *flags, code=5).error
    assert not out.exists()


# --- 6: the target


def test_a_target_that_cannot_be_written_ends_with_6(source, tmp_path):
    (tmp_path / "file").write_text("")
    told = gathered_by(source, "--to", tmp_path / "file" / "out", code=6)
    assert f"{tmp_path / 'file'}" in told.error
    assert told.told is None


def test_a_hub_that_takes_nothing_ends_with_6_and_the_same_command_goes_on(source, tmp_path, hub):
    hub.faults.add(match=COMMIT, kind="503", times=2, skip=1)
    tokens = [source, "--to", "hf://user/out", "--work-dir", tmp_path / "work", *ONCE]
    assert "HTTP 503" in gathered_by(*tokens, code=6).error
    assert "HTTP 503" in gathered_by(*tokens, code=6).error
    assert gathered_by(*tokens).told["rows"] == 10


# --- stopped


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(source, tmp_path, hub):
    hub.faults.add(match=COMMIT, kind="stall", skip=1, after_bytes=0, seconds=1.0)
    tokens = [source, "--to", "hf://user/out", "--work-dir", tmp_path / "work"]
    words = ["speech", "gather", *map(str, tokens)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from workbench.cli import main; main()", *words],
        env=os.environ | client_environment(hub, tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not hub.faults.taken and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    told, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.splitlines()[-1] == "workbench: stopped; the same command goes on where it was"
    assert "Traceback" not in error
    assert told == ""
    again = gathered_by(*tokens).told
    assert (again["rows"], again["shards"]) == (10, 1)
