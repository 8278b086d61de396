"""Engines: whoever reads maps and songs, the bytes are the same, and a killer costs itself alone.

The maps of `deadly` are real: the machine that `tests/deadly` makes kills each worker process that
opens one of their files, as it would one that takes all memory.
"""

import json
import threading
from pathlib import Path

import pytest
import torch
from map_folders import write_map, write_maps
from sounds import file_of, music, shards_of, song, songs

from workbench.beatmap.maps.manifest import ROOTS
from workbench.beatmap.maps.options import ProcessOptions
from workbench.beatmap.maps.process import process
from workbench.beatmap.maps.sources_options import ExtractOptions
from workbench.beatmap.maps.store import Store
from workbench.beatmap.writer.cache import CACHE_NAME, warm
from workbench.beatmap.writer.options import CacheOptions
from workbench.errors import OptionsError

KILLER = "kills_its_reader"
BPMS = [120.0, 174.3, 92.49, 137.977]


def content_of(folder):
    """Return the files of a store, without where the maps lie on this machine."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.name: path.read_bytes() for path in files if path.name != ROOTS}


# --- the same bytes


@pytest.mark.parametrize("options", [ProcessOptions, CacheOptions, ExtractOptions])
def test_an_engine_that_is_none_is_refused(options):
    with pytest.raises(OptionsError, match=r"^engine: 'fibres' is none of"):
        options(engine="fibres")


def test_a_store_goes_on_under_another_engine(tmp_path):
    write_maps(tmp_path / "maps", 9)

    def stop(progress):
        if progress.done == 4:
            raise KeyboardInterrupt

    process([tmp_path / "maps"], tmp_path / "whole", ProcessOptions(part_songs=2))
    options = {"part_songs": 2, "workers": 2}
    with pytest.raises(KeyboardInterrupt):
        begun = ProcessOptions(engine="threads", **options)
        process([tmp_path / "maps"], tmp_path / "store", begun, stop)
    done = process([tmp_path / "maps"], tmp_path / "store", ProcessOptions(**options))
    assert 0 < done.resumed_at < 9
    assert content_of(tmp_path / "store") == content_of(tmp_path / "whole")


def test_threads_compute_the_same_features_and_leave_torch_as_it_was(tmp_path):
    sounds = songs(tmp_path / "songs", BPMS, 0.8)
    warm(tmp_path / "one", sounds, CacheOptions(shard_mb=0.01))
    before = torch.get_num_threads()
    torch.set_num_threads(before + 3)
    try:
        told = warm(
            tmp_path / "other", sounds, CacheOptions(shard_mb=0.01, workers=3, engine="threads")
        )
        after = [torch.get_num_threads()]
        asks = threading.Thread(target=lambda: after.append(torch.get_num_threads()))
        asks.start()
        asks.join()
    finally:
        torch.set_num_threads(before)
    assert told.computed == 4
    assert shards_of(tmp_path / "other") == shards_of(tmp_path / "one")
    assert after == [before + 3, before + 3]


@pytest.mark.soak
def test_a_cluster_makes_the_same_store_and_features_also_of_relative_folders(
    cluster, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_maps(tmp_path / "maps", 9)
    process([Path("maps")], tmp_path / "one", ProcessOptions(part_songs=2))
    options = ProcessOptions(part_songs=2, engine=cluster)
    process([Path("maps")], tmp_path / "other", options)
    assert content_of(tmp_path / "one") == content_of(tmp_path / "other")
    sounds = songs(Path("songs"), BPMS, 0.8)
    warm(tmp_path / "features", sounds, CacheOptions(shard_mb=0.01))
    told = warm(Path("others"), sounds, CacheOptions(shard_mb=0.01, engine=cluster))
    assert (told.computed, told.refused) == (4, {})
    assert shards_of(tmp_path / "others") == shards_of(tmp_path / "features")


# --- what kills its reader


def test_maps_that_kill_their_worker_are_left_out_by_name_and_the_others_are_read(deadly, tmp_path):
    write_maps(tmp_path / "maps", 7)
    process([tmp_path / "maps"], tmp_path / "seven", ProcessOptions())
    for name, zipped in ((f"a {KILLER}", False), (f"map 0-0003 {KILLER}", True)):
        write_map(tmp_path / "maps", name, seed=77, zipped=zipped)
    done = process([tmp_path / "maps"], tmp_path / "nine", ProcessOptions(workers=2))
    assert (done.manifest.listed, done.manifest.position) == (9, 9)
    assert dict(done.manifest.refused) == {"killed_worker": 2}
    lines = (tmp_path / "nine" / "skipped_0000.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [(skip["place"], skip["reason"], skip["is_map"]) for skip in told] == [
        (f"a {KILLER}", "killed_worker", True),
        (f"map 0-0003 {KILLER}.zip", "killed_worker", True),
    ]
    seven, nine = (Store.open(tmp_path / name) for name in ("seven", "nine"))
    assert [song.place for song in nine.songs] == [song.place for song in seven.songs]
    for kind in ("notes", "walls"):
        assert nine.table(kind).equals(seven.table(kind))


@pytest.mark.soak
def test_a_cluster_leaves_out_what_kills_its_workers(deadly_cluster, tmp_path):
    write_maps(tmp_path / "maps", 3)
    write_map(tmp_path / "maps", f"a {KILLER}", seed=77)
    done = process([tmp_path / "maps"], tmp_path / "store", ProcessOptions(engine=deadly_cluster))
    assert dict(done.manifest.refused) == {"killed_worker": 1}
    assert len(Store.open(tmp_path / "store").songs) == 3
    sounds = songs(tmp_path / "songs", BPMS[:2], 0.8)
    killer = song(tmp_path, KILLER, file_of(music(0.8, seed=9)))
    told = warm(tmp_path / "cache", [killer, *sounds], CacheOptions(engine=deadly_cluster))
    assert (told.computed, [kind for kind, _ in told.refused.values()]) == (2, ["killed_worker"])


@pytest.mark.soak
def test_a_song_that_kills_its_worker_is_refused_and_tried_again_by_the_next_run(
    deadly, tmp_path, monkeypatch
):
    sounds = songs(tmp_path / "songs", BPMS, 0.8)
    killer = song(tmp_path, KILLER, file_of(music(0.8, seed=9)))
    asked = [*sounds[:2], killer, *sounds[2:]]
    told = warm(tmp_path / "cache", asked, CacheOptions(workers=2))
    assert told.computed == 4
    ((name, (kind, reason)),) = told.refused.items()
    assert (name.split(": ")[0], kind) == (str(killer.path), "killed_worker")
    assert "died in every attempt" in reason
    assert "killed_worker" not in (tmp_path / "cache" / CACHE_NAME).read_text()
    monkeypatch.undo()
    again = warm(tmp_path / "cache", asked, CacheOptions(workers=2))
    assert (again.found, again.computed, again.refused) == (4, 1, {})
