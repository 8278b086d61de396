"""Processing: every map once, the same bytes however it is done, and a bad map costs one map."""

import hashlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from map_folders import AUDIO, KINDS, put, v2_info, write_map, write_maps

from workbench.beatmap.maps import songs as reading_of_songs
from workbench.beatmap.maps.manifest import MANIFEST, ROOTS
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.roots import list_fingerprint, places_of
from workbench.beatmap.maps.store import Store
from workbench.cli import run
from workbench.errors import BeatmapError, OptionsError, SinkError, SourceError
from workbench.progress import Progress

SMALL = {"part_songs": 5}
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twenty-three maps, some of them zips; and what they hold."""
    root = tmp_path_factory.mktemp("process") / "maps"
    made = write_maps(root, 23, seed=1)
    return root, sorted(made, key=lambda each: each.name)


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """The store of the corpus, made in one go by one worker."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    process([corpus[0]], folder, ProcessOptions(**SMALL))
    return folder


def content_of(folder):
    """Return the files of a store by their names, without where the maps lie on this machine."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return {name: content for name, content in names.items() if name != ROOTS}


# --- what goes in comes out


def test_every_note_of_every_map_is_in_the_store_once(corpus, whole):
    store = Store.open(whole)
    assert [song.place for song in store.songs] == [made.name for made in corpus[1]]
    for song, made in zip(store.songs, corpus[1], strict=True):
        table = store.table("notes", [song])
        found = {}
        for row in table.to_pylist():
            note = tuple(row[name] for name in ("beat", "lane", "layer", "color", "direction"))
            found.setdefault(row["difficulty"], []).append(note)
        assert found == made.notes
        assert {kind: song.groups[kind].rows for kind in song.groups} == {
            kind: count for kind, count in made.counts.items() if count
        }


def test_a_song_is_known_with_all_that_its_info_says(corpus, whole):
    made = corpus[1][3]
    song = Store.open(whole).songs[3]
    assert (song.title, song.artist, song.mapper) == (
        made.name.removesuffix(".zip"),
        "nobody",
        "a program",
    )
    assert (song.bpm, song.audio, song.source) == (made.bpm, "song.ogg", "folder")
    assert song.audio_digest == hashlib.sha256(made.audio).hexdigest()
    assert song.audio_bytes == len(made.audio)
    hard, plus = song.beatmaps
    assert (hard.difficulty, hard.rank, hard.njs, hard.offset) == ("Hard", 5, 15.0, -0.25)
    assert (plus.label, plus.version, plus.file) == (
        "my ExpertPlus",
        "3.3.0",
        "ExpertPlusStandard.dat",
    )
    assert plus.time_map.bpm.tolist()[-2:] == [100.0, 141.3]
    assert song.time_map.bpm.tolist() == [made.bpm]
    assert plus.counts["notes"] == len(made.notes["ExpertPlus"])
    seconds = plus.time_map.seconds_at([note[0] for note in made.notes["ExpertPlus"]])
    assert plus.nps == pytest.approx(len(seconds) / (seconds[-1] - seconds[0]))


def test_times_follow_the_tempo_changes(corpus, whole):
    """100 bpm to beat 8, 141.3 from there."""
    table = Store.open(whole).table("notes", columns=["beat", "time_seconds"])
    beat, seconds = table["beat"].to_numpy(), table["time_seconds"].to_numpy()
    expected = [b * 0.6 if b < 8 else 4.8 + (b - 8) * 60 / 141.3 for b in beat]
    assert seconds == pytest.approx(expected, abs=2e-6)


def test_zips_and_folders_of_one_content_are_one_song(tmp_path):
    write_map(tmp_path / "maps", "a", seed=5, zipped=False)
    write_map(tmp_path / "maps", "a", seed=5, zipped=True)
    done = process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    assert (done.manifest.counts["maps"], done.manifest.duplicates) == (1, 1)
    (song,) = Store.open(tmp_path / "store").songs
    assert song.place == "a"


def test_maps_of_one_audio_keep_their_own_keys_and_share_that_of_the_audio(tmp_path):
    for seed in (1, 3):
        write_map(tmp_path / "maps", f"by {seed}", seed=seed, audio=AUDIO)
    process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    one, other = Store.open(tmp_path / "store").songs
    assert one.key != other.key
    assert one.audio_key == other.audio_key == hashlib.sha256(AUDIO).hexdigest()


def test_what_the_map_service_says_is_kept_and_an_unrated_map_has_no_score(tmp_path):
    stats = {"upvotes": 7, "downvotes": 2, "score": 0.81}
    told = {"id": "1a2b", "versions": [], "stats": stats}
    write_map(tmp_path / "maps", "a", seed=1, service=told)
    write_map(tmp_path / "maps", "b", seed=2, service=told | {"stats": {}})
    process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    rated, unrated = Store.open(tmp_path / "store").songs
    assert (rated.source, rated.source_id, rated.score) == ("service", "1a2b", 0.81)
    assert (rated.upvotes, rated.downvotes) == (7, 2)
    assert (unrated.source, unrated.score, unrated.upvotes) == ("service", None, None)


@pytest.mark.beatsaber
def test_the_public_maps_are_processed(beatsaber, tmp_path):
    done = process([beatsaber], tmp_path / "store", ProcessOptions())
    told = done.manifest
    assert (told.listed, told.counts["maps"], told.counts["difficulties"]) == (5, 2, 45)
    assert told.counts["notes"] == 584
    store = Store.open(tmp_path / "store")
    assert len(store.table("notes")) == 584
    assert {skip.place for skip in store.skipped()} == {
        f"filled_v1_to_v4/v{version}" for version in (1, 2, 4)
    }


# --- the same bytes


@pytest.mark.parametrize(
    "options", [{"workers": 3, "engine": "threads"}, {"workers": 2, "engine": "processes"}]
)
def test_the_store_is_the_same_bytes_whoever_reads(corpus, whole, tmp_path, options):
    process([corpus[0]], tmp_path / "store", ProcessOptions(**SMALL, **options))
    assert content_of(tmp_path / "store") == content_of(whole)


def test_a_finished_store_is_left_as_it_is(corpus, whole):
    before = {path: path.stat().st_mtime_ns for path in whole.glob("*[0-9].*")}
    done = process([corpus[0]], whole, ProcessOptions(**SMALL))
    assert (done.maps_read, done.resumed_at) == (0, 23)
    assert {path: path.stat().st_mtime_ns for path in whole.glob("*[0-9].*")} == before


def test_the_order_in_which_folders_are_given_does_not_matter(tmp_path):
    for folder in ("b", "a"):
        write_maps(tmp_path / folder, 3, seed=ord(folder))
    one, other = [tmp_path / "a", tmp_path / "b"], [tmp_path / "b", tmp_path / "a"]
    process(one, tmp_path / "one", ProcessOptions())
    process(other, tmp_path / "other", ProcessOptions())
    assert content_of(tmp_path / "one") == content_of(tmp_path / "other")
    places = Store.open(tmp_path / "one").places()
    assert sorted(place.name.partition("/")[0] for place in places.values()) == list("aaabbb")
    assert all(place.path.exists() for place in places.values())


def test_a_corpus_that_moved_gives_the_same_bytes_and_goes_on(corpus, whole, tmp_path):
    corpus[0].rename(tmp_path / "moved")
    try:
        assert process([tmp_path / "moved"], whole, ProcessOptions(**SMALL)).maps_read == 0
        assert json.loads((whole / ROOTS).read_text()) == {"": str(tmp_path / "moved")}
        process([tmp_path / "moved"], tmp_path / "store", ProcessOptions(**SMALL))
    finally:
        (tmp_path / "moved").rename(corpus[0])
    assert content_of(tmp_path / "store") == content_of(whole)


# --- bad maps


def broken(root):
    """Write maps that cannot be read, and some whose every other difficulty can."""
    put(root, "1 no json", {"Info.dat": b'{"_version": "2.0.0", "_difficulty'}, zipped=False)
    (root / "2 no zip.zip").write_bytes(b"PK\3\4 and no more")
    info = json.dumps(v2_info("half", 120.0, ("Easy", "Hard"), "Standard")).encode()
    good = {"version": "3.3.0", "colorNotes": [{"b": 1, "x": 1, "y": 0, "c": 0, "d": 1, "a": 0}]}
    half = {"Info.dat": info, "EasyStandard.dat": json.dumps(good).encode(), "song.ogg": AUDIO}
    put(
        root,
        "3 half",
        half | {"HardStandard.dat": b'{"version": "3.3.0", "colorNotes": [{'},
        zipped=False,
    )
    missing = json.dumps(v2_info("gone", 120.0, ("Easy", "Hard"), "Standard")).encode()
    put(root, "4 one missing", half | {"Info.dat": missing}, zipped=True)
    silent = json.dumps(v2_info("silent", 120.0, ("Easy",), "Standard")).encode()
    put(
        root,
        "5 silent",
        {"Info.dat": silent, "EasyStandard.dat": json.dumps(good).encode()},
        zipped=True,
    )


def test_a_bad_map_costs_one_map_and_is_named_with_its_place(tmp_path):
    write_maps(tmp_path / "maps", 4, seed=2)
    broken(tmp_path / "maps")
    done = process([tmp_path / "maps"], tmp_path / "store", ProcessOptions(part_songs=2))
    told, store = done.manifest, Store.open(tmp_path / "store")
    assert (told.listed, told.counts["maps"], told.refused_maps) == (9, 7, 2)
    assert told.duplicates == 0
    assert sum(told.refused.values()) == len(store.skipped()) == 4
    skips = {(skip.place, skip.is_map): skip for skip in store.skipped()}
    assert set(skips) == {
        ("1 no json", True),
        ("2 no zip.zip", True),
        ("3 half", False),
        ("4 one missing.zip", False),
    }
    assert skips["2 no zip.zip", True].reason == "bad_zip"
    assert "Info.dat" in skips["1 no json", True].detail
    assert skips["3 half", False].at.startswith("HardStandard.dat")
    assert skips["4 one missing.zip", False].reason == "missing_file"
    halves = [song for song in store.songs if song.title in ("half", "gone")]
    assert [[beatmap.difficulty for beatmap in song.beatmaps] for song in halves] == [["Easy"]] * 2


def test_a_map_without_audio_is_stored_and_its_fault_told(tmp_path):
    broken(tmp_path / "maps")
    done = process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    silent = Store.open(tmp_path / "store").songs[-1]
    assert (silent.title, silent.audio_digest, silent.audio_bytes) == ("silent", "", 0)
    assert silent.audio_key == silent.key
    assert done.manifest.faults["missing_audio"] == silent.fault_counts["missing_audio"] == 1
    assert "song.ogg" in str(silent.faults[0])


def test_a_mistake_in_reading_costs_one_map_and_is_logged(tmp_path, monkeypatch, caplog):
    write_maps(tmp_path / "maps", 4, seed=2)
    read = reading_of_songs.read_level

    def fails(files):
        if files.place.endswith("0001"):
            raise ZeroDivisionError("a mistake")
        return read(files)

    monkeypatch.setattr(reading_of_songs, "read_level", fails)
    with caplog.at_level(logging.ERROR):
        done = process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    assert (done.manifest.counts["maps"], done.manifest.refused) == (3, {"crash": 1})
    (skip,) = Store.open(tmp_path / "store").skipped()
    assert (skip.place, skip.detail) == ("map 2-0001", "ZeroDivisionError: a mistake")
    assert "Traceback" in caplog.text


# --- going on


class StopsError(Exception):
    """Raised where a run is to end."""


def test_a_run_that_ends_anywhere_goes_on_and_ends_in_the_same_bytes(corpus, whole, tmp_path):
    folder, ends = tmp_path / "store", [2, 4, 5, 6, 9, 3]
    for end in ends:
        seen = []

        def show(progress, end=end, seen=seen):
            seen.append(progress)
            if len(seen) == end:
                raise StopsError

        with pytest.raises(StopsError):
            process([corpus[0]], folder, ProcessOptions(**SMALL), show)
    done = process([corpus[0]], folder, ProcessOptions(**SMALL))
    assert done.resumed_at == 15
    assert content_of(folder) == content_of(whole)


def test_a_level_that_was_stored_before_the_end_of_a_run_is_known_to_the_next(tmp_path):
    write_maps(tmp_path / "maps", 4)
    for name in ("z 1", "z 2"):
        write_map(tmp_path / "maps", name, seed=0, zipped=False)  # "map 0-0000" but for its title
        for path in (tmp_path / "maps" / "map 0-0000").iterdir():
            (tmp_path / "maps" / name / path.name).write_bytes(path.read_bytes())

    def stop(progress):
        if progress.done == 5:
            raise StopsError

    with pytest.raises(StopsError):
        process([tmp_path / "maps"], tmp_path / "store", ProcessOptions(part_songs=4), stop)
    done = process([tmp_path / "maps"], tmp_path / "store", ProcessOptions(part_songs=4))
    assert (done.resumed_at, done.manifest.duplicates, done.manifest.counts["maps"]) == (4, 2, 4)


def test_progress_counts_from_the_very_start_and_tells_when_it_ends(corpus, tmp_path):
    seen: list[Progress] = []
    process([corpus[0]], tmp_path / "store", ProcessOptions(**SMALL), seen.append)
    assert [progress.done for progress in seen] == list(range(1, 24))
    assert seen[-1].is_last
    assert seen[-1].numbers["notes"] == sum(made.counts["notes"] for made in corpus[1])
    assert seen[10].eta_seconds > 0


def test_other_maps_or_options_are_refused_until_told_to_begin_anew(tmp_path):
    write_maps(tmp_path / "maps", 3)
    process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    with pytest.raises(OptionsError, match=r"part_songs: .* was made with 500, not 2; .*--fresh"):
        process([tmp_path / "maps"], tmp_path / "store", ProcessOptions(part_songs=2))
    write_map(tmp_path / "maps", "one more", seed=9)
    with pytest.raises(OptionsError, match=r"made from other maps .* \(3, now 4"):
        process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    process([tmp_path / "maps"], tmp_path / "store", ProcessOptions(fresh=True, part_songs=2))
    process([tmp_path / "maps"], tmp_path / "other", ProcessOptions(part_songs=2))
    assert content_of(tmp_path / "store") == content_of(tmp_path / "other")


def test_lists_of_maps_differ_by_names_and_sizes_of_files(tmp_path):
    root = tmp_path / "maps"
    write_maps(root, 3)
    found = [list_fingerprint(places_of([root]))]
    (root / "map 0-0000" / "song.ogg").write_bytes(b"")
    found.append(list_fingerprint(places_of([root])))
    (root / "map 0-0002.zip").write_bytes(b"")
    found.append(list_fingerprint(places_of([root])))
    (root / "map 0-0000").rename(root / "map 0")
    found.append(list_fingerprint(places_of([root])))
    assert len(set(found)) == 4
    assert found[-1] == list_fingerprint(places_of([root]))


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    write_maps(tmp_path / "maps", 1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes_0000.parquet").write_bytes(b"mine")
    with pytest.raises(OptionsError, match=r"holds notes_0000.parquet and no manifest.json"):
        process([tmp_path / "maps"], tmp_path / "mine", ProcessOptions(fresh=False))
    assert content_of(tmp_path / "mine") == {"notes_0000.parquet": b"mine"}


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("content", [b'{"name": "an app"}', b"[]", b"no json", b""])
def test_a_manifest_of_another_program_is_never_written_over(tmp_path, content, fresh):
    write_maps(tmp_path / "maps", 1)
    (tmp_path / "app").mkdir()
    mine = {MANIFEST: content, "notes_0000.parquet": b"mine"}
    for name, held in mine.items():
        (tmp_path / "app" / name).write_bytes(held)
    with pytest.raises(OptionsError, match="none of a store of maps") as refused:
        process([tmp_path / "maps"], tmp_path / "app", ProcessOptions(fresh=fresh))
    assert "--fresh" not in str(refused.value)
    held = content_of(tmp_path / "app")
    assert {name: held[name] for name in held if "lock" not in name} == mine


def test_the_lock_of_a_store_outlives_the_work_on_it(tmp_path):
    write_maps(tmp_path / "maps", 2)
    for _ in range(2):
        process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
        left = [path.name for path in (tmp_path / "store" / ".staging").iterdir()]
        assert left == ["lock"]


@pytest.mark.parametrize("harm", ["gone", "cut"])
@pytest.mark.parametrize("name", ["songs_0000.jsonl", "notes_0000.parquet"])
def test_a_store_that_lost_a_file_is_not_gone_on_with(tmp_path, name, harm):
    write_maps(tmp_path / "maps", 2)
    process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    file = tmp_path / "store" / name
    file.write_bytes(file.read_bytes()[:-9])
    if harm == "gone":
        file.unlink()
    with pytest.raises(BeatmapError, match=f"{name}.*with --fresh") as refused:
        process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    assert refused.value.kind == "bad_store"
    process([tmp_path / "maps"], tmp_path / "store", ProcessOptions(fresh=True))
    assert len(Store.open(tmp_path / "store").songs) == 2


def test_what_is_said_beside_a_zip_is_part_of_the_list(tmp_path):
    write_maps(tmp_path / "maps", 3)
    (told,) = [place.path for place in places_of([tmp_path / "maps"]) if place.kind == "zip"]
    found = []
    for score in (0.5, 0.7):
        told.with_suffix(".json").write_text(
            json.dumps({"versions": [], "stats": {"score": score}})
        )
        found.append(list_fingerprint(places_of([tmp_path / "maps"])))
    os.utime(told.with_suffix(".json"), (1, 1))
    assert found[0] != found[1] == list_fingerprint(places_of([tmp_path / "maps"]))


@pytest.mark.parametrize("difficulties", [None, [], 5])
def test_an_info_that_lists_nothing_is_refused_as_that(tmp_path, difficulties):
    info = v2_info("song", 120.0, ("Expert",), "Standard") | {
        "_difficultyBeatmapSets": difficulties
    }
    put(tmp_path / "maps", "one", {"Info.dat": json.dumps(info).encode()}, zipped=False)
    done = process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())
    assert done.manifest.refused == {"no_beatmaps": 1}


def test_a_folder_without_maps_and_a_place_that_is_none_are_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="empty: holds no map"):
        process([tmp_path / "empty"], tmp_path / "store", ProcessOptions())
    with pytest.raises(SourceError, match="is no folder of maps"):
        process([tmp_path / "nowhere"], tmp_path / "store", ProcessOptions())
    with pytest.raises(OptionsError, match="no folder of maps is given"):
        process([], tmp_path / "store", ProcessOptions())
    for parent in ("one", "two"):
        write_maps(tmp_path / parent / "maps", 1)
    same = [tmp_path / "one" / "maps", tmp_path / "two" / "maps"]
    with pytest.raises(OptionsError, match="two folders are called maps"):
        process(same, tmp_path / "store", ProcessOptions())
    assert not (tmp_path / "store").exists()


def test_two_processes_do_not_write_one_store(tmp_path):
    write_maps(tmp_path / "maps", 1)
    (tmp_path / "store" / ".staging").mkdir(parents=True)
    with (
        FileLock(tmp_path / "store" / ".staging" / "lock"),
        pytest.raises(SinkError, match="another process is at work there"),
    ):
        process([tmp_path / "maps"], tmp_path / "store", ProcessOptions())


# --- killed at any moment


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A process that has imported everything, from which command lines are forked."""
    script = [sys.executable, str(HERE / "process_once.py")]
    with subprocess.Popen(
        script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as forks:
        yield Runs(forks, tmp_path_factory.mktemp("says") / "says")
        forks.stdin.close()


class Runs:
    """Command lines that may be killed.

    Attributes:
        says: What they said.
    """

    def __init__(self, forks, says):
        self._forks = forks
        self.says = says

    def run(self, tokens, kill_after=None):
        """Run a command line; return its exit code, and how long it took."""
        told = {"tokens": [str(token) for token in tokens], "says": str(self.says)}
        begun = time.monotonic()
        self._forks.stdin.write(json.dumps(told) + "\n")
        pid = int(self._forks.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(pid, signal.SIGKILL)  # also where it has ended: its id is still its own
        return int(self._forks.stdout.readline()), time.monotonic() - begun


def tokens_of(root, folder, *more):
    return ["beatmap", "process", root, "-o", folder, "--part-songs", 5, "--no-progress", *more]


def kill_and_go_on(runs, corpus, whole, folder, kills, *more):
    """Kill a run again and again, then let it end; return where each was killed."""
    tokens, chance = tokens_of(corpus[0], folder, *more), random.Random(str(folder.name))
    code, seconds = runs.run(tokens_of(corpus[0], folder.with_name("timed"), *more))
    assert code == 0, runs.says.read_text()
    met = []
    while len(met) < kills:
        code, _ = runs.run(tokens, kill_after=chance.uniform(0, seconds))
        position = position_of(folder)
        if code == -signal.SIGKILL:
            met.append(position)
            continue
        assert code == 0, runs.says.read_text()
        assert content_of(folder) == content_of(whole)
        runs.run([*tokens, "--fresh"], kill_after=chance.uniform(0, seconds / 2))
    assert runs.run(tokens)[0] == 0, runs.says.read_text()
    assert content_of(folder) == content_of(whole)
    return met


def position_of(folder):
    """Return how many maps are committed, or None where there is no manifest yet."""
    path = folder / MANIFEST
    return json.loads(path.read_text())["position"] if path.exists() else None


@pytest.mark.soak
def test_a_run_that_is_killed_goes_on_and_ends_in_the_same_bytes(runs, corpus, whole, tmp_path):
    kill_and_go_on(runs, corpus, whole, tmp_path / "store", 3)


@pytest.mark.soak
@pytest.mark.parametrize(
    "more", [(), ("--workers", 3, "--engine", "threads"), ("--workers", 2)], ids=str
)
def test_twenty_kills_at_random_moments(runs, corpus, whole, tmp_path, more):
    met = kill_and_go_on(runs, corpus, whole, tmp_path / "store", 20, *more)
    assert len(set(met)) > 1, met


def test_what_a_killed_run_left_half_written_is_gone_after_the_next(corpus, whole, tmp_path):
    folder = tmp_path / "store"

    def stop(progress):
        if progress.done == 7:
            raise StopsError

    with pytest.raises(StopsError):
        process([corpus[0]], folder, ProcessOptions(**SMALL), stop)
    (folder / "notes_0009.parquet").write_bytes(b"moved, and not listed")
    (folder / "songs_0001.jsonl").write_bytes(b"moved, and not listed")
    (folder / f".{MANIFEST}.0123abcd.part").write_bytes(b"half")
    (folder / f".{ROOTS}.0123abcd.part").write_bytes(b"half")
    (folder / ".staging" / "bombs_0000.parquet").write_bytes(b"half")
    process([corpus[0]], folder, ProcessOptions(**SMALL))
    assert content_of(folder) == content_of(whole)


# --- the command line


def test_the_command_tells_what_is_in_the_store_and_what_was_refused(tmp_path, capsys):
    write_maps(tmp_path / "maps", 4, seed=2)
    broken(tmp_path / "maps")
    tokens = ["beatmap", "process", str(tmp_path / "maps"), "-o", str(tmp_path / "store")]
    assert run([*tokens, "--json", "--no-progress"]) == 0
    told = json.loads(capsys.readouterr().out)
    store = Store.open(tmp_path / "store")
    assert {kind: told[kind] for kind in KINDS} == {kind: len(store.table(kind)) for kind in KINDS}
    assert (told["maps"], told["difficulties"], told["refused_maps"]) == (7, 11, 2)
    assert told["refused"]["bad_zip"] == 1
    assert (told["resumed_at"], told["listed"], told["duplicates"]) == (0, 9, 0)
