"""Every flag of `workbench groove train`, by what it changes; a flag that is ignored fails here."""

import contextlib
import csv
import dataclasses
import gc
import io
import json
import logging
import multiprocessing
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import mido
import numpy as np
import pytest
from corpora import (
    HAT,
    KICK,
    PPQ,
    SNARE,
    files_of,
    model_rows,
    names_in,
    rows_of,
    runs_in,
    state_of,
    trained,
    write_beat,
    write_drums,
)

from workbench.cli import run
from workbench.groove.model import open_model
from workbench.groove.options import COUNTING_FIELDS, TrainOptions
from workbench.groove.score import score_files

TESTED: set[str] = set()
ARGUMENTS = {"loop_dir", "from_filelist", "output"}
FIELDS = {field.name for field in dataclasses.fields(TrainOptions)}


def flag(*names):
    """Say which flags a test is the test of."""
    assert set(names) <= FIELDS | ARGUMENTS
    TESTED.update(names)
    return lambda test: test


@pytest.fixture
def place(tmp_path):
    """Return a folder with room for a corpus and its models."""
    (tmp_path / "corpus").mkdir()
    return tmp_path


def by_flags(place, *flags, output="model", code=0, source="corpus"):
    """Train by the command line; return its JSON, its standard error and the model."""
    given = [str(place / source)] if source else []
    tokens = ["groove", "train", *given, "-o", str(place / output), "--json", *map(str, flags)]
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        assert run(tokens) == code, error.getvalue()
    if code:
        return SimpleNamespace(error=error.getvalue())
    told = json.loads(out.getvalue())
    model = open_model(place / output)
    return SimpleNamespace(told=told, error=error.getvalue(), **told | {"model": model})


def kept(place, *flags):
    return by_flags(place, *flags).told["kept"]


def beats(place, count, **more):
    for number in range(count):
        write_beat(place / "corpus" / f"{number}.mid", seed=number, **more)
    return place / "corpus"


def skipped_files(model):
    return {entry["file"]: entry["reason"] for entry in model.skipped()}


def event_targets(model):
    """Return (bar parity, step, pitch) of every event that was counted."""
    tokens = {key & 0xFFFF for key in model_rows(model, "events")}
    return {(token >> 14, token >> 7 & 127, token & 127) for token in tokens}


# --- all of them


def test_every_flag_has_its_test():
    assert FIELDS | ARGUMENTS == TESTED


def test_every_field_is_a_flag_with_help_in_words(capsys):
    assert run(["groove", "train", "--help"]) == 0
    told = capsys.readouterr().out
    for name in FIELDS | ARGUMENTS:
        assert f"--{name.replace('_', '-')}" in told
    said = " ".join(told.replace("│", " ").split())
    for words in ("little effect, as counting leaves none", "keys are exact here and nothing"):
        assert words in said  # of --gc-every and --hash-buckets


# --- where from and where to


@flag("loop_dir")
def test_loop_dir_is_searched_at_any_depth_in_the_order_of_names(place):
    for name in ("b.mid", "a/z.MID", "a/deep/a.midi", "c.txt"):
        write_beat(place / "corpus" / name, seed=len(name))
    write_drums(place / "corpus" / "a" / "few.mid", [0])
    told = by_flags(place)
    assert told.processed == 4
    assert [(e["index"], e["file"]) for e in told.model.skipped()] == [(1, "a/few.mid")]


@flag("from_filelist")
def test_from_filelist_counts_what_it_names_in_its_order(place):
    beats(place, 4)
    (place / "list.txt").write_text("corpus/3.mid\ncorpus/gone.mid\ncorpus/1.mid\n")
    told = by_flags(place, "--from-filelist", place / "list.txt", source=None)
    assert (told.processed, told.kept) == (3, 2)
    assert skipped_files(told.model) == {"corpus/gone.mid": "io_error"}


@flag("output")
def test_output_is_where_the_model_appears(place):
    beats(place, 1)
    told = by_flags(place, output="deep/er/model")
    assert told.told["model"] == str(place / "deep" / "er" / "model")
    assert "model.json" in names_in(place / "deep" / "er" / "model")


# --- which files


@flag("shard_index", "num_shards")
def test_shard_index_and_num_shards_deal_files_round_robin(place):
    beats(place, 7)
    found = {}
    for index in range(3):
        told = by_flags(
            place, "--num-shards", 3, "--shard-index", index, "--min-notes", 999, output=f"{index}"
        )
        assert (told.num_shards, told.shards) == (3, [index])
        found |= dict.fromkeys((e["index"] for e in told.model.skipped()), index)
    assert found == {0: 0, 1: 1, 2: 2, 3: 0, 4: 1, 5: 2, 6: 0}


@flag("min_bytes", "max_bytes")
def test_min_bytes_and_max_bytes_skip_by_size(place):
    for number, bars in enumerate((1, 4, 16)):
        write_beat(place / "corpus" / f"{number}.mid", bars=bars)
    sizes = files_of(place / "corpus").sizes.tolist()
    told = by_flags(place, "--min-bytes", sizes[1], "--max-bytes", sizes[1])
    assert skipped_files(told.model) == {"0.mid": "few_bytes", "2.mid": "many_bytes"}
    told = by_flags(place, "--min-bytes", sizes[0], "--max-bytes", sizes[2])
    assert told.kept == 3
    told = by_flags(place, "--min-bytes", sizes[0] + 1, "--max-bytes", sizes[2] - 1)
    assert told.kept == 1


@flag("min_notes")
def test_min_notes_skips_shorter_performances(place):
    for count in (7, 8, 9):
        write_drums(place / "corpus" / f"{count}.mid", range(count))
    assert skipped_files(by_flags(place).model) == {"7.mid": "few_notes"}
    assert kept(place, "--min-notes", 9) == 1
    assert kept(place, "--min-notes", 0) == 3


@flag("min_bars")
def test_min_bars_skips_performances_of_fewer_bars(place):
    for bars in (1, 2, 3):
        write_beat(place / "corpus" / f"{bars}.mid", bars=bars)
    assert kept(place) == 3
    assert skipped_files(by_flags(place, "--min-bars", 3).model) == {
        "1.mid": "few_bars",
        "2.mid": "few_bars",
    }


@flag("max_files")
def test_max_files_stops_after_so_many_kept(place):
    beats(place, 5)
    write_drums(place / "corpus" / "00.mid", [0])  # the second of the list; not kept
    told = by_flags(place, "--max-files", 2)
    assert (told.kept, told.processed, told.stopped) == (2, 3, "max_files 2")


@flag("part")
def test_part_chooses_drums_or_pitched_notes_or_all(place):
    file = mido.MidiFile(ticks_per_beat=PPQ)
    for channel, pitch in ((9, KICK), (0, 64)):
        track = mido.MidiTrack()
        for _ in range(9):
            track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=90))
            track.append(mido.Message("note_off", channel=channel, note=pitch, time=PPQ))
        file.tracks.append(track)
    file.save(place / "corpus" / "a.mid")
    for part, pitches in (("drums", {KICK}), ("pitched", {64}), ("all", {KICK, 64})):
        model = by_flags(place, "--part", part).model
        assert {pitch for _, _, pitch in event_targets(model)} == pitches
        assert ("steps" in model.streams) == (part == "drums")


@flag("model")
def test_model_is_of_n_grams_or_a_mixture_of_drum_classes(place):
    beats(place, 2)
    for name in ("ngrams", "mixture"):
        told = by_flags(place, "--model", name)
        assert (told.model.mixture is not None) == (name == "mixture")
        assert ("pieces" in told.model.streams) == (name == "mixture")
    by_flags(place, "--model", "mixture", "--part", "all", code=2)


@flag("fills")
def test_fills_are_counted_or_skipped_or_all_there_is(place):
    write_beat(place / "corpus" / "a_beat.mid", seed=1)
    write_beat(place / "corpus" / "b_fill.mid", seed=2)
    assert kept(place, "--fills", "count") == 2
    assert skipped_files(by_flags(place, "--fills", "skip").model) == {"b_fill.mid": "section"}
    assert skipped_files(by_flags(place, "--fills", "only").model) == {"a_beat.mid": "section"}
    (place / "labels.csv").write_text("file,section\na_beat.mid,fill\n")
    labels = ("--labels", place / "labels.csv")
    assert by_flags(place, "--fills", "only", *labels).kept == 2  # the table knows better


@flag("dedup")
def test_dedup_counts_equal_contents_once(place):
    for name in "abc":
        write_beat(place / "corpus" / f"{name}.mid", seed=1)
    assert by_flags(place).reasons == {"duplicate": 2}
    assert kept(place, "--no-dedup") == 3


@flag("fail_fast")
def test_fail_fast_stops_at_the_first_file_that_cannot_be_read(place):
    beats(place, 3)
    (place / "corpus" / "1.mid").write_bytes(b"RIFF")
    write_drums(place / "corpus" / "0b.mid", [0])  # too short is no fault
    told = by_flags(place, "--fail-fast", code=1)
    assert told.error.splitlines()[-1] == (
        "workbench: 1.mid: magic: begins with b'RIFF', not with b'MThd'; stopped by --fail-fast"
    )
    assert "model" not in names_in(place)
    assert by_flags(place, "--no-fail-fast").kept == 2


# --- tempos


@flag("tempo_policy", "min_bpm", "max_bpm")
def test_min_bpm_and_max_bpm_skip_under_the_policy_skip(place):
    for bpm in (60, 120, 240):
        write_beat(place / "corpus" / f"{bpm}.mid", seed=bpm, bpm=bpm)
    bounds = ("--min-bpm", 100, "--max-bpm", 200)
    assert kept(place, *bounds) == 3
    assert kept(place, "--tempo-policy", "skip") == 3
    told = by_flags(place, *bounds, "--tempo-policy", "skip")
    assert skipped_files(told.model) == {"60.mid": "tempo", "240.mid": "tempo"}
    assert kept(place, "--tempo-policy", "skip", "--min-bpm", 100) == 2
    assert kept(place, "--tempo-policy", "skip", "--max-bpm", 100) == 1


@flag("fold_halves")
def test_fold_halves_doubles_or_halves_before_the_policy_acts(place):
    for bpm in (60, 120, 240):
        write_beat(place / "corpus" / f"{bpm}.mid", seed=bpm, bpm=bpm)
    bounds = ("--min-bpm", 110, "--max-bpm", 219, "--tempo-policy", "skip")
    assert kept(place, *bounds) == 1
    assert kept(place, *bounds, "--fold-halves") == 3
    assert kept(place, "--min-bpm", 130, "--tempo-policy", "skip", "--fold-halves") == 3


@flag("fallback_bpm")
def test_fallback_bpm_is_the_tempo_of_what_is_out_of_bounds(place):
    ticks = np.arange(32) * PPQ // 4 + np.arange(32) % 5 * 7
    write_drums(place / "corpus" / "a.mid", ticks, bpm=12)
    errors = []
    for flags in (
        ("--tempo-policy", "accept"),
        ("--tempo-policy", "fallback"),
        ("--tempo-policy", "fallback", "--fallback-bpm", 60),
    ):
        model = by_flags(place, *flags).model
        errors.append(score_files(model, place / "corpus").quantised_mae_ms)
    assert errors[0] == pytest.approx(10 * errors[1])  # 12 against 120 bpm
    assert errors[0] == pytest.approx(5 * errors[2])


# --- the grid and the streams


@flag("n")
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_n_is_the_length_of_the_n_grams(place, n):
    beats(place, 2)
    model = by_flags(place, "--n", n).model
    assert [name for name, _ in model.streams["events"].fields] == [
        f"note_{k}" for k in range(1, n)
    ]
    rows = model_rows(model, "events")
    assert (max(rows) >> 16 * n == 0) and (n == 1 or max(rows) >> 16 * (n - 1) > 0)
    assert sum(rows.values()) == model.description["notes"]


@flag("resolution")
def test_resolution_is_the_steps_of_a_quarter_or_chosen_by_the_onsets(place):
    for parts in (2, 3, 4, 6):
        write_drums(place / "corpus" / "a.mid", np.arange(8 * parts) * PPQ // parts)
        told = by_flags(place, "--resolution", 0)
        assert told.counting["resolution"] == parts
        assert told.steps == 8 * parts
        assert {step for _, step, _ in event_targets(told.model)} == set(range(4 * parts))
    assert by_flags(place, "--resolution", 2).steps == 3 * 8  # the last sextuplet is in bar 3
    assert by_flags(place, "--resolution", 12).steps == 2 * 48


@flag("coarse")
def test_coarse_events_know_the_beat_alone(place):
    beats(place, 2)
    assert {step for _, step, _ in event_targets(by_flags(place).model)} >= {1, 2, 14}
    coarse = by_flags(place, "--coarse").model
    assert {step for _, step, _ in event_targets(coarse)} == {0, 1, 2, 3}


@flag("beats_per_bar")
def test_beats_per_bar_takes_the_place_of_the_metre_map(place):
    write_beat(place / "corpus" / "a.mid", bars=6)
    assert by_flags(place).bars == 6
    told = by_flags(place, "--beats-per-bar", 3)
    assert told.bars == 8
    assert {step for _, step, _ in event_targets(told.model)} <= set(range(12))


@flag("onset_order")
def test_onset_order_sorted_compares_steps_before_pitches(place):
    ticks = [tick for quarter in range(8) for tick in (quarter * PPQ + 10, quarter * PPQ + 5)]
    write_drums(place / "corpus" / "a.mid", ticks, [KICK, SNARE] * 8)  # the snare a little early

    def first_and_second(*flags):
        rows = model_rows(by_flags(place, *flags).model, "events")
        return {(key >> 16 & 127, key & 127) for key in rows if key >> 16 & 0xFFFF != 1 << 15}

    played = first_and_second()
    both = first_and_second("--onset-order", "sorted")
    assert played == both == {(KICK, SNARE), (SNARE, KICK)}
    order = [
        min(key & 0xFFFF for key in model_rows(by_flags(place, *flags).model, "events")
            if key >> 16 == (1 << 15 | 1 << 31 | 1 << 47))
        for flags in ((), ("--onset-order", "sorted"))
    ]  # fmt: skip
    assert [token & 127 for token in order] == [SNARE, KICK]


@flag("labels")
def test_labels_are_counted_with_the_steps(place, corpus):
    (place / "corpus").rmdir()
    (place / "corpus").symlink_to(corpus.folder)
    bare = by_flags(place)
    assert (bare.labels, [name for name in bare.model.streams if "." in name]) == ({}, [])
    told = by_flags(place, "--labels", corpus.folder / "labels.csv")
    assert {name for name in told.model.streams if "." in name} == {
        "steps.style",
        "steps.drummer",
        "steps.section",
    }
    with (corpus.folder / "labels.csv").open(newline="") as table:
        drummers = {row["drummer"] for row in csv.DictReader(table)}
    assert told.labels["drummer"] == sorted(drummers)
    assert len(model_rows(told.model, "steps.drummer")) > 100


# --- finishing


@flag("min_count")
def test_min_count_leaves_rare_n_grams_out(place, corpus):
    (place / "corpus").rmdir()
    (place / "corpus").symlink_to(corpus.folder)
    whole, pruned = by_flags(place), by_flags(place, "--min-count", 3, output="pruned")
    assert pruned.min_count == 3
    assert pruned.notes == whole.notes
    for stream in ("events", "steps", "velocity"):
        counts = model_rows(whole.model, stream)
        assert model_rows(pruned.model, stream) == {k: n for k, n in counts.items() if n >= 3}
        assert 0 < len(model_rows(pruned.model, stream)) < len(counts)


@flag("smoothing")
def test_smoothing_chooses_the_estimator(place):
    beats(place, 3)
    found = {}
    for smoothing in ("concentration", "modified_kneser_ney"):
        told = by_flags(place, "--smoothing", smoothing)
        assert told.smoothing == smoothing
        levels = told.model.description["streams"]["events"]["levels"]
        found[smoothing] = [level["concentration"] for level in levels]
    assert min(found["concentration"]) > 0 == max(found["modified_kneser_ney"])


# --- watching


@flag("progress")
def test_progress_is_told_on_standard_error_or_not(place):
    beats(place, 3)
    assert "counted: 3/3 files" in by_flags(place).error
    assert by_flags(place, "--no-progress").error == ""


@flag("mem_stats")
def test_mem_stats_tell_the_memory_with_the_progress(place):
    beats(place, 3)
    assert "rss_mb" not in by_flags(place).error
    (line,) = by_flags(place, "--mem-stats").error.splitlines()[-1:]
    told = dict(part.rsplit(" ", 1) for part in line.split(", ")[2:])
    assert 20 < float(told["rss_mb"]) < 5000


@flag("log_every")
def test_log_every_so_many_files_a_line_is_logged(place, caplog):
    beats(place, 7)
    with caplog.at_level(logging.INFO):
        by_flags(place, "--log-every", 3)
    assert [text.partition(",")[0] for text in caplog.messages] == [
        "counting: 3/7 files",
        "counting: 6/7 files",
    ]
    caplog.clear()
    by_flags(place, "--log-every", 0)
    assert caplog.messages == []


@flag("gc_every")
def test_gc_every_so_many_files_garbage_is_collected(place):
    beats(place, 7)
    collections = []

    def note(phase, details):
        collections.append((phase, details["generation"]))

    def collected(*flags):
        collections.clear()
        by_flags(place, *flags)
        return collections.count(("start", 2))

    gc.disable()
    gc.callbacks.append(note)
    try:
        assert collected("--gc-every", 2) - collected("--gc-every", 0) == 3
    finally:
        gc.callbacks.remove(note)
        gc.enable()


@flag("validation", "validate_every")
def test_validation_scores_every_so_many_files_on_a_folder(place, corpus):
    beats(place, 7)
    for number in range(2):
        write_beat(place / "other" / f"{number}.mid", seed=50 + number)
    other = ("--validation", place / "other")
    assert by_flags(place).told["history"] == []
    assert by_flags(place, *other).told["history"] == []
    history = by_flags(place, *other, "--validate-every", 3).told["history"]
    assert [entry["files"] for entry in history] == [3, 6]
    whole = by_flags(place, "--max-files", 6, output="six").model
    expected = score_files(whole, place / "other").bits_per_bar
    assert history[1]["bits_per_bar"] == pytest.approx(expected)
    assert names_in(place) == ["corpus", "model", "other", "six", "six.counts.sqlite"]
    theirs = by_flags(place, "--validation", corpus.folder, "--validate-every", 6).told["history"]
    assert theirs[0]["bits_per_bar"] > 2 * history[1]["bits_per_bar"]


# --- the store, and how much at once


@flag("checkpoint_dir")
def test_checkpoint_dir_is_where_the_store_is_and_stays(place):
    beats(place, 2)
    by_flags(place, "--checkpoint-dir", place / "deep" / "checkpoints")
    assert names_in(place / "deep" / "checkpoints") == ["model.counts.sqlite"]
    assert state_of(place / "deep" / "checkpoints" / "model.counts.sqlite")["position"] == 2


@flag("sqlite_path")
def test_sqlite_path_is_the_stores_own_file_and_stays(place):
    beats(place, 2)
    by_flags(place, "--sqlite-path", place / "deep" / "my.db")
    assert state_of(place / "deep" / "my.db")["position"] == 2
    assert names_in(place) == ["corpus", "deep", "model"]


@flag("resume_from")
def test_resume_from_continues_a_store_that_must_be_there(place):
    beats(place, 5)
    checkpoints = place / "checkpoints"
    told = by_flags(place, "--resume-from", checkpoints, code=1)
    assert "no store to resume from; leave --resume-from out" in told.error
    by_flags(place, "--checkpoint-dir", checkpoints, "--max-files", 2)
    for most, source in ((3, checkpoints), (4, checkpoints / "model.counts.sqlite")):
        told = by_flags(place, "--resume-from", source, "--max-files", most)
        assert (told.told["resumed_at"], told.kept) == (most - 1, most)
    assert names_in(checkpoints) == ["model.counts.sqlite"]


@flag("save_every")
def test_save_every_so_many_files_the_position_is_safe(place):
    beats(place, 8)
    (place / "corpus" / "7.mid").write_bytes(b"no MIDI")
    store = place / "model.counts.sqlite"
    for save_every, position in ((0, None), (3, 6), (7, 7)):
        by_flags(place, "--fail-fast", "--save-every", save_every, code=1)
        state = state_of(store)
        assert (state and state["position"]) == position
        store.unlink()


def many_n_grams(place):
    """Write files of so many different n-grams that a megabyte cannot hold them."""
    generator = np.random.default_rng(1)
    for number in range(12):
        ticks = generator.choice(PPQ * 4 * 250, 3000, replace=False)
        pitches = generator.integers(35, 60, 3000)
        velocity = generator.integers(1, 128, 3000)
        write_drums(place / "corpus" / f"{number}.mid", ticks, pitches, velocity=velocity)


@flag("ram_budget_mb")
def test_ram_budget_mb_decides_how_often_counts_are_written_out(place):
    many_n_grams(place)
    runs = {}
    for budget in (1, 64):
        store = place / f"{budget}.sqlite"
        by_flags(place, "--ram-budget-mb", budget, "--sqlite-path", store)
        runs[budget] = [number for number, _ in runs_in(store)]
    assert min(runs[1]) > 1
    assert set(runs[64]) == {1}


@flag("flush_every")
def test_flush_every_so_many_n_grams_counts_are_written_out(place):
    many_n_grams(place)
    runs = {}
    for flush in (0, 40_000, 15_000):
        store = place / f"{flush}.sqlite"
        by_flags(place, "--flush-every", flush, "--sqlite-path", store)
        runs[flush] = max(number for number, _ in runs_in(store))
    assert runs[0] == 1 < runs[40_000] < runs[15_000]


@flag("hash_buckets")
def test_hash_buckets_set_the_rows_of_a_block(place, corpus):
    (place / "corpus").rmdir()
    (place / "corpus").symlink_to(corpus.folder)
    for buckets in (256, 300):
        store = place / f"{buckets}.sqlite"
        by_flags(place, "--hash-buckets", buckets, "--sqlite-path", store)
        assert max(rows for _, rows in runs_in(store)) == buckets


@flag("max_ngrams")
def test_max_ngrams_stops_at_the_file_that_reaches_them(place):
    beats(place, 5, bars=1)  # 15 notes each
    told = by_flags(place, "--max-ngrams", 31)
    assert (told.kept, told.notes, told.stopped) == (3, 45, "max_ngrams 31")
    assert by_flags(place, "--max-ngrams", 45).kept == 3
    assert by_flags(place, "--max-ngrams", 46).kept == 4
    assert by_flags(place, "--max-ngrams", 0).stopped is None


@flag("jobs")
def test_jobs_are_worker_processes(place):
    beats(place, 8)
    seen, is_over = set(), threading.Event()

    def watch():
        while not is_over.is_set():
            seen.update(process.pid for process in multiprocessing.active_children())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        by_flags(place, "--jobs", 1, "--save-every", 2)
        assert seen == set()
        by_flags(place, "--jobs", 2, "--save-every", 2)
    finally:
        is_over.set()
        watcher.join()
    assert len(seen) == 2
    assert multiprocessing.active_children() == []


@flag("engine")
def test_engine_is_what_the_jobs_are(place):
    beats(place, 8)
    seen, told = set(), sys.getprofile()

    def watch(*_):
        seen.add(threading.current_thread().name.partition("_")[0])

    threading.setprofile(watch)
    try:
        by_flags(place, "--jobs", 2, "--engine", "threads", "--save-every", 2)
    finally:
        threading.setprofile(told)
    assert "worker" in seen
    assert multiprocessing.active_children() == []
    found = by_flags(place, "--engine", "fibres", code=2)
    assert "engine: 'fibres' is none of 'threads', 'processes', 'dask:ADDRESS'" in found.error


# --- what changes the counts, and what does not

OTHER_VALUES = {
    "progress": True,
    "log_every": 3,
    "save_every": 2,
    "checkpoint_dir": Path("checkpoints"),
    "resume_from": Path("checkpoints"),
    "gc_every": 2,
    "mem_stats": True,
    "fail_fast": True,
    "ram_budget_mb": 1,
    "flush_every": 10,
    "min_count": 2,
    "hash_buckets": 256,
    "smoothing": "modified_kneser_ney",
    "validation": Path("corpus"),
    "validate_every": 3,
    "jobs": 2,
    "engine": "threads",
}
NEEDS = {"validate_every": {"validation": Path("corpus")}, "engine": {"jobs": 2}}
# Which of the files are counted at all, or under which labels; each has its own check when a
# store is continued or shards are merged, or the run says by `stopped` that it is not complete.
SHARES = {"shard_index", "num_shards", "max_files", "max_ngrams", "labels", "sqlite_path"}


def test_every_field_changes_the_counts_or_is_shown_not_to():
    assert set(COUNTING_FIELDS) | set(OTHER_VALUES) | SHARES == FIELDS
    assert not set(COUNTING_FIELDS) & (set(OTHER_VALUES) | SHARES)


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """Eight files, and the rows of a store that counted them."""
    place = tmp_path_factory.mktemp("eight")
    beats(place, 8)
    trained(place / "corpus", place / "model", sqlite_path=place / "a.sqlite")
    return SimpleNamespace(corpus=place / "corpus", rows=rows_of(place / "a.sqlite"))


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_fields_that_are_not_of_counting_leave_the_counts_alone(eight, tmp_path, name):
    (tmp_path / "corpus").symlink_to(eight.corpus)
    if name == "resume_from":
        trained(
            eight.corpus, tmp_path / "model", checkpoint_dir=tmp_path / "checkpoints", max_files=3
        )
    options = {name: OTHER_VALUES[name]} | NEEDS.get(name, {})
    assert OTHER_VALUES[name] != getattr(TrainOptions(), name) or name == "progress"
    options = {k: tmp_path / v if isinstance(v, Path) else v for k, v in options.items()}
    store = tmp_path / "checkpoints" / "model.counts.sqlite"
    if not {"checkpoint_dir", "resume_from"} & set(options):
        options["sqlite_path"] = store = tmp_path / "a.sqlite"
    trained(eight.corpus, tmp_path / "model", **options)
    assert rows_of(store) == eight.rows


@pytest.mark.parametrize(
    ("name", "value"), [("max_files", 3), ("max_ngrams", 50), ("num_shards", 3), ("shard_index", 1)]
)
def test_shares_of_the_corpus_together_have_all_its_counts(eight, tmp_path, name, value):
    if name in ("max_files", "max_ngrams"):
        store = tmp_path / "a.sqlite"
        trained(eight.corpus, tmp_path / "model", sqlite_path=store, **{name: value})
        assert rows_of(store) != eight.rows
        trained(eight.corpus, tmp_path / "model", sqlite_path=store)
        assert rows_of(store) == eight.rows
        return
    shards = [0, 1] if name == "shard_index" else [0, 1, 2]
    parts = []
    for index in shards:
        store = tmp_path / f"{index}.sqlite"
        options = {"num_shards": len(shards), "shard_index": index}
        trained(eight.corpus, tmp_path / str(index), sqlite_path=store, **options)
        parts.append(rows_of(store))
    for tally, rows in eight.rows.items():
        assert sum((part[tally] for part in parts[1:]), parts[0][tally]) == rows
        assert parts[0][tally] != rows


def test_labels_leave_the_other_streams_alone(eight, tmp_path):
    (tmp_path / "labels.csv").write_text("file,style\n0.mid,rock\n1.mid,jazz\n")
    store = tmp_path / "a.sqlite"
    labels = tmp_path / "labels.csv"
    trained(eight.corpus, tmp_path / "model", sqlite_path=store, labels=labels)
    rows = rows_of(store)
    assert len(rows.pop("steps.style")) > 10
    assert rows == eight.rows


COUNTING_VALUES = {
    "model": "mixture",
    "n": 2,
    "resolution": 2,
    "coarse": True,
    "beats_per_bar": 3,
    "onset_order": "sorted",
    "part": "all",
    "fills": "skip",
    "tempo_policy": "skip",
    "min_bpm": 100.0,
    "max_bpm": 110.0,
    "fallback_bpm": 100.0,
    "fold_halves": True,
    "min_bytes": 300,
    "max_bytes": 300,
    "min_notes": 40,
    "min_bars": 3,
    "dedup": False,
}


@pytest.mark.parametrize("name", COUNTING_FIELDS)
def test_fields_of_counting_are_told_by_the_model_and_refuse_another_store(eight, tmp_path, name):
    value = COUNTING_VALUES[name]
    assert value != getattr(TrainOptions(), name)
    counting = TrainOptions(**{name: value}).counting()
    assert counting[name] == value
    trained(eight.corpus, tmp_path / "model", max_files=2)
    with pytest.raises(Exception, match=f"counted with other options.*{name}: it has") as caught:
        trained(eight.corpus, tmp_path / "model", **{name: value})
    assert type(caught.value).__name__ == "GrooveError"
    assert HAT in {pitch for _, _, pitch in event_targets(open_model(tmp_path / "model"))}
