"""Training: counts as a plain recount has them, and the same bytes however it is cut."""

import gc
import json
import shutil
from collections import Counter
from fractions import Fraction

import mido
import pytest
from corpora import (
    files_of,
    model_rows,
    names_in,
    rows_of,
    trained,
    tree,
    write_beat,
    write_drums,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import CachingError, GrooveError
from workbench.groove.drums import CLASSES
from workbench.groove.model import open_model
from workbench.groove.options import TrainOptions
from workbench.groove.train import train
from workbench.streaming.filelist import listed

CLASS_PITCHES = {
    "kick": "35 36",
    "snare": "37 38 40",
    "closed_hat": "22 42 44",
    "open_hat": "26 46",
    "low_tom": "41 43 58",
    "mid_tom": "45 47",
    "high_tom": "48 50",
    "crash": "49 52 55 57",
    "ride": "51 53 59",
}
START = object()


def content_of(model):
    return tree(model.folder)


# --- a plain recount


def notes_of(path):
    """Return a file's metre, and (tick in quarters, pitch, velocity) of its notes in order."""
    file = mido.MidiFile(path)
    tick, metre, notes = 0, (4, 4), []
    for message in mido.merge_tracks(file.tracks):
        tick += message.time
        if message.type == "time_signature":
            metre = (message.numerator, message.denominator)
        elif message.type == "note_on" and message.velocity and message.channel == 9:
            notes.append((tick, message.note, message.velocity))
    return metre, [(Fraction(t, file.ticks_per_beat), p, v) for t, p, v in sorted(notes)]


class Recount:
    """Counts of a corpus, file by file and note by note, in plain Python."""

    def __init__(self, corpus):
        self.events, self.steps, self.styles = Counter(), Counter(), Counter()
        self.pitches, self.velocities, self.timings = Counter(), Counter(), Counter()
        self.bars, self.kept, self.skipped = Counter(), 0, Counter()
        contents = set()
        for path, label in zip(corpus.paths, corpus.labels, strict=True):
            content = path.read_bytes()
            if content in contents:
                self.skipped["duplicate"] += 1
                continue
            contents.add(content)
            if label.file in corpus.defects:
                self.skipped["broken"] += 1
                continue
            metre, notes = notes_of(path)
            if len(notes) < 8:
                self.skipped["few_notes"] += 1
                continue
            self.kept += 1
            self._count(metre, notes, label.style)

    def _count(self, metre, notes, style):
        bar_steps = 16 * metre[0] // metre[1]
        beat_steps = 6 if metre[1] == 8 else 4
        before = [START] * 3
        sounding = {}
        for at, pitch, velocity in notes:
            step = round(4 * at)
            token = (step // bar_steps % 2, step % bar_steps, pitch)
            self.events[(*before, token)] += 1
            before = [token, *before[:2]]
            (name,) = [name for name, of in CLASS_PITCHES.items() if str(pitch) in of.split()]
            sounding.setdefault(step, set()).add(name)
            self.pitches[pitch] += 1
            self.velocities[velocity // 2] += 1
            self.timings[round((4 * at - step) * 32) + 16] += 1
        total = (max(sounding) // bar_steps + 1) * bar_steps

        def at(step):
            return frozenset(sounding.get(step, ())) if step >= 0 else START

        for step in range(total):
            in_bar = step % bar_steps
            place = (beat_steps, in_bar % beat_steps)
            beat = (bar_steps // beat_steps, in_bar // beat_steps)
            ago = [at(step - bars * bar_steps) for bars in (1, 2, 4)]
            now = at(step)
            self.steps[(place, *ago, at(step - 1), at(step - 2), beat, now)] += 1
            self.styles[(style, place, beat, ago[0], at(step - 1), now)] += 1
        for first in range(0, total, bar_steps):
            self.bars[tuple(at(first + step) for step in range(bar_steps))] += 1


def fields_of(stream, key):
    """Return the fields of a key, the target last."""
    values = [key & ((1 << stream.target_bits) - 1)]
    key >>= stream.target_bits
    for _, bits in reversed(stream.fields):
        values.append(key & ((1 << bits) - 1))
        key >>= bits
    assert key == 0
    return values[::-1]


def token(value):
    return START if value == 1 << 15 else (value >> 14, value >> 7 & 127, value & 127)


def classes(mask):
    return START if mask == 511 else frozenset(n for c, n in enumerate(CLASSES) if mask >> c & 1)


def place(value):
    return (6, value - 4) if value >= 4 else (4, value)


def beat(value):
    beats = next(n for n in range(1, 9) if value < n * (n + 1) // 2)
    return (beats, value - beats * (beats - 1) // 2)


STEP_FIELDS = {"place": place, "beat": beat}


def told(model, stream, **readers):
    """Return a model's counts of a stream with their keys in the words of the recount."""
    layout = model.streams[stream]
    read = [readers.get(name) or STEP_FIELDS.get(name, classes) for name, _ in layout.fields]
    read.append(readers.get("target", classes))
    return Counter(
        {
            tuple(r(v) for r, v in zip(read, fields_of(layout, key), strict=True)): count
            for key, count in model_rows(model, stream).items()
        }
    )


@pytest.fixture(scope="module")
def recount(corpus):
    return Recount(corpus)


def test_files_are_kept_and_skipped_as_a_recount_has_them(plain, recount, corpus):
    description = plain.description
    assert description["processed"] == description["files"] == len(corpus.paths)
    assert description["kept"] == recount.kept > 30
    assert description["skipped"] == sum(recount.skipped.values())
    reasons = Counter(description["reasons"])
    assert reasons["duplicate"] == recount.skipped["duplicate"] == len(corpus.copies) > 3
    assert reasons["few_notes"] == recount.skipped["few_notes"]
    others = sum(n for reason, n in reasons.items() if reason not in recount.skipped)
    assert others == recount.skipped["broken"] == len(corpus.defects) > 3


def test_event_n_grams_are_those_of_a_recount(plain, recount):
    assert told(plain, "events", note_1=token, note_2=token, note_3=token, target=token) == (
        recount.events
    )
    assert plain.description["notes"] == recount.events.total() > 2000


def test_step_masks_and_their_contexts_are_those_of_a_recount(plain, recount):
    assert told(plain, "steps") == recount.steps
    assert plain.description["steps"] == recount.steps.total() > 2000


def test_labelled_step_masks_are_those_of_a_recount(plain, recount):
    styles = plain.labels["style"]
    assert told(plain, "steps.style", style=lambda number: styles[number - 1]) == recount.styles


@pytest.mark.parametrize(
    ("stream", "counter"),
    [("pitch", "pitches"), ("velocity", "velocities"), ("timing", "timings")],
)
def test_pitches_velocities_and_offsets_are_those_of_a_recount(plain, recount, stream, counter):
    found = Counter()
    for key, count in model_rows(plain, stream).items():
        found[fields_of(plain.streams[stream], key)[-1]] += count
    assert found == getattr(recount, counter)
    assert len(found) > 8


def test_bars_are_those_of_a_recount(plain, recount):
    counts = model_rows(plain, "bars")
    assert sorted(counts.values()) == sorted(recount.bars.values())
    assert plain.description["bars"] == recount.bars.total()


def test_the_skipped_files_are_told_one_by_one_in_the_order_of_the_list(plain, corpus):
    found = list(plain.skipped())
    assert [entry["index"] for entry in found] == sorted({entry["index"] for entry in found})
    assert Counter(entry["reason"] for entry in found) == plain.description["reasons"]
    files = files_of(corpus.folder)
    assert all(files.name(entry["index"]) == entry["file"] for entry in found)
    assert all(entry["detail"] for entry in found)
    assert set(corpus.defects) <= {entry["file"] for entry in found}


# --- the same bytes, however it is cut


@pytest.mark.parametrize(
    "options",
    [
        {"jobs": 2},
        {"jobs": 2, "save_every": 5, "flush_every": 500},
        {"ram_budget_mb": 1},
        {"ram_budget_mb": 512},
        {"flush_every": 1},
        {"flush_every": 3000},
        {"save_every": 1},
        {"save_every": 7, "hash_buckets": 256},
        {"log_every": 1, "gc_every": 25},
        {"log_every": 0},
        {"mem_stats": True, "progress": True},
    ],
    ids=str,
)
def test_the_model_has_the_same_bytes_however_it_is_counted(plain, corpus, tmp_path, options):
    labels = corpus.folder / "labels.csv"
    found = trained(corpus.folder, tmp_path / "model", labels=labels, **options)
    assert content_of(found.model) == content_of(plain)
    assert names_in(tmp_path) == ["model"]
    assert found.files_read == len(corpus.paths)


@settings(max_examples=8, deadline=None)
@given(
    stops=st.lists(st.integers(1, 12), max_size=5),
    save_every=st.sampled_from([0, 1, 3]),
    flush_every=st.sampled_from([0, 200]),
    log_every=st.sampled_from([2, 5]),
)
def test_a_run_interrupted_anywhere_and_gone_on_with_has_the_same_bytes(
    plain, corpus, tmp_path_factory, stops, save_every, flush_every, log_every
):
    class Stopped(BaseException):
        pass

    output = tmp_path_factory.mktemp("stopped") / "model"
    options = TrainOptions(
        labels=corpus.folder / "labels.csv",
        save_every=save_every,
        flush_every=flush_every,
        log_every=log_every,
    )
    files = files_of(corpus.folder)
    stood = 0
    for stop in stops:
        calls = 0

        def show(progress, stop=stop):
            nonlocal calls
            calls += progress.stage == "counting"
            if calls == stop:
                raise Stopped

        try:
            resumed = train(files, output, options, show).resumed_at
        except Stopped:
            continue
        assert resumed >= stood
        break
    else:
        train(files, output, options)
    assert content_of(open_model(output)) == content_of(plain)


def test_a_list_of_absolute_names_counts_the_same(plain, corpus, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"{path}\n" for path in files_of(corpus.folder)))
    options = TrainOptions(labels=corpus.folder / "labels.csv")
    model = train(listed(listing), tmp_path / "model", options).model
    for stream in plain.streams:
        assert model_rows(model, stream) == model_rows(plain, stream)
    assert model.description["list"] != plain.description["list"]


def test_a_shuffled_list_has_the_same_counts(plain, corpus, tmp_path):
    # only which of two copies comes first may differ, and they are equal
    names = [label.file for label in corpus.labels]
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"{corpus.folder / name}\n" for name in reversed(names)))
    model = train(listed(listing), tmp_path / "model", TrainOptions()).model
    for stream in ("events", "steps", "pitch", "velocity", "timing", "bars"):
        assert model_rows(model, stream) == model_rows(plain, stream)


def test_user_files_are_only_read(corpus, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(corpus.folder, copy)
    for path in copy.rglob("*"):
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = tree(copy)
    times = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    trained(copy, tmp_path / "model", validation=copy, validate_every=30, jobs=1)
    assert tree(copy) == before
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == times
    for path in copy.rglob("*"):
        path.chmod(0o700)


def test_a_model_holds_nothing_of_the_place_and_time_it_was_made(plain, corpus):
    for name, content in content_of(plain).items():
        assert str(corpus.folder).encode() not in content, name
    assert names_in(plain.folder.parent) == ["corpus", "plain"]


# --- copies


def test_copies_count_once_and_all_of_them_when_asked(tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("c", 1), ("d", 1)):
        write_beat(tmp_path / "corpus" / f"{name}.mid", seed=seed)
    once = trained(tmp_path / "corpus", tmp_path / "once").model
    each = trained(tmp_path / "corpus", tmp_path / "each", dedup=False).model
    assert (once.description["kept"], once.description["reasons"]) == (2, {"duplicate": 2})
    assert (each.description["kept"], each.description["reasons"]) == (4, {})
    assert [entry["file"] for entry in once.skipped()] == ["c.mid", "d.mid"]
    (tmp_path / "corpus" / "b.mid").unlink()
    of_a = trained(tmp_path / "corpus", tmp_path / "of_a").model
    for stream in ("events", "steps", "velocity"):
        a, both = model_rows(of_a, stream), model_rows(once, stream)
        assert model_rows(each, stream) == both + a + a


def test_a_file_named_twice_counts_once(tmp_path):
    write_beat(tmp_path / "a.mid")
    (tmp_path / "list.txt").write_text("a.mid\na.mid\n./a.mid\n")
    model = train(listed(tmp_path / "list.txt"), tmp_path / "model", TrainOptions()).model
    assert model.description["reasons"] == {"duplicate": 2}


# --- the store


def test_the_store_is_gone_when_the_model_is_there_and_kept_where_the_user_named_it(
    corpus, tmp_path
):
    trained(corpus.folder, tmp_path / "a")
    assert names_in(tmp_path) == ["a"]
    trained(corpus.folder, tmp_path / "a", sqlite_path=tmp_path / "a.sqlite")
    assert names_in(tmp_path) == ["a", "a.sqlite"]


def test_the_models_counts_are_the_stores(corpus, tmp_path):
    store = tmp_path / "a.sqlite"
    model = trained(corpus.folder, tmp_path / "a", sqlite_path=store).model
    rows = rows_of(store)
    assert set(rows) == set(model.streams)
    for stream in model.streams:
        assert model_rows(model, stream) == rows[stream]


def test_a_finished_run_given_again_reads_nothing_and_writes_the_same(corpus, tmp_path):
    store = tmp_path / "a.sqlite"
    first = trained(corpus.folder, tmp_path / "a", sqlite_path=store)
    before = content_of(first.model)
    again = trained(corpus.folder, tmp_path / "a", sqlite_path=store)
    assert (again.resumed_at, again.files_read) == (len(corpus.paths), 0)
    assert content_of(again.model) == before


def test_an_older_model_is_replaced_and_anything_else_is_not(corpus, tmp_path):
    one = write_beat(tmp_path / "one" / "a.mid").parent
    trained(corpus.folder, tmp_path / "model")
    assert trained(one, tmp_path / "model").model.description["files"] == 1
    before = tree(one)
    for place_taken in (one, one / "a.mid"):
        with pytest.raises(CachingError, match="holds something else, which stays"):
            trained(one, place_taken)
    assert tree(one) == before
    assert names_in(tmp_path) == ["model", "one"]


def test_what_a_killed_run_left_beside_the_model_is_swept_up(corpus, tmp_path):
    left = tmp_path / ".model.0123abcd.part"
    left.mkdir()
    (left / "levels.sqlite").touch()
    trained(corpus.folder, tmp_path / "model")
    assert names_in(tmp_path) == ["model"]


# --- limits and progress


def test_a_limit_that_is_raised_later_ends_as_a_single_run(plain, corpus, tmp_path):
    labels = corpus.folder / "labels.csv"
    output = tmp_path / "model"
    stood = 0
    for most in (3, 10, 11, 40):
        found = trained(corpus.folder, output, labels=labels, max_files=most)
        description = found.model.description
        assert description["kept"] == most
        assert description["stopped"] == f"max_files {most}"
        assert found.resumed_at == stood
        stood = description["processed"]
    found = trained(corpus.folder, output, labels=labels, max_files=1000)
    assert found.resumed_at == stood
    assert content_of(found.model) == content_of(plain)
    assert names_in(tmp_path) == ["model"]


@pytest.mark.parametrize("limit", [1, 100, 999])
def test_a_limit_of_n_grams_stops_at_the_file_that_reaches_it(corpus, tmp_path, limit):
    processed = kept = notes = 0
    contents = set()
    for path in files_of(corpus.folder):
        processed += 1
        name, content = path.relative_to(corpus.folder).as_posix(), path.read_bytes()
        if content not in contents and name not in corpus.defects:
            more = len(notes_of(path)[1])
            kept, notes = (kept + 1, notes + more) if more >= 8 else (kept, notes)
        contents.add(content)
        if notes >= limit:
            break
    found = trained(corpus.folder, tmp_path / "model", max_ngrams=limit).model.description
    assert (found["processed"], found["kept"], found["notes"]) == (processed, kept, notes)
    assert found["stopped"] == f"max_ngrams {limit}"


def test_stopped_at_the_last_file_is_complete(tmp_path):
    for number in range(3):
        write_beat(tmp_path / "corpus" / f"{number}.mid", seed=number)
    found = trained(tmp_path / "corpus", tmp_path / "model", max_files=3)
    assert found.model.description["stopped"] is None
    assert names_in(tmp_path) == ["corpus", "model"]


def test_progress_rises_to_the_number_of_files(corpus, tmp_path):
    shown = []
    options = TrainOptions(log_every=10)
    train(files_of(corpus.folder), tmp_path / "model", options, shown.append)
    assert shown[0].stage == "comparing contents"
    counting = [state for state in shown if state.stage == "counting"]
    assert [state.done for state in counting] == [10, 20, 30, 40, 50, 60]
    assert {state.total for state in shown} == {60}
    assert shown[-1].stage == "counted"
    assert shown[-1].is_last
    notes = [state.numbers["events"] for state in counting]
    assert notes == sorted(set(notes))


def test_progress_of_a_limited_run_ends_where_it_stops(corpus, tmp_path):
    shown = []
    options = TrainOptions(max_files=5)
    train(files_of(corpus.folder), tmp_path / "model", options, shown.append)
    assert shown[-1].is_last
    assert shown[-1].done == shown[-1].total < 20


def test_a_resumed_run_is_timed_by_its_own_work(corpus, tmp_path):
    trained(corpus.folder, tmp_path / "model", max_files=40)
    shown = []
    train(files_of(corpus.folder), tmp_path / "model", TrainOptions(log_every=1), shown.append)
    first = next(state for state in shown if state.stage == "counting")
    assert first.fresh == 1
    assert first.done > 40
    assert first.numbers["events/s"] * first.seconds < first.numbers["events"] / 2


def test_training_leaves_no_garbage_behind(corpus, tmp_path):
    trained(corpus.folder, tmp_path / "first")
    gc.collect()
    gc.disable()
    try:
        trained(corpus.folder, tmp_path / "second", log_every=1)
        assert gc.collect() < 20_000
    finally:
        gc.enable()


def test_a_description_is_json_with_every_number_of_the_run(plain):
    description = json.loads((plain.folder / "model.json").read_text())
    assert description == plain.description
    assert {"format", "counting", "processed", "kept", "skipped", "reasons", "list"} <= set(
        description
    )
    assert description["counting"] == TrainOptions().counting()


def test_nothing_but_files_of_one_note_is_no_corpus(tmp_path):
    write_drums(tmp_path / "corpus" / "a.mid", [0])
    with pytest.raises(GrooveError, match=r"neither this nor any other of 1 files.*1 few_notes"):
        trained(tmp_path / "corpus", tmp_path / "model")
    assert names_in(tmp_path) == ["corpus"]
    assert trained(tmp_path / "corpus", tmp_path / "model", min_notes=1).model.description["kept"]


def test_a_resolution_is_chosen_alike_in_every_shard(tmp_path):
    for number in range(4):  # thirds of a quarter, and in one shard's files sixteenths
        parts = 4 if number % 2 else 3
        write_drums(
            tmp_path / "corpus" / f"{number}.mid", [480 * step // parts for step in range(48)]
        )
    found = {
        trained(
            tmp_path / "corpus",
            tmp_path / f"part{index}",
            resolution=0,
            num_shards=2,
            shard_index=index,
        ).model.description["counting"]["resolution"]
        for index in range(2)
    }
    assert found == {12}
