"""Streams: what a key holds, what its columns mean, and that counts do not know the cuts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from performances import (
    GRIDS,
    METRES,
    PITCHES,
    RESOLUTION,
    columns_and_streams,
    grid_from,
    labels_of,
)

from workbench.groove.drums import CLASS_OF_PITCH, NO_CLASS
from workbench.groove.streams import (
    LABEL_KINDS,
    NO_MASK,
    NO_PITCH,
    NO_TOKEN,
    NOTHING_BEFORE,
    bar_digests,
    bar_neighbours,
    beat_codes,
    event_tokens,
    near_codes,
    offset_codes,
    offset_of,
    place_codes,
    streams_of,
    velocity_codes,
    velocity_of,
)

ALL = {s.name: s for n in (1, 2, 3, 4) for s in streams_of(n, "drums", LABEL_KINDS)}
EVENTS = {n: streams_of(n, "drums", ())[0] for n in (1, 2, 3, 4)}
KEYED = [*EVENTS.values(), *(s for s in ALL.values() if s.fields and s.name != "events")]


def _named(stream):
    return f"{stream.name}-{stream.depth}"


def _counts(grids, labels, **options):
    columns, streams = columns_and_streams(grids, labels, **options)
    return {s.name: Counter(columns.keys(s).tolist()) for s in streams}


@pytest.mark.parametrize("stream", KEYED, ids=_named)
@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_a_key_holds_every_field_and_the_target(stream, seed) -> None:
    generator = np.random.default_rng(seed)
    widths = dict(stream.fields) | {"target": stream.target_bits}
    columns = {name: generator.integers(0, 1 << bits, 20) for name, bits in widths.items()}
    unpacked = stream.unpacked(stream.keys(columns))
    assert {k: v.tolist() for k, v in unpacked.items()} == {
        k: v.tolist() for k, v in columns.items()
    }


@pytest.mark.parametrize("stream", KEYED, ids=_named)
def test_a_key_fits_in_its_64_bits(stream) -> None:
    assert sum(bits for _, bits in stream.fields) + stream.target_bits <= 64
    assert stream.targets <= 1 << stream.target_bits


@pytest.mark.parametrize("stream", KEYED, ids=_named)
def test_keys_of_one_context_lie_together_by_rising_target(stream) -> None:
    generator = np.random.default_rng(1)
    widths = dict(stream.fields) | {"target": stream.target_bits}
    columns = {name: generator.integers(0, 1 << min(bits, 2), 300) for name, bits in widths.items()}
    order = np.argsort(stream.keys(columns))
    names = [*dict(stream.fields), "target"]
    rows = list(zip(*(columns[name][order].tolist() for name in names), strict=True))
    assert rows == sorted(rows)


@given(st.lists(GRIDS, min_size=2, max_size=5), st.integers(1, 4), st.data())
@settings(deadline=None, max_examples=60)
def test_counts_are_those_of_any_two_parts_together(grids, n, data) -> None:
    cut = data.draw(st.integers(1, len(grids) - 1))
    options = {
        "n": n,
        "coarse": data.draw(st.booleans()),
        "onset_order": data.draw(st.sampled_from(["played", "sorted"])),
        "part": data.draw(st.sampled_from(["drums", "all"])),
    }
    labels = labels_of(grids)
    head = _counts(grids[:cut], {k: v[:cut] for k, v in labels.items()}, **options)
    tail = _counts(grids[cut:], {k: v[cut:] for k, v in labels.items()}, **options)
    whole = _counts(grids, labels, **options)
    assert whole.keys() == head.keys()
    for name in whole:
        assert whole[name] == head[name] + tail[name], name


@given(GRIDS)
@settings(deadline=None, max_examples=60)
def test_masks_look_back_to_the_same_step_of_earlier_bars(grid) -> None:
    columns, _ = columns_and_streams([grid])
    sounding: dict[tuple[int, int], int] = {}
    for bar, step, pitch in zip(grid.bar.tolist(), grid.step.tolist(), grid.pitch, strict=True):
        drum = int(CLASS_OF_PITCH[pitch])
        bit = 1 << drum if drum < NO_CLASS else 0
        sounding[bar, step] = sounding.get((bar, step), 0) | bit
    lengths = grid.bar_steps.tolist()
    moments = [(bar, step) for bar, steps in enumerate(lengths) for step in range(steps)]
    masks = [sounding.get(moment, 0) for moment in moments]
    for at, (bar, step) in enumerate(moments):
        row = {name: int(column[at]) for name, column in columns.steps.items()}
        assert row["target_steps"] == masks[at]
        for k in (1, 2, 3, 4):
            assert row[f"step_{k}"] == (masks[at - k] if at >= k else NO_MASK)
        for k in (1, 2, 4):
            is_there = bar >= k and step < lengths[bar - k]
            expected = sounding.get((bar - k, step), 0) if is_there else NO_MASK
            assert row[f"bar_{k}"] == expected


@given(GRIDS, st.booleans(), st.sampled_from(["played", "sorted"]))
@settings(deadline=None, max_examples=60)
def test_events_are_told_by_parity_step_and_pitch_after_those_before(grid, coarse, order) -> None:
    columns, _ = columns_and_streams([grid], coarse=coarse, onset_order=order)
    notes = list(zip(grid.bar.tolist(), grid.step.tolist(), grid.pitch.tolist(), strict=True))
    notes = sorted(notes) if order == "sorted" else notes
    cell = RESOLUTION if coarse else 1
    tokens = [bar % 2 << 14 | step // cell << 7 | pitch for bar, step, pitch in notes]
    assert columns.notes["target_events"].tolist() == tokens
    for k in (1, 2, 3, 4):
        assert columns.notes[f"note_{k}"].tolist() == ([NO_TOKEN] * k + tokens)[: len(tokens)]


@given(GRIDS)
@settings(deadline=None, max_examples=60)
def test_hits_know_what_was_before_in_their_class(grid) -> None:
    columns, _ = columns_and_streams([grid])
    pitch_before = [NO_PITCH] * (NO_CLASS + 1)
    velocity_before = [NOTHING_BEFORE] * (NO_CLASS + 1)
    offset_before = NOTHING_BEFORE
    for at, (pitch, velocity, offset) in enumerate(
        zip(grid.pitch.tolist(), grid.velocity.tolist(), grid.offset.tolist(), strict=True)
    ):
        row = {name: int(column[at]) for name, column in columns.notes.items()}
        drum = int(CLASS_OF_PITCH[pitch])
        assert (row["class"], row["target_pitch"]) == (drum, pitch)
        assert row["pitch_before"] == pitch_before[drum]
        assert row["velocity_before"] == velocity_before[drum]
        assert row["timing_before"] == offset_before
        pitch_before[drum] = pitch
        velocity_before[drum] = velocity // 16
        offset_before = (round(offset * 32) + 16) // 4


@given(GRIDS)
@settings(deadline=None, max_examples=60)
def test_a_note_knows_its_neighbours_in_its_class(grid) -> None:
    columns, _ = columns_and_streams([grid])
    first = np.concatenate(([0], np.cumsum(grid.bar_steps)))
    at = first[grid.bar] + grid.step
    drum = CLASS_OF_PITCH[grid.pitch]
    there = {(int(step), int(of)) for step, of in zip(at, drum, strict=True) if of < NO_CLASS}
    for place, (step, of_class) in enumerate(zip(at.tolist(), drum.tolist(), strict=True)):
        near = [(step + away, of_class) in there for away in (-1, 1, -2, 2)]
        assert int(columns.notes["near"][place]) == sum(
            weight for weight, is_near in zip((8, 4, 2, 1), near, strict=True) if is_near
        )


def test_neighbours_in_another_performance_are_silent() -> None:
    mask, at, drum = np.ones(4, np.int64), np.arange(4), np.zeros(4, np.int64)
    assert near_codes(mask, np.array([0, 0, 1, 1]), at, drum).tolist() == [4, 8, 4, 8]
    together = [4 + 1, 8 + 4 + 1, 8 + 4 + 2, 8 + 2]
    assert near_codes(mask, np.zeros(4, np.int64), at, drum).tolist() == together


@pytest.mark.parametrize("resolution", [2, 3, 4, 6, 8, 12])
def test_place_and_beat_tell_the_step_of_every_metre_to_seven_beats(resolution) -> None:
    codes: dict[tuple[int, int], tuple[int, bool, int]] = {}
    for beats in range(1, 8):
        for is_compound in (False, True):
            if is_compound and (resolution % 2 or beats < 2):
                continue
            beat_steps = np.array(resolution * 3 // 2 if is_compound else resolution)
            steps = np.arange(beats * int(beat_steps))
            places = place_codes(steps, beat_steps, resolution)
            beat = beat_codes(steps, beat_steps, np.array(len(steps)))
            assert places.max() < 32 and beat.max() < 32
            for step, code in enumerate(zip(places.tolist(), beat.tolist(), strict=True)):
                assert codes.setdefault(code, (beats, is_compound, step)) == (
                    beats,
                    is_compound,
                    step,
                )


def test_velocities_and_offsets_come_back_from_their_bins() -> None:
    velocity = np.arange(1, 128)
    assert np.abs(velocity_of(velocity_codes(velocity)) - velocity).max() <= 1
    offset = np.linspace(-0.5, 0.5, 1001)
    codes = offset_codes(offset)
    assert (codes.min(), codes.max()) == (0, 32)
    assert np.abs(offset_of(codes) - offset).max() <= 1 / 64


@given(st.lists(st.lists(st.integers(0, 511), min_size=1, max_size=20), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_the_neighbours_of_a_bar_are_all_bars_one_hit_away(bars) -> None:
    starts = np.concatenate(([0], np.cumsum([len(bar) for bar in bars])))
    found = list(bar_neighbours(np.concatenate(bars), starts))
    expected = []
    for bar in bars:
        if not any(bar):
            continue
        near = [bar] + [
            [mask ^ (1 << drum) if at == step else mask for at, mask in enumerate(bar)]
            for step in range(len(bar))
            for drum in range(9)
        ]
        expected.append([int(_digest(masks)[0]) for masks in near])
    assert [digests.tolist() for digests in found] == expected


def _digest(masks):
    return bar_digests(np.array(masks), np.zeros(1, np.int64), np.arange(len(masks)))


@given(st.lists(st.lists(st.integers(0, 511), min_size=16, max_size=16), unique_by=tuple))
@settings(deadline=None)
def test_different_bars_have_different_digests(bars) -> None:
    assert len({int(_digest(bar)[0]) for bar in bars}) == len(bars)
    assert all(_digest(bar)[0] != _digest([*bar, 0])[0] for bar in bars)  # a longer bar


def test_a_token_has_room_for_every_step_and_pitch() -> None:
    tokens = {
        int(event_tokens(np.array(bar), np.array(step), np.array(pitch)))
        for bar in (0, 1)
        for step in range(128)
        for pitch in range(128)
    }
    assert len(tokens) == 2 * 128 * 128
    assert max(tokens) < NO_TOKEN


def test_the_streams_follow_the_part_the_labels_and_the_order() -> None:
    names = [stream.name for stream in streams_of(2, "drums", ("style",))]
    assert names == ["events", "steps", "steps.style", "pitch", "velocity", "timing", "bars"]
    assert [s.name for s in streams_of(4, "pitched", LABEL_KINDS)] == [
        "events",
        "velocity",
        "timing",
    ]
    assert [EVENTS[n].depth for n in (1, 2, 3, 4)] == [0, 1, 2, 3]


def test_a_metre_of_the_tests_is_as_long_as_it_says() -> None:
    for metre, (steps, _) in METRES.items():
        upper, lower = map(int, metre.split("/"))
        assert steps == 4 * RESOLUTION * upper // lower
    grid = grid_from([(0, 0, 0.0, PITCHES[0], 64)], ["3/4", "4/4"])
    assert grid.bar_steps.tolist() == [12, 16]
