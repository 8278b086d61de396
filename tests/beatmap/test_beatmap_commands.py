"""Every flag of `workbench beatmap process`, by what it changes; and the cache from a store."""

import dataclasses
import io
import json
import multiprocessing
import threading

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from map_folders import write_map, write_maps

from workbench.beatmap.maps import process as process_room
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.songs import read_map
from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.cache import FeatureCache
from workbench.beatmap.writer.options import MelSpec
from workbench.cli import run

TESTED: set[str] = set()
ARGUMENTS = {"folders", "output"}
FIELDS = {field.name for field in dataclasses.fields(ProcessOptions)}


def flag(*names):
    """Say which flags a test is the test of."""
    assert set(names) <= FIELDS | ARGUMENTS
    TESTED.update(names)
    return lambda test: test


def told_by(capsys, *tokens, code=0):
    """Run a command; return its JSON, or what it says on standard error where it fails."""
    assert run(["beatmap", *map(str, tokens), "--json"]) == code
    out, error = capsys.readouterr()
    return json.loads(out) if out else error


@pytest.fixture
def maps(tmp_path):
    write_maps(tmp_path / "maps", 5)
    return tmp_path / "maps"


def test_every_flag_has_a_test():
    assert TESTED == FIELDS | ARGUMENTS


@flag("folders", "output")
def test_several_folders_go_into_one_store(capsys, tmp_path, maps):
    write_maps(tmp_path / "more", 2, seed=7)
    told = told_by(capsys, "process", maps, tmp_path / "more", "-o", tmp_path / "store")
    assert told["maps"] == told["listed"] == 7
    assert len(Store.open(tmp_path / "store").songs) == 7
    assert "no folder of maps is given" in told_by(capsys, "process", "-o", "x", code=2)


@flag("workers", "engine")
@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_workers_read_in_threads_or_in_processes_of_their_own(
    capsys, tmp_path, maps, monkeypatch, engine
):
    seen = []

    def watched(place):
        seen.append((threading.get_ident(), len(multiprocessing.active_children())))
        return read_map(place)

    if engine == "threads":
        monkeypatch.setattr(process_room, "read_map", watched)
    else:
        mapped = process_room.map_ordered

        def watched_map(*given, **more):
            seen.append((more["engine"], more["workers"]))
            return mapped(*given, **more)

        monkeypatch.setattr(process_room, "map_ordered", watched_map)
    flags = ("--workers", 2, "--engine", engine)
    assert told_by(capsys, "process", maps, "-o", tmp_path / "store", *flags)["maps"] == 5
    if engine == "threads":
        assert threading.get_ident() not in {thread for thread, _ in seen}
    else:
        assert seen == [("processes", 2)]


@flag("part_songs")
def test_files_end_after_so_many_songs(capsys, tmp_path, maps):
    told_by(capsys, "process", maps, "-o", tmp_path / "store", "--part-songs", 2)
    files = sorted((tmp_path / "store").glob("notes_*.parquet"))
    assert [pq.read_metadata(file).num_row_groups for file in files] == [2, 2, 1]


@flag("file_mb")
def test_files_end_before_they_are_too_long(capsys, tmp_path):
    write_maps(tmp_path / "maps", 4, notes=4000)
    told_by(capsys, "process", tmp_path / "maps", "-o", tmp_path / "store", "--file-mb", 1)
    files = sorted((tmp_path / "store").glob("notes_*.parquet"))
    assert [pq.read_metadata(file).num_row_groups for file in files] == [1, 1, 1, 1]


@flag("fresh")
def test_a_fresh_start_goes_through_all_maps_again(capsys, tmp_path, maps):
    tokens = ("process", maps, "-o", tmp_path / "store")
    assert told_by(capsys, *tokens)["resumed_at"] == 0
    assert told_by(capsys, *tokens)["resumed_at"] == 5
    assert told_by(capsys, *tokens, "--fresh")["resumed_at"] == 0


@flag("progress")
def test_progress_is_shown_or_not(capsys, tmp_path, maps):
    assert run(["beatmap", "process", str(maps), "-o", str(tmp_path / "a")]) == 0
    assert "reading: 5/5 maps" in capsys.readouterr().err
    assert run(["beatmap", "process", str(maps), "-o", str(tmp_path / "b"), "--no-progress"]) == 0
    assert capsys.readouterr().err == ""


# --- the cache


def test_a_cache_is_warmed_from_a_store_once(capsys, tmp_path):
    sound = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    soundfile.write(sound, samples, 22_050, format="WAV")
    for number, bpm in enumerate((174.3, 92.49)):
        write_map(tmp_path / "maps", f"{number}", seed=number, bpm=bpm, audio=sound.getvalue())
    write_map(tmp_path / "maps", "no sound", seed=2, audio=b"no sound", zipped=False)
    told_by(capsys, "process", tmp_path / "maps", "-o", tmp_path / "store")
    tokens = ("cache", tmp_path / "store", "-o", tmp_path / "cache", "--n-mels", 8)
    told = told_by(capsys, *tokens)
    assert (told["songs"], told["features"], told["computed"]) == (3, 3, 2)
    assert len(told["refused"]) == 1
    again = told_by(capsys, *tokens)
    assert (again["found"], again["computed"]) == (2, 0)
    assert len(FeatureCache(tmp_path / "cache", MelSpec(n_mels=8))) == 2


def test_songs_whose_files_are_gone_are_told_and_found_where_they_moved(capsys, tmp_path, maps):
    told_by(capsys, "process", maps, "-o", tmp_path / "store")
    maps.rename(tmp_path / "moved")
    tokens = ("cache", tmp_path / "store", "-o", tmp_path / "cache")
    assert "is no folder of maps" in told_by(capsys, *tokens, code=4)
    told = told_by(capsys, *tokens, "--maps", tmp_path / "moved")
    assert (told["gone"], told["features"], len(told["refused"])) == (0, 5, 5)
    (tmp_path / "moved" / "map 0-0002.zip").unlink()
    assert told_by(capsys, *tokens, "--maps", tmp_path / "moved", code=1)["gone"] == 1


def test_an_older_store_does_not_know_where_its_maps_lie(capsys, tmp_path):
    (tmp_path / "metadata.json").write_text("[]")
    told = told_by(capsys, "cache", tmp_path, "-o", tmp_path / "cache", code=1)
    assert "does not know where its maps lie" in told


# --- where maps come from


def test_a_game_without_levels_is_told(capsys, tmp_path):
    (tmp_path / "game").mkdir()
    assert run(["beatmap", "extract", str(tmp_path / "game"), "-o", str(tmp_path / "out")]) != 0
    assert capsys.readouterr().err.startswith("workbench: ")


def test_a_service_that_is_no_web_address_is_refused(capsys, tmp_path):
    tokens = ["beatmap", "download", "-o", str(tmp_path / "out"), "--base-url", "file:///etc"]
    assert run(tokens) == 2
    assert "base_url" in capsys.readouterr().err
