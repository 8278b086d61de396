"""What a notebook shows of gathered speech, held against what is true of a corpus made for it."""

import base64
import dataclasses
import gc
import html
import io
import re
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.demo.speech import SpeechCorpusOptions, make_speech_corpus
from workbench.errors import SpeechError
from workbench.panels import speech as panel
from workbench.progress import Progress, silent
from workbench.speech import pictures
from workbench.speech.commands import target
from workbench.speech.gather import gather
from workbench.speech.options import GatherOptions
from workbench.speech.published import (
    Clip,
    Comparison,
    compared,
    published,
    published_clips,
    published_skips,
)
from workbench.speech.state import GatherState, SourceState, log_name, read_state

OPTIONS = GatherOptions(upload_batch_size=20, streaming_batch_size=10)
CLIPS = 80


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Two corpora with every way of being broken, one of them with other languages."""
    folder = tmp_path_factory.mktemp("corpora")
    made = SpeechCorpusOptions(clips=CLIPS, seconds=0.6, corrupt=0.2)
    voice = dataclasses.replace(made, layout="common_voice", seed=1, clips=CLIPS // 2)
    return SimpleNamespace(
        parquet=make_speech_corpus(folder / "parquet", made),
        tables=make_speech_corpus(folder / "tables", voice),
    )


@pytest.fixture(scope="module")
def gathered(corpora, tmp_path_factory):
    """Both corpora in one dataset."""
    place = str(tmp_path_factory.mktemp("gathered") / "dataset")
    sink, work = target(place, OPTIONS)
    said = [str(corpora.parquet.folder), str(corpora.tables.folder)]
    state = gather(said, sink, work, OPTIONS).state
    return SimpleNamespace(place=place, sink=sink, work=work, said=said, state=state)


def by_key(corpus):
    return {(row.file, row.row): row for row in corpus.rows}


def usable(corpus):
    """The rows that a gather keeps, by what the maker of the corpus says of them."""
    kept = [row for row in corpus.rows if row.is_valid and row.locale == "th"]
    assert 0 < len(kept) < len(corpus.rows)
    return kept


# --- recordings and what was made of them


@pytest.mark.parametrize("which", [0, 1])
def test_lengths_before_are_those_that_the_corpus_was_made_with(corpora, gathered, which):
    corpus = (corpora.parquet, corpora.tables)[which]
    found = compared(gathered.place, gathered.said[which], gathered.work, OPTIONS)
    told = [row.seconds for row in usable(corpus)]
    np.testing.assert_allclose(found.seconds_before, told, atol=1e-5)
    assert (found.seconds_after <= found.seconds_before + 1 / OPTIONS.sample_rate).all()
    assert found.seconds_after.sum() < 0.9 * found.seconds_before.sum()
    assert np.ptp(found.level_before_db) > 10
    np.testing.assert_allclose(found.level_after_db, OPTIONS.target_db, atol=0.1)


def test_clips_are_those_of_the_dataset_beside_their_own_recordings(gathered):
    found = compared(gathered.place, gathered.said[0], gathered.work, OPTIONS, count=7, examples=9)
    clips = published_clips(gathered.place, 7)
    assert [clip.id for _, clip in found.examples] == [clip.id for clip in clips]
    assert [before.id for before, _ in found.examples] == [clip.id for clip in clips]
    assert found.seconds_after.tolist() == [clip.seconds for clip in clips]
    assert found.level_after_db.tolist() == [clip.level_db for clip in clips]
    for before, after in found.examples:
        assert before.sample_rate in (16_000, 22_050, 44_100)
        assert after.sample_rate == OPTIONS.sample_rate


def test_sound_that_passes_untouched_is_the_same_before_and_after(corpora, tmp_path):
    options = GatherOptions(standardization=False)
    sink, work = target(str(tmp_path / "dataset"), options)
    said = str(corpora.parquet.folder)
    gather([said], sink, work, options)
    found = compared(str(tmp_path / "dataset"), said, work, options)
    assert len(found.seconds_before) == len(usable(corpora.parquet))
    assert found.seconds_before.tolist() == found.seconds_after.tolist()
    assert found.level_before_db.tolist() == found.level_after_db.tolist()


def test_comparing_leaves_the_work_folder_as_it_was(gathered, tmp_path):
    (tmp_path / "half-fetched").write_bytes(b"to go on with")
    compared(gathered.place, gathered.said[0], tmp_path, OPTIONS, count=1)
    assert [path.name for path in tmp_path.iterdir()] == ["half-fetched"]


def test_a_source_that_has_lost_its_rows_is_named(gathered, tmp_path):
    folder = tmp_path / Path(gathered.said[0]).name  # the rows know a source by its name alone
    make_speech_corpus(folder, SpeechCorpusOptions(clips=8, corrupt=0.0, seconds=0.6))
    with pytest.raises(SpeechError, match=r"has no row .* any more, which S.* was made of"):
        compared(gathered.place, str(folder), tmp_path / "work", OPTIONS)


# --- what was left out


def test_every_row_that_was_left_out_is_told_with_its_place(corpora, gathered):
    skips = list(published_skips(gathered.sink, gathered.state))
    truth = [by_key(corpora.parquet), by_key(corpora.tables)]
    names = [source.name for source in gathered.state.sources]
    rows = [truth[names.index(skip["dataset_name"])][skip["file"], skip["row"]] for skip in skips]
    assert all(not row.is_valid or row.locale != "th" for row in rows)
    kept = sum(len(usable(corpus)) for corpus in (corpora.parquet, corpora.tables))
    assert len(rows) == len(set(rows)) == CLIPS * 3 // 2 - kept


def test_a_list_that_is_lost_is_named(gathered):
    state = dataclasses.replace(gathered.state, logs=gathered.state.logs + 1)
    with pytest.raises(SpeechError, match=re.escape(log_name(gathered.state.logs))):
        list(published_skips(gathered.sink, state))


def test_each_reason_stands_with_its_count_and_examples_that_differ(gathered):
    skips = list(published_skips(gathered.sink, gathered.state))
    table = panel.reasons_table(gathered.state, skips, examples=3)
    counts = {row[0]: row[1] for row in table.rows if row[0]}
    assert {"no_audio", "undecodable", "other_language"} <= set(counts)
    for reason, count in counts.items():
        assert count == sum(skip["reason"] == reason for skip in skips)
    told = [(skip["file"], skip["row"], skip["detail"] or "-") for skip in skips]
    assert all(row[2:] in told for row in table.rows)
    forms = [re.sub(r"\d+", "", row[4]) for row in table.rows]
    assert len(forms) == len(set(forms)) == len(table.rows) > len(counts)


def test_one_example_of_each_reason_is_enough_for_who_wants_one(gathered):
    skips = published_skips(gathered.sink, gathered.state)
    table = panel.reasons_table(gathered.state, skips, examples=1)
    assert all(row[0] and row[1] for row in table.rows)


def test_reasons_are_looked_for_no_further_than_needed():
    state = GatherState(settings={}, sources=(source("many", skipped={"empty": 10**6}),))
    looked_at = []

    def skips():
        for row in range(10**6):
            looked_at.append(row)
            yield {"reason": "empty", "file": "a", "row": row, "detail": f"{row} bytes"}

    table = panel.reasons_table(state, skips())
    assert table.rows == [("empty", 10**6, "a", 0, "0 bytes")]
    assert len(looked_at) <= 10_000


# --- sources


def source(name: str, **values) -> SourceState:
    return SourceState(said=name, name=name, revision="", fingerprint="", **values)


def test_a_source_tells_its_rows_its_hours_and_where_it_is():
    whole = source("whole", kept=1800, skipped={"empty": 3}, microseconds=36 * 10**8, is_done=True)
    begun = source("begun", file=2, row=17)
    table = panel.sources_table(GatherState(settings={}, sources=(whole, begun)))
    assert table.rows[0] == ("whole", "whole", 1803, 1800, 3, 1.0, 2.0)
    assert table.rows[1] == ("begun", "file 3, row 17", 0, 0, 0, 0.0, "-")


# --- stopped and gone on with


def files_of(place: Path) -> dict[str, bytes]:
    return {
        p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*.*") if p.is_file()
    }


@pytest.mark.parametrize("rows", [10, 33])
def test_a_gather_that_was_stopped_and_gone_on_with_is_as_if_it_never_was(corpora, tmp_path, rows):
    said = str(corpora.parquet.folder)
    gc.disable()  # what was stopped may be cleared away at any later moment
    try:
        for name, stop in (("stopped", rows), ("whole", 0)):
            place = tmp_path / name / "dataset"
            sink, work = target(str(place), OPTIONS)
            with suppress(KeyboardInterrupt):
                gather([said], sink, work, OPTIONS, panel.interrupted(silent, rows=stop))
            state = read_state(sink.open(), str(place))
            assert all(source.is_done for source in state.sources) == (stop == 0)
            assert state.sources[0].read <= (stop or CLIPS)
            gather([said], sink, work, OPTIONS)
            gc.collect()
    finally:
        gc.enable()
    stopped, whole = (files_of(tmp_path / name / "dataset") for name in ("stopped", "whole"))
    assert len(whole) > 5
    assert stopped == whole


def test_it_is_stopped_by_the_rows_of_its_own_run_and_never_at_the_end():
    shown = []
    show = panel.interrupted(shown.append, rows=50)
    told = Progress(stage="gather", done=900, total=1000, unit="rows", seconds=1.0, fresh=49)
    show(told)
    with pytest.raises(KeyboardInterrupt):
        show(dataclasses.replace(told, fresh=50))
    show(dataclasses.replace(told, done=1000, fresh=150))
    assert len(shown) == 3


# --- sound and rows


def test_a_player_holds_the_beginning_of_its_clip_to_the_last_bit(gathered):
    clips = published_clips(gathered.place, 2)
    page = panel.Players(clips, 0.2)._repr_html_()
    found = re.findall(r'src="data:audio/flac;base64,([^"]+)"', page)
    assert len(found) == len(clips)
    for clip, text in zip(clips, found, strict=True):
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(text)), dtype="float32")
        assert rate == clip.sample_rate
        np.testing.assert_array_equal(samples, clip.samples[: round(0.2 * rate)])
        assert html.escape(clip.transcript) in page


def test_what_is_said_cannot_write_into_the_page():
    page = panel.Players([clip_of(np.zeros(100), "<script>&")], 1.0)._repr_html_()
    assert "&lt;script&gt;&amp;" in page
    assert "<script>" not in page


def test_rows_are_shown_with_the_place_they_are_from(gathered):
    rows = list(published(gathered.place).take(3))
    table = panel.rows_table(rows)
    assert [row[0] for row in table.rows] == ["S1", "S2", "S3"]
    for shown, row in zip(table.rows, rows, strict=True):
        assert shown[-2:] == (row["source_ref"]["file"], row["source_ref"]["row"])
        assert row["transcript"] in shown


# --- pictures


def clip_of(samples, transcript: str = "") -> Clip:
    return Clip(
        id="S1",
        transcript=transcript,
        confidence=1.0,
        samples=np.asarray(samples, np.float32),
        sample_rate=16_000,
    )


def comparison_of(*columns, examples=()) -> Comparison:
    names = ("seconds_before", "seconds_after", "level_before_db", "level_after_db")
    arrays = {n: np.asarray(c, float) for n, c in zip(names, columns, strict=True)}
    return Comparison(**arrays, examples=tuple(examples))


numbers = st.lists(st.floats(-120, 3600), max_size=30)


@settings(max_examples=12)
@given(st.tuples(numbers, numbers, numbers, numbers))
def test_every_clip_stands_in_a_bar_of_its_histogram(columns):
    figure = pictures.before_and_after(comparison_of(*columns), bins=7).figure
    told = dict(zip((0, 2, 1, 3), columns, strict=True))  # axes go row by row
    for place, axes in enumerate(figure.axes):
        assert sum(bar.get_height() for bar in axes.patches) == len(told[place])


@settings(max_examples=12)
@given(st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_a_wave_reaches_as_far_as_its_samples(count, seed):
    samples = np.random.default_rng(seed).uniform(-1, 1, count).astype(np.float32)
    clip = clip_of(samples)
    figure = pictures.waveforms([(clip, clip)]).figure
    for axes in figure.axes:
        shape = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
        drawn = shape[:, 1]
        assert drawn.min() == pytest.approx(min(samples), abs=1e-6)
        assert drawn.max() == pytest.approx(max(samples), abs=1e-6)
        low, high = axes.get_ylim()
        assert low < min(samples) and max(samples) < high


def test_pictures_are_images_and_equal_numbers_have_equal_words(gathered):
    found = compared(gathered.place, gathered.said[0], gathered.work, OPTIONS, count=5)
    for draw, what in (
        (pictures.before_and_after, found),
        (pictures.waveforms, found.examples),
    ):
        assert draw(what)._repr_png_().startswith(b"\x89PNG")
        assert repr(draw(what)) == repr(draw(what))
    assert repr(pictures.waveforms(found.examples[:1])) != repr(pictures.waveforms(found.examples))


def test_quartiles_of_no_clips_are_dashes():
    rows = panel.quartiles_table(comparison_of([], [], [], [])).rows
    assert [row[1:] for row in rows] == [("-",) * 5] * 4
    rows = panel.quartiles_table(comparison_of([1, 2, 3, 4, 5], [0], [-20.04], [-20])).rows
    assert rows[0] == ("seconds, before", 1.0, 2.0, 3.0, 4.0, 5.0)
    assert rows[2] == ("dBFS RMS, before", *(-20.0,) * 5)
