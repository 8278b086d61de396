"""Scores: sums of what is predicted step by step, told by style, and never from the future."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from corpora import HAT, files_of, trained, write_beat, write_drums
from performances import columns_and_streams, grids_of

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.errors import GrooveError, StreamingError
from workbench.groove.adaptive import EVENT_LEVELS, STEP_LEVELS, PieceCounts
from workbench.groove.labels import read_labels
from workbench.groove.score import (
    Score,
    event_probabilities,
    predicted_offset,
    predicted_velocity,
    score_files,
    step_probabilities,
)
from workbench.groove.streams import columns_of, offset_of, velocity_of


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Performances that the model has not seen, of all metres."""
    options = DrumCorpusOptions(files=24, seed=77, least_bars=5, most_bars=9, fills=0.0)
    return make_drum_corpus(tmp_path_factory.mktemp("others") / "corpus", options)


@pytest.fixture(scope="module")
def score(plain, others):
    return score_files(plain, others.folder, others.folder / "labels.csv")


@pytest.fixture(scope="module")
def gmd_score(gmd, tmp_path_factory):
    """A model of GMD's train split, scored on its validation split."""
    labels = gmd / "MANIFEST.csv"
    model = trained(gmd / "train", tmp_path_factory.mktemp("gmd") / "model", labels=labels).model
    return score_files(model, gmd / "validation", labels)


@pytest.mark.gmd
def test_gmd_is_predicted_as_well_as_it_was(gmd_score) -> None:
    assert gmd_score.zero_probability_events == 0
    assert gmd_score.bits_per_event <= 3.87
    assert gmd_score.bits_per_event_corpus <= 4.12
    assert gmd_score.bits_per_bar_corpus <= 35.6
    assert gmd_score.bits_per_bar <= 29.3
    assert gmd_score.timing_mae_ms <= 21.6 < gmd_score.quantised_mae_ms
    assert gmd_score.velocity_mae <= 23.1 < gmd_score.constant_velocity_mae
    assert (gmd_score.files, gmd_score.bars) == (120, 2173)


def test_no_event_has_probability_zero(score) -> None:
    assert score.events > 1000
    assert score.zero_probability_events == 0


def test_the_corpus_and_the_piece_each_tell_something(score) -> None:
    assert 0 < score.bits_per_event < score.bits_per_event_corpus < np.log2(2 * 16 * 128)
    assert 0 < score.bits_per_bar < score.bits_per_bar_corpus < 16 * 9
    assert score.velocity_mae < score.constant_velocity_mae


def test_styles_add_up_to_the_whole(score, others) -> None:
    rows = score.styles.values()
    assert set(score.styles) == {label.style for label in others.labels}
    assert sum(row["events"] for row in rows) == score.events
    assert sum(row["bars"] for row in rows) == score.bars
    event_bits = sum(row["bits_per_event"] * row["events"] for row in rows)
    assert event_bits == pytest.approx(score.bits_per_event * score.events)
    bar_bits = sum(row["bits_per_bar"] * row["bars"] for row in rows if row["bars"])
    assert bar_bits == pytest.approx(score.bits_per_bar * score.bars)


def test_a_style_without_a_bar_in_four_four_has_no_bits_a_bar(score, others) -> None:
    of_metre = {label.style: label.metre for label in others.labels}
    assert "4-4" in of_metre.values() and set(of_metre.values()) - {"4-4"}
    for style, row in score.styles.items():
        assert (row["bits_per_bar"] is None) == (row["bars"] == 0) == (of_metre[style] != "4-4")


def test_a_score_is_plain_json_with_every_field(score) -> None:
    told = json.loads(json.dumps(dataclasses.asdict(score), allow_nan=False))
    assert set(told) == {field.name for field in dataclasses.fields(Score)}
    assert told["styles"] == score.styles
    assert told["files"] == 24 and told["skipped"] == {}


def test_bits_are_those_of_sampling_step_by_step(plain, others) -> None:
    grids = grids_of(others.paths[:3])
    columns, _ = columns_and_streams(grids, {})
    for name, levels, found, piece in (
        ("steps", STEP_LEVELS, step_probabilities(plain, columns), columns.step_file),
        ("events", EVENT_LEVELS, event_probabilities(plain, columns), columns.note_file),
    ):
        stream = plain.stream(name)
        values = columns.of(stream.stream)
        own: dict[int, PieceCounts] = {}
        for at, target in enumerate(values["target"].tolist()):
            context = {field: int(column[at]) for field, column in values.items()}
            counts = own.setdefault(int(piece[at]), PieceCounts(levels))
            key = tuple(context[field] for field, _ in stream.stream.fields)
            if target in stream.index_of_target:
                place = stream.index_of_target[target]
                seen = stream.distribution(key).seen
                assert found[0][at] == pytest.approx(seen[place], rel=1e-9)
                adapted = counts.adapt(seen, stream.index_of_target, context)
                assert found[1][at] == pytest.approx(adapted[place], rel=1e-9)
            counts.add(context, target)
    assert len(own) == 3


def test_the_sums_are_those_of_the_probabilities(plain, others, score) -> None:
    table = read_labels(others.folder / "labels.csv")
    files = files_of(others.folder)
    names = [files.name(at) for at in range(len(files))]
    grids = grids_of(list(files))
    known = dataclasses.replace(table, vocabulary=plain.labels)
    columns = columns_of(grids, known.numbers(names), n=4)
    bits = -np.log2(np.stack(event_probabilities(plain, columns)))
    assert score.events == bits.shape[1]
    assert score.bits_per_event_corpus == pytest.approx(bits[0].mean())
    assert score.bits_per_event == pytest.approx(bits[1].mean())
    bits = -np.log2(np.stack(step_probabilities(plain, columns)))
    is_four = np.array([name.endswith("_4-4.mid") for name in names])
    counted = is_four[columns.step_file]
    assert score.bars == sum(
        len(g.bar_steps) for g, is_in in zip(grids, is_four, strict=True) if is_in
    )
    assert score.bits_per_bar_corpus == pytest.approx(bits[0][counted].sum() / score.bars)
    assert score.bits_per_bar == pytest.approx(bits[1][counted].sum() / score.bars)
    bars = sum(len(grid.bar_steps) for grid in grids)
    assert score.bits_per_bar_all_metres == pytest.approx(bits[1].sum() / bars)
    offset = np.concatenate([grid.offset for grid in grids])
    ms = np.concatenate([grid.step_seconds for grid in grids]) * 1000
    velocity = np.concatenate([grid.velocity for grid in grids]).astype(float)
    assert score.quantised_mae_ms == pytest.approx((np.abs(offset) * ms).mean())
    timing = np.abs(predicted_offset(plain, columns) - offset) * ms
    assert score.timing_mae_ms == pytest.approx(timing.mean())
    louder = np.abs(predicted_velocity(plain, columns) - velocity)
    assert score.velocity_mae == pytest.approx(louder.mean())
    mask = columns.steps["target_steps"]
    together = sum(mask.bit_count() > 1 for mask in mask.tolist())
    assert score.polyphony == pytest.approx(together / np.count_nonzero(mask))


@pytest.mark.parametrize("bars", [1, 2, 3])
def test_what_comes_later_changes_no_earlier_probability(plain, others, bars) -> None:
    grids = [grid for grid in grids_of(others.paths) if len(grid.bar_steps) > 3]
    assert grids
    for grid in grids:
        whole, _ = columns_and_streams([grid], {"style": np.array([2])})
        head = _head(grid, bars)
        cut, _ = columns_and_streams([head], {"style": np.array([2])})
        steps, notes = len(cut.steps["place"]), len(head.pitch)
        assert 0 < steps < len(whole.steps["place"]) and notes < len(grid.pitch)
        for early, late in zip(
            step_probabilities(plain, cut), step_probabilities(plain, whole), strict=True
        ):
            assert early.tolist() == late[:steps].tolist()
        for early, late in zip(
            event_probabilities(plain, cut), event_probabilities(plain, whole), strict=True
        ):
            assert early.tolist() == late[:notes].tolist()


def _head(grid, bars):
    """Return the first bars of a performance."""
    is_kept = grid.bar < bars
    columns = {
        name: getattr(grid, name)[is_kept]
        for name in ("bar", "step", "offset", "pitch", "velocity", "step_seconds")
    }
    return dataclasses.replace(
        grid, **columns, bar_steps=grid.bar_steps[:bars], beat_steps=grid.beat_steps[:bars]
    )


def test_performances_are_scored_alike_alone_and_together(plain, others, score, tmp_path) -> None:
    alone = []
    for at, path in enumerate(others.paths[:5]):
        shutil.copy(path, tmp_path / f"{at}.mid")
        (tmp_path / "list.txt").write_text(f"{at}.mid\n")
        alone.append(score_files(plain, tmp_path / "list.txt"))
    (tmp_path / "list.txt").write_text("".join(f"{at}.mid\n" for at in range(5)))
    together = score_files(plain, tmp_path / "list.txt")
    assert together.events == sum(one.events for one in alone)
    bits = sum(one.bits_per_event * one.events for one in alone)
    assert together.bits_per_event * together.events == pytest.approx(bits, rel=1e-12)


def test_labels_condition_the_score(plain, others, score) -> None:
    without = score_files(plain, others.folder)
    assert without.bits_per_bar_corpus != score.bits_per_bar_corpus
    assert without.bits_per_event == score.bits_per_event
    assert without.styles.keys() == score.styles.keys()  # of the files' names


def test_the_median_is_predicted_from_the_grid_and_the_pitch(tmp_path) -> None:
    for seed, (late, loud) in enumerate(((0, 50), (15, 70), (15, 90))):
        hats = np.arange(64) * 120 + late
        write_drums(tmp_path / "in" / f"{seed}.mid", hats, HAT, velocity=loud)
    model = trained(tmp_path / "in", tmp_path / "model", dedup=False).model
    columns, _ = columns_and_streams(grids_of([tmp_path / "in" / "0.mid"]), {})
    assert set(predicted_offset(model, columns).tolist()) == {float(offset_of(np.array(20)))}
    assert set(predicted_velocity(model, columns).tolist()) == {float(velocity_of(np.array(35)))}


def test_a_bar_that_was_trained_or_is_a_hit_away_is_a_near_copy(plain, corpus, tmp_path) -> None:
    whole = score_files(plain, corpus.folder)
    assert whole.near_copies == 1.0
    # a bar of toms, crashes and rides at once on odd steps is near nothing
    ticks = np.repeat(np.arange(1, 16, 2) * 120, 4)
    write_drums(tmp_path / "odd.mid", ticks, np.tile([41, 45, 50, 57], 8))
    assert score_files(plain, tmp_path).near_copies == 0.0


def test_nothing_that_could_be_scored_is_an_error_that_says_why(plain, tmp_path) -> None:
    with pytest.raises(StreamingError):
        score_files(plain, tmp_path)
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    write_drums(tmp_path / "short.mid", np.arange(3) * 120)
    with pytest.raises(GrooveError, match=r"none of 2 files.*few_notes 1, truncated 1") as caught:
        score_files(plain, tmp_path)
    assert "\n" not in str(caught.value)
    write_beat(tmp_path / "good.mid")
    found = score_files(plain, tmp_path)
    assert (found.files, found.skipped) == (1, {"few_notes": 1, "truncated": 1})


def test_a_model_of_pitched_notes_scores_events_alone(tmp_path) -> None:
    for seed in range(3):
        write_beat(tmp_path / "in" / f"{seed}.mid", seed=seed, channel=1)
    model = trained(tmp_path / "in", tmp_path / "model", part="pitched").model
    found = score_files(model, tmp_path / "in")
    assert found.events > 0 and found.bits_per_event > 0
    assert (found.bars, found.bits_per_bar, found.near_copies) == (0, 0.0, 0.0)
