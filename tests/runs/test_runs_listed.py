import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import index, leave

from workbench.cli import run
from workbench.errors import OptionsError
from workbench.runs.listing import stored_runs

MANY = st.lists(
    st.tuples(
        st.sampled_from(["beats", "songs"]),
        st.sampled_from(["tiny-0a", "tiny-0b", "sweep.x-1a", "sweep.x-1b"]),
        st.sampled_from(["done", "failed", "part"]),
    ),
    unique=True,
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(MANY)
def test_every_run_is_listed_once_and_found_by_every_beginning_that_is_its_own(
    many: list[tuple[str, str, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder)
        for book, name, state in many:
            leave(outputs, name, book=book, state=state)
        listing = stored_runs(outputs)
        assert listing.notes == ()
        assert sorted((r.notebook, r.run, r.state) for r in listing.runs) == sorted(many)
        whole = [r for r in listing.runs if r.state != "part"]
        for each in whole:
            for end in range(1, len(each.name)):
                begun = each.name[:end]
                alike = [r for r in whole if begun in (r.name[:end], r.folder.name[:end])]
                if begun == "/".join((each.notebook, each.run)) and each.state == "done":
                    alike = [each]
                if len(alike) == 1:
                    assert listing.find(begun) == alike[0]
                elif begun not in [r.name for r in whole]:
                    with pytest.raises(OptionsError, match="write more of it"):
                        listing.find(begun)
            assert listing.find(each.name) == each
            assert listing.find(str(each.folder)) == each


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_manifest_cut_or_overwritten_anywhere_is_listed_or_told_in_one_line(
    data: st.DataObject,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        outputs = Path(name)
        whole = leave(outputs, "tiny-a")
        path = leave(outputs, "tiny-b", results={"loss": 0.5}) / "manifest.json"
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content) - 1))
        more = data.draw(st.binary(max_size=4) | st.just(content[cut + 1 :]))
        path.write_bytes(content[:cut] + more)
        listing = stored_runs(outputs)
        assert listing.runs[0].folder == whole
        assert len(listing.runs) + len(listing.notes) == 2
        json.dumps([each.whole_json() for each in listing.runs], allow_nan=False)


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": []},
        {"seconds": "1"},
        {"seconds": 10**400},
        {"seconds": float("nan")},
        {"error": {"type": "ValueError"}},
        {"git": "dirty"},
        {"format": 2},
        {"run": "tiny-c"},
        {"notebook": "songs"},
    ],
)
def test_a_manifest_of_another_form_or_of_another_run_is_passed_over(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = leave(tmp_path, "tiny-b") / "manifest.json"
    assert len(stored_runs(tmp_path).runs) == 1
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    listing = stored_runs(tmp_path)
    assert listing.runs == ()
    assert [note.startswith(f"{path.parent}: ") for note in listing.notes] == [True]


def test_what_is_no_run_is_told_in_a_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = leave(tmp_path)
    (tmp_path / "runs.jsonl").write_text('nonsense\n{"format": 1')
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".gitkeep").write_text("")
    (tmp_path / "beats" / ".lock").write_text("")
    (tmp_path / "beats" / "a\nb").mkdir()
    (tmp_path / "beats" / "link").symlink_to(folder)
    (tmp_path / "beats" / "deep").mkdir()
    (tmp_path / "beats" / "deep" / "manifest.json").write_text("[" * 100_000)
    (tmp_path / "beats" / ".tiny-9.01234567.part.old").mkdir()
    assert run(["runs", "ls", "--outputs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["notebook", "beats"]
    told = {line.removeprefix(str(tmp_path)).partition(":")[0] for line in lines[3:]}
    assert len(lines) == 8
    wanted = {".tiny-9.01234567.part.old", "a\\nb", "deep", "link"}
    assert told == {"/notes.txt", *(f"/beats/{name}" for name in wanted)}


def test_numbers_that_json_has_not_do_not_hinder_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(tmp_path, parameters={"limit": float("inf"), "at": [float("nan")]})
    assert run(["runs", "ls", "--outputs", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"][0]["parameters"] == {"limit": "inf", "at": ["nan"]}


def test_the_index_says_when_a_run_ended_as_long_as_it_is_the_same_run(tmp_path: Path) -> None:
    one = leave(tmp_path, "tiny-a")
    other = leave(tmp_path, "tiny-b")
    index(tmp_path, one, "2026-01-31T12:00:00+00:00")
    index(tmp_path, other, "not a time")
    times = {each.run: each.at.isoformat() for each in stored_runs(tmp_path).runs}
    assert times == {"tiny-a": "2026-01-31T12:00:00+00:00", "tiny-b": "2001-09-09T01:46:40+00:00"}


def test_a_table_has_what_differs_and_what_was_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(tmp_path, "tiny-a", parameters={"seed": 1, "bpm": 90.0}, results={"loss": 0.5})
    leave(tmp_path, "tiny-b", parameters={"seed": 2, "bpm": 90.0}, state="failed", at=1e9 + 60)
    leave(tmp_path, "tiny-c", state="part", at=1e9 + 120)
    assert run(["runs", "ls", "beats", "--outputs", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["notebook", "run", "state", "when", "(UTC)", "seconds", "seed", "loss"],
        ["beats", "tiny-a", "done", "2001-09-09", "01:46", "2.5", "1", "0.5"],
        ["beats", "tiny-b.failed", "failed", "2001-09-09", "01:47", "2.5", "2", "-"],
        ["beats", ".tiny-c.abcd_123.part", "part", "2001-09-09", "01:48", "-", "-", "-"],
    ]


def test_showing_a_run_tells_its_error_and_its_notebook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git = {"commit": "c" * 40, "dirty": True}
    folder = leave(tmp_path, state="failed", versions={"python": "3.11.7"}, git=git)
    assert run(["runs", "show", "tiny", "--outputs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        f"notebook: {folder}/beats.ipynb",
        "error: cell 3: ValueError: no such drum",
    ]
    assert lines[4:] == [
        "parameters:",
        "  seed: 1",
        "",
        "versions:",
        "  python: 3.11.7",
        "",
        "git:",
        f"  commit: {'c' * 40}",
        "  dirty: true",
    ]
    assert run(["runs", "show", "tiny", "--outputs", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["error"] == {"type": "ValueError", "message": "no such drum", "cell": 3}
    assert (told["state"], told["git"], told["notebook_path"]) == (
        "failed",
        git,
        f"{folder}/beats.ipynb",
    )


def test_names_that_are_unknown_or_several_are_refused_with_near_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(tmp_path, "tiny-0a")
    leave(tmp_path, "tiny-0b", book="songs")
    words = ["--outputs", str(tmp_path)]
    for tokens, told in (
        (["show", "tiny"], "may be beats/tiny-0a, songs/tiny-0b"),
        (["show", "tinny-0b"], "near it are songs/tiny-0b"),
        (["compare", "tiny-0a", "zzz"], "`workbench runs ls` lists all"),
        (["ls", "song"], "did you mean 'songs'?"),
        (["ls", "--outputs", str(tmp_path / "no")], "is no folder"),
    ):
        assert run(["runs", *tokens, *(words if "--outputs" not in tokens else [])]) == 2
        assert told in capsys.readouterr().err


def test_no_runs_are_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "ls", "--outputs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: no runs\n"
    assert os.listdir(tmp_path) == []  # noqa: PTH208
