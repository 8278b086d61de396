"""Whatever is given to train on or to open, the answer is a reason or one clear line."""

import os
import resource
import subprocess
import sys
from collections import Counter

import pytest
from corpora import names_in, state_of, trained, tree, write_beat, write_drums

from workbench.cli import run
from workbench.demo.malformed import KINDS, make_malformed_midi
from workbench.errors import GrooveError
from workbench.groove.options import TrainOptions
from workbench.groove.train import train
from workbench.streaming.filelist import listed

# What a reader says of a file that is damaged or has no place among beats.
REFUSALS = {
    "data_byte",
    "div0",
    "empty",
    "format2",
    "magic",
    "metre0",
    "running_status",
    "smpte",
    "tempo0",
    "truncated",
    "varlen",
}
# Damage that leaves a legal file without a note, and legal files that no grid can hold.
BROKEN_BUT_SILENT = {"made_header_only", "made_track_len_zero"}
OFF_ANY_GRID = {"made_delta_max": "too_long", "made_timesig_33_64": "metre_off_grid"}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """One file of every malformed kind, and nothing else."""
    folder = tmp_path_factory.mktemp("kinds") / "corpus"
    make_malformed_midi(folder)
    return folder


def skips_of(model):
    """Return (reason, detail) of every skipped file by its name without the ending."""
    return {
        entry["file"].removesuffix(".mid"): (entry["reason"], entry["detail"])
        for entry in model.skipped()
    }


# --- every kind of file


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_broken_kind_has_its_reason_and_the_others_are_counted(kinds, tmp_path, jobs):
    before = tree(kinds)
    model = trained(kinds, tmp_path / "model", min_notes=1, jobs=jobs).model
    skips = skips_of(model)
    assert all(detail for _, detail in skips.values())
    for kind, known in KINDS.items():
        reason = skips.get(kind, ("counted", ""))[0]
        if kind in OFF_ANY_GRID:
            assert reason == OFF_ANY_GRID[kind]
        elif kind in BROKEN_BUT_SILENT or not known.has_notes:
            assert reason == "no_notes", kind
        elif known.outcome == "broken":
            assert reason in REFUSALS, kind
        else:
            assert reason == "counted", kind
    assert {reason for reason, _ in skips.values()} >= REFUSALS
    assert model.description["processed"] == len(KINDS) == len(skips) + model.description["kept"]
    assert model.description["kept"] > 30
    assert tree(kinds) == before


def test_odd_files_of_few_notes_are_counted_or_say_so(kinds, tmp_path):
    model = trained(kinds, tmp_path / "model").model
    skips = skips_of(model)
    legal = {kind for kind, known in KINDS.items() if known.outcome == "odd"} - set(OFF_ANY_GRID)
    reasons = Counter(skips[kind][0] for kind in legal if kind in skips)
    assert reasons.keys() == {"few_notes", "no_notes"}
    assert reasons["few_notes"] > 5
    assert model.description["kept"] == len(legal) - reasons.total() > 15


@pytest.mark.malformed
def test_the_files_beside_the_checkout_have_the_reasons_of_their_kinds(malformed, kinds, tmp_path):
    before = tree(malformed)
    found = skips_of(trained(malformed, tmp_path / "model", min_notes=1).model)
    made = skips_of(trained(kinds, tmp_path / "made", min_notes=1).model)
    names = {path.stem for path in malformed.glob("*.mid")}
    assert len(names) == 36
    fuzzed = {name for name in names if "fuzz" in name}  # random bytes, other ones in each
    assert len(fuzzed) == 6
    assert fuzzed <= found.keys()
    assert {found[name][0] for name in fuzzed} <= REFUSALS
    for name in names - fuzzed:
        assert found.get(name, ("",))[0] == made.get(name, ("",))[0], name
    assert tree(malformed) == before


def test_broken_files_among_whole_ones_take_nothing_from_the_counts(kinds, tmp_path):
    for number in range(3):
        write_beat(tmp_path / "whole" / f"{number}.mid", seed=number)
    whole = trained(tmp_path / "whole", tmp_path / "of_whole").model
    for kind, known in KINDS.items():
        if known.outcome == "broken":
            (tmp_path / "whole" / f"{kind}.mid").write_bytes((kinds / f"{kind}.mid").read_bytes())
    mixed = trained(tmp_path / "whole", tmp_path / "of_both").model
    for name in ("kept", "notes", "steps", "bars", "streams"):
        assert mixed.description[name] == whole.description[name]
    for path in whole.folder.glob("*.npy"):
        assert (mixed.folder / path.name).read_bytes() == path.read_bytes()
    broken = sum(known.outcome == "broken" for known in KINDS.values())
    assert mixed.description["skipped"] == broken > 25


def test_files_that_are_gone_folders_or_dangling_links_are_skipped_by_name(tmp_path):
    write_beat(tmp_path / "a.mid")
    (tmp_path / "folder.mid").mkdir()
    (tmp_path / "link.mid").symlink_to(tmp_path / "nowhere.mid")
    (tmp_path / "list.txt").write_text("gone.mid\na.mid\nfolder.mid\nlink.mid\n")
    model = train(listed(tmp_path / "list.txt"), tmp_path / "model", TrainOptions()).model
    assert model.description["kept"] == 1
    assert set(skips_of(model)) == {"gone", "folder", "link"}
    assert all(reason and detail for reason, detail in skips_of(model).values())


@pytest.mark.parametrize("jobs", [1, 2])
def test_fail_fast_stops_at_the_first_broken_file_with_its_path_and_reason(tmp_path, jobs):
    for number in range(6):
        write_beat(tmp_path / "corpus" / f"{number}.mid", seed=number % 5)  # 5 is a copy of 0
    write_drums(tmp_path / "corpus" / "1.mid", [0])  # few notes: a choice, not a defect
    (tmp_path / "corpus" / "3.mid").write_bytes(b"MThd\0\0")
    (tmp_path / "corpus" / "4.mid").write_bytes(b"")
    before = tree(tmp_path / "corpus")
    with pytest.raises(GrooveError, match=r"^3\.mid: truncated: .+; stopped by --fail-fast$"):
        trained(tmp_path / "corpus", tmp_path / "model", fail_fast=True, jobs=jobs)
    assert not (tmp_path / "model").exists()
    assert tree(tmp_path / "corpus") == before
    found = trained(tmp_path / "corpus", tmp_path / "model", jobs=jobs).model
    assert found.description["reasons"] == {
        "duplicate": 1,
        "empty": 1,
        "few_notes": 1,
        "truncated": 1,
    }


# --- one clear line


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with a small corpus, its model, and a folder `new` for outputs."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        write_beat(tmp_path / "corpus" / f"{number}.mid", seed=number)
    trained(tmp_path / "corpus", tmp_path / "model")
    (tmp_path / "new").mkdir()
    (tmp_path / "text.txt").write_text("a text of mine\n")
    (tmp_path / "void").mkdir()
    (tmp_path / "void" / "notes.txt").write_text("no MIDI\n")
    (tmp_path / "empty.txt").write_text("\n \r\n\n")
    (tmp_path / "missing.txt").write_text("one.mid\ntwo.mid\n")
    (tmp_path / "binary.txt").write_bytes(b"a.mid\0b.mid\n")
    (tmp_path / "no_file.csv").write_text("name,style\n0.mid,rock\n")
    (tmp_path / "bare.csv").write_text("file\n0.mid\n")
    (tmp_path / "latin.csv").write_bytes(b"file,style\n0.mid,bl\xfcs\n")
    return tmp_path


def one_line(capsys, place, *tokens):
    """Run a command that must fail in one line and change nothing; return the line."""
    before = tree(place)
    code = run(["groove", *tokens])
    told = capsys.readouterr()
    assert code != 0
    assert told.out == ""
    assert told.err.startswith("workbench: ")
    assert told.err.endswith("\n")
    assert told.err.count("\n") == 1
    assert tree(place) == before
    return told.err


TRAIN = ("-o", "new/model", "--no-progress")


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["--from-filelist", "empty.txt"], "empty.txt: the list is empty; write one path a line"),
        (
            ["--from-filelist", "missing.txt"],
            "one.mid: no such file, nor any other of the list's 2",
        ),
        (["--from-filelist", "binary.txt"], "binary.txt: is no text; give a list of paths"),
        (["--from-filelist", "corpus"], "corpus: no readable list of files (is a folder, give it"),
        (["--from-filelist", "nowhere.txt"], "nowhere.txt: no readable list of files"),
        (["--from-filelist", "text.txt"], "a text of mine: no such file"),
        (["nowhere"], "nowhere: is no folder"),
        (["text.txt"], "text.txt: is no folder; give a folder, or a list by --from-filelist"),
        (["void"], "void: holds no file ending in .mid"),
        (["corpus", "--labels", "nowhere.csv"], "nowhere.csv: no readable table of labels"),
        (["corpus", "--labels", "corpus"], "corpus: no readable table of labels"),
        (["corpus", "--labels", "no_file.csv"], "has the columns name, style; needs `file`"),
        (["corpus", "--labels", "bare.csv"], "needs `file` and at least one of"),
        (["corpus", "--labels", "latin.csv"], "latin.csv: no readable table of labels"),
        (["corpus", "--validation", "void"], "void: holds no file"),
        (["corpus", "--sqlite-path", "text.txt"], "text.txt: no usable store of counts"),
        (["corpus", "--sqlite-path", "corpus"], "corpus: no usable store of counts"),
        (["corpus", "--checkpoint-dir", "text.txt"], "text.txt"),
        (["corpus", "--resume-from", "nowhere"], "nowhere: no store to resume from"),
        (["corpus", "--min-notes", "100000"], "could be counted (3 few_notes); there is no model"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_trained_on_is_one_line_and_nothing_is_written(place, capsys, tokens, said):
    assert said in one_line(capsys, place, "train", *tokens, *TRAIN)
    assert names_in(place / "new") == []


@pytest.mark.parametrize("output", ["text.txt", "corpus", "text.txt/model", "corpus/0.mid"])
@pytest.mark.parametrize("command", ["train", "merge"])
def test_an_output_place_that_holds_something_else_is_one_line(place, capsys, command, output):
    of = {"train": ["train", "corpus", "--no-progress"], "merge": ["merge", "model"]}
    line = one_line(capsys, place, *of[command], "-o", output)
    assert output.removesuffix("/model") in line


def damaged(place, how):
    """Make a model that is none at `place / how`."""
    folder = place / how
    if how == "nowhere":
        return
    folder.mkdir()
    contents = {
        "void_model": None,
        "no_json": b"{",
        "no_text": b"\xff\xfe",
        "list": b"[]",
        "lacking": b'{"format": 1}',
        "later": b'{"format": 99}',
    }
    if contents[how] is not None:
        (folder / "model.json").write_bytes(contents[how])


@pytest.mark.parametrize(
    "how", ["nowhere", "void_model", "no_json", "no_text", "list", "lacking", "later"]
)
@pytest.mark.parametrize("command", ["sample", "score", "info", "merge"])
def test_an_unreadable_model_is_one_line(place, capsys, command, how):
    damaged(place, how)
    more = {
        "sample": ["-o", "new/a.mid"],
        "score": ["corpus"],
        "info": [],
        "merge": ["-o", "new/model"],
    }
    line = one_line(capsys, place, command, how, *more[command])
    assert line.startswith(f"workbench: {how}: ")
    assert ("format 99" if how == "later" else "no readable groove model") in line
    assert names_in(place / "new") == []


@pytest.mark.parametrize("command", ["sample", "score", "merge"])
@pytest.mark.parametrize("spoil", ["cut", "gone", "other"])
def test_a_model_with_damaged_arrays_is_one_line(place, capsys, command, spoil):
    for path in (place / "model").glob("*.keys.npy"):
        content = path.read_bytes()
        path.unlink()
        if spoil != "gone":
            path.write_bytes(content[: len(content) // 2] if spoil == "cut" else b"a text of mine")
    more = {
        "sample": ["-o", "new/a.mid"],
        "score": ["corpus"],
        "merge": ["-o", "new/model"],
    }
    line = one_line(capsys, place, command, "model", *more[command])
    assert "model" in line
    assert names_in(place / "new") == []


def test_a_corpus_to_score_that_is_none_is_one_line(place, capsys):
    assert "void: holds no file" in one_line(capsys, place, "score", "model", "void")
    assert "nowhere: is no folder" in one_line(capsys, place, "score", "model", "nowhere")


def test_a_prime_that_cannot_be_read_is_one_line(place, capsys):
    for prime in ("text.txt", "nowhere.mid", "corpus"):
        tokens = ("sample", "model", "-o", "new/a.mid", "--prime", prime)
        assert prime in one_line(capsys, place, *tokens)


# --- a full disk


def mounted(folder, size):
    """Mount a small disk at a folder; return whether that is permitted."""
    folder.mkdir()
    tokens = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(tokens, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 100 kB, and how to make it larger."""
    folder = tmp_path / "disk"
    if not mounted(folder, "100k"):
        pytest.skip("no right to mount a disk here; the tests with a limit of file size run")

    def enlarge():
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)

    try:
        yield folder, enlarge
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_under_the_store_is_one_line_and_with_room_it_goes_on(
    plain, corpus, small_disk, tmp_path, capsys
):
    disk, enlarge = small_disk
    before = tree(corpus.folder)
    store = disk / "counts.sqlite"
    tokens = ["groove", "train", corpus.folder, "--labels", corpus.folder / "labels.csv"]
    tokens += ["-o", tmp_path / "model", "--sqlite-path", store, "--save-every", 1, "--no-progress"]
    tokens = [str(token) for token in tokens]
    assert run(tokens) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"workbench: {store}: the counts could not be written (")
    assert told.err.endswith("make room and run the same command again\n")
    assert (told.err.count("\n"), told.out) == (1, "")
    assert names_in(tmp_path) == ["disk"]
    enlarge()
    stood = state_of(store)["position"]
    assert 0 < stood < len(corpus.paths)
    assert run([*tokens, "--json"]) == 0
    assert f'"resumed_at": {stood}' in capsys.readouterr().out
    assert tree(tmp_path / "model") == tree(plain.folder)
    assert tree(corpus.folder) == before


def test_a_full_disk_under_the_model_is_one_line_and_leaves_nothing(
    plain, corpus, small_disk, tmp_path, capsys
):
    disk, enlarge = small_disk
    tokens = ["groove", "train", corpus.folder, "--labels", corpus.folder / "labels.csv"]
    tokens += ["-o", disk / "model", "--sqlite-path", tmp_path / "counts.sqlite", "--no-progress"]
    tokens = [str(token) for token in tokens]
    assert run(tokens) == 1
    told = capsys.readouterr()
    assert told.err.startswith("workbench: ")
    assert str(disk) in told.err
    assert (told.err.count("\n"), told.out) == (1, "")
    assert names_in(disk) == []
    enlarge()
    assert run(tokens) == 0
    assert tree(disk / "model") == tree(plain.folder)


def under_a_limit(size, *tokens):
    """Run a command in a process that can write no file beyond some bytes."""
    code = "from workbench.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "groove", *map(str, tokens)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )


def test_a_store_that_may_not_grow_is_one_line_and_nothing_half_written(plain, corpus, tmp_path):
    tokens = ["train", corpus.folder, "-o", tmp_path / "new" / "model", "--save-every", 1]
    tokens += ["--labels", corpus.folder / "labels.csv", "--no-progress"]
    found = under_a_limit(60_000, *tokens)
    assert (found.returncode, found.stdout) == (1, "")
    last = found.stderr.splitlines()[-1]
    assert last.startswith("workbench: ")
    assert "make room and run the same command again" in last
    assert "Traceback" not in found.stderr
    assert names_in(tmp_path / "new")[:1] == ["model.counts.sqlite"]
    assert run([str(token) for token in ("groove", *tokens)]) == 0
    assert tree(tmp_path / "new" / "model") == tree(plain.folder)


def test_a_model_that_may_not_grow_is_one_line_and_an_older_one_stays(plain, corpus, tmp_path):
    older = trained(write_beat(tmp_path / "one" / "a.mid").parent, tmp_path / "model").model
    before, shard = tree(tmp_path), tree(plain.folder)
    assert before["model/model.json"] != shard["model.json"]
    found = under_a_limit(20_000, "merge", plain.folder, "-o", older.folder)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("workbench: ")
    assert found.stderr.count("\n") == 1
    assert tree(tmp_path) == before
    assert tree(plain.folder) == shard


def test_a_groove_that_may_not_be_written_is_one_line(plain, tmp_path):
    found = under_a_limit(40, "sample", plain.folder, "-o", tmp_path / "a.mid")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith(f"workbench: {tmp_path / 'a.mid'}: could not be written (")
    assert found.stderr.count("\n") == 1
    assert names_in(tmp_path) == []


# --- no permission


@pytest.mark.parametrize("locked", ["model", "store", "replaced"])
def test_a_folder_that_may_not_be_written_is_one_line(place, obey_permissions, locked):
    folder = place / "locked"
    folder.mkdir()
    if locked == "replaced":
        trained(place / "corpus", folder / "model")
    before = tree(place)
    tokens = ["train", "corpus", "--no-progress", "-o"]
    tokens += ["new/model", "--checkpoint-dir", "locked"] if locked == "store" else ["locked/model"]
    folder.chmod(0o500)
    found = subprocess.run(
        [sys.executable, "-c", "from workbench.cli import main; main()", "groove", *tokens],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=obey_permissions,
    )
    folder.chmod(0o700)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("workbench: locked/model.counts.sqlite: ") or locked == "store"
    assert "name a file in a folder that can be written" in found.stderr
    assert found.stderr.count("\n") == 1
    assert tree(place) == before


def test_a_model_that_may_not_be_written_leaves_the_store_to_go_on_from(place, obey_permissions):
    (place / "locked").mkdir(mode=0o500)
    tokens = ["train", "corpus", "--no-progress", "-o", "locked/model", "--sqlite-path", "a.sqlite"]
    found = subprocess.run(
        [sys.executable, "-c", "from workbench.cli import main; main()", "groove", *tokens],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=obey_permissions,
    )
    (place / "locked").chmod(0o700)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "workbench: locked/model: could not be written (Permission denied)\n"
    assert names_in(place / "locked") == []
    assert state_of(place / "a.sqlite")["position"] == 3
    assert run(["groove", *tokens]) == 0
    assert tree(place / "locked" / "model") == tree(place / "model")


def test_a_file_that_may_not_be_read_is_skipped_by_name(place, obey_permissions):
    (place / "corpus" / "1.mid").chmod(0)
    tokens = ["train", "corpus", "-o", "new/model", "--no-progress"]
    found = subprocess.run(
        [sys.executable, "-c", "from workbench.cli import main; main()", "groove", *tokens],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=obey_permissions,
    )
    (place / "corpus" / "1.mid").chmod(0o600)
    assert found.returncode == 0
    assert found.stderr.startswith("skipped 1.mid: io_error: [Errno 13] Permission denied")
    assert "kept: 2\n" in found.stdout


# --- odd names


def test_names_that_are_no_utf_8_are_counted_and_skipped_like_others(place):
    (place / "corpus" / "0.mid").rename(place / "corpus" / os.fsdecode(b"\xff.mid"))
    (place / "corpus" / os.fsdecode(b"\xfe.mid")).write_bytes(b"no MIDI")
    model = trained(place / "corpus", place / "new" / "model").model
    assert model.description["kept"] == 3
    ((skipped, _),) = skips_of(model).items()
    assert os.fsencode(skipped) == b"\xfe"
