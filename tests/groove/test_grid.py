"""The grid: bars and steps as a plain walk over the metres has them, and as pretty_midi does."""

import io
import math
from fractions import Fraction
from itertools import pairwise

import mido
import numpy as np
import pretty_midi
import pytest
from corpora import HAT, KICK, PPQ, write_drums
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workbench.groove.grid import MAX_STEPS, Skip, best_resolution, grid_of
from workbench.groove.options import TrainOptions
from workbench.music.midi import Midi, read_midi, read_midi_file
from workbench.music.writer import MidiTrack, midi_bytes

LOOSE = {"min_notes": 0}


def midi_of(ticks, *, pitches=HAT, **track):
    ticks = np.asarray(ticks, np.int64)
    content = midi_bytes(
        MidiTrack(
            tick=ticks,
            duration=np.ones(len(ticks), np.int64),
            pitch=np.broadcast_to(pitches, ticks.shape),
            velocity=np.full(len(ticks), 90),
            **track,
        )
    )
    midi = read_midi(content)
    assert isinstance(midi, Midi)
    return midi


def gridded(ticks, *, options=None, **track):
    return grid_of(midi_of(ticks, **track), TrainOptions(**LOOSE | (options or {})))


# --- bars and steps


def bar_starts(metres, ppq, end):
    """Walk over the bars: (start tick, steps a quarter are to be multiplied with) of each."""
    starts = []
    for (tick, numerator, denominator), after in zip(
        metres, [*(tick for tick, _, _ in metres[1:]), end + 1], strict=True
    ):
        length = Fraction(4 * ppq * numerator, denominator)
        number = 0
        while tick + number * length < after:
            starts.append((math.ceil(tick + number * length), Fraction(4 * numerator, denominator)))
            number += 1
    return starts


@st.composite
def metre_changes(draw):
    """Metres in force from rising ticks on, the first at 0; they may cut bars short."""
    count = draw(st.integers(1, 4))
    ticks = [
        0,
        *sorted(draw(st.sets(st.integers(1, 6000), min_size=count - 1, max_size=count - 1))),
    ]
    metre = st.sampled_from([(4, 4), (3, 4), (6, 8), (5, 4), (7, 8), (2, 2), (12, 8), (1, 4)])
    found = [(tick, *draw(metre)) for tick in ticks]
    assume(all(one[1:] != other[1:] for one, other in pairwise(found)))
    return found


@settings(max_examples=100, deadline=None)
@given(
    metres=metre_changes(),
    ticks=st.sets(st.integers(0, 12_000), min_size=1, max_size=40),
    ppq=st.sampled_from([1, 7, 24, 96, 480]),
    resolution=st.sampled_from([2, 4, 6, 8, 12]),
)
def test_every_note_is_on_the_step_of_the_bar_that_a_plain_walk_finds(
    metres, ticks, ppq, resolution
):
    ticks = sorted(ticks)
    grid = gridded(ticks, ppq=ppq, metres=metres, options={"resolution": resolution})
    assert not isinstance(grid, Skip)
    bars = bar_starts(metres, ppq, max(ticks[-1], metres[-1][0]))
    steps = [int(quarters * resolution) for _, quarters in bars]
    for tick, bar, step, offset in zip(ticks, grid.bar, grid.step, grid.offset, strict=True):
        at = max(number for number, (start, _) in enumerate(bars) if start <= tick)
        exact = Fraction((tick - bars[at][0]) * resolution, ppq)
        nearest = round(exact)  # Python rounds half to even
        expected = (at, nearest) if nearest < steps[at] else (at + 1, 0)
        assert (bar, step) == expected
        assert offset == pytest.approx(float(exact - nearest), abs=1e-9)
        assert -0.5 <= offset <= 0.5
    assert len(grid.bar_steps) == grid.bar[-1] + 1
    inside = min(len(grid.bar_steps), len(steps))
    assert grid.bar_steps[:inside].tolist() == steps[:inside]


@pytest.mark.parametrize(
    ("metre", "bar_steps", "beat_steps"),
    [
        ((4, 4), 16, 4),
        ((3, 4), 12, 4),
        ((5, 4), 20, 4),
        ((6, 8), 12, 6),
        ((9, 8), 18, 6),
        ((12, 8), 24, 6),
        ((7, 8), 14, 4),
        ((3, 8), 6, 4),
        ((2, 2), 16, 4),
        ((15, 16), 15, 4),
    ],
)
def test_a_bar_is_as_long_as_its_metre_and_a_beat_is_what_is_felt(metre, bar_steps, beat_steps):
    bar_ticks = PPQ * 4 * metre[0] // metre[1]
    grid = gridded([0, bar_ticks, 2 * bar_ticks], metres=[(0, *metre)])
    assert grid.bar.tolist() == [0, 1, 2]
    assert grid.step.tolist() == [0, 0, 0]
    assert set(grid.bar_steps.tolist()) == {bar_steps}
    assert set(grid.beat_steps.tolist()) == {beat_steps}


def test_a_file_without_a_metre_is_in_four_quarters():
    assert gridded([0, 4 * PPQ], metres=[]).bar_steps.tolist() == [16, 16]


def test_bars_begin_where_pretty_midi_has_its_downbeats(tmp_path):
    path = tmp_path / "changes.mid"
    metres, tick = [], 0
    for numerator, denominator in ((4, 4), (3, 4), (6, 8), (5, 4), (4, 4)):
        metres.append((tick, numerator, denominator))
        tick += 3 * PPQ * 4 * numerator // denominator
    write_drums(path, range(0, tick, PPQ // 2), metres=metres, bpm=97)
    pretty = pretty_midi.PrettyMIDI(str(path))
    downbeats = [pretty.time_to_tick(seconds) for seconds in pretty.get_downbeats()]
    grid = grid_of(read_midi_file(path), TrainOptions())
    midi = read_midi_file(path)
    first_of_bar = [int(midi.tick[grid.bar == bar].min()) for bar in range(15)]
    assert first_of_bar == downbeats[:15]
    assert grid.step[np.isin(midi.tick, first_of_bar)].tolist() == [0] * 15


def test_bars_and_steps_of_the_demo_corpus_agree_with_a_walk_over_midos_messages(corpus):
    metres = set()
    for path, label in zip(corpus.paths, corpus.labels, strict=True):
        midi = read_midi_file(path)
        if label.file in corpus.defects or not isinstance(midi, Midi):
            continue
        tick, notes, metre = 0, [], (4, 4)
        file = mido.MidiFile(path)
        for message in mido.merge_tracks(file.tracks):
            tick += message.time
            if message.type == "time_signature":
                metre = (message.numerator, message.denominator)
            if message.type == "note_on" and message.velocity:
                notes.append((tick, message.note, message.velocity))
        metres.add(metre)
        bar_ticks = file.ticks_per_beat * 4 * metre[0] // metre[1]
        steps_a_bar = 16 * metre[0] // metre[1]
        at = [round(Fraction(4 * tick, file.ticks_per_beat)) for tick, _, _ in sorted(notes)]
        grid = grid_of(midi, TrainOptions(**LOOSE))
        assert (grid.bar * steps_a_bar + grid.step).tolist() == at
        assert grid.pitch.tolist() == [pitch for _, pitch, _ in sorted(notes)]
        assert grid.velocity.tolist() == [velocity for _, _, velocity in sorted(notes)]
        assert bar_ticks * 4 == steps_a_bar * file.ticks_per_beat
    assert metres == {(4, 4), (3, 4), (6, 8), (5, 4)}


def test_ties_go_to_the_even_step_and_the_last_half_step_to_the_next_bar():
    step = PPQ // 4
    ticks = [step // 2 + number * step for number in range(16)]
    grid = gridded(ticks)
    evens = [0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14, 0]
    assert grid.step.tolist() == evens
    assert grid.bar.tolist() == [0] * 15 + [1]
    assert grid.offset.tolist() == [0.5, -0.5] * 8
    assert len(grid.bar_steps) == 2


def test_beats_per_bar_given_takes_the_place_of_the_metre_map():
    grid = gridded([0, 7 * PPQ], metres=[(0, 4, 4), (4 * PPQ, 3, 4)], options={"beats_per_bar": 5})
    assert grid.bar.tolist() == [0, 1]
    assert grid.step.tolist() == [0, 8]
    assert grid.bar_steps.tolist() == [20, 20]


def test_seconds_of_a_step_follow_the_tempo_map():
    tempos = [(0, 500_000), (PPQ, 250_000)]
    grid = gridded([0, PPQ - 1, PPQ, 3 * PPQ], tempos=tempos)
    assert grid.step_seconds == pytest.approx([0.125, 0.125, 0.0625, 0.0625])
    assert grid.bpm == pytest.approx(120)


# --- which notes


def test_a_part_takes_its_own_notes():
    file = mido.MidiFile(ticks_per_beat=PPQ)
    for channel, pitch in ((9, KICK), (0, 60)):
        track = mido.MidiTrack()
        for _ in range(3):
            track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=90))
            track.append(
                mido.Message("note_off", channel=channel, note=pitch, velocity=0, time=PPQ)
            )
        file.tracks.append(track)
    content = io.BytesIO()
    file.save(file=content)
    midi = read_midi(content.getvalue())
    for part, pitches in (("drums", {KICK}), ("pitched", {60}), ("all", {KICK, 60})):
        grid = grid_of(midi, TrainOptions(**LOOSE, part=part))
        assert set(grid.pitch.tolist()) == pitches
        assert len(grid.pitch) == 3 * len(pitches)


# --- what is skipped


def test_too_few_notes_and_bars_are_skipped_with_their_number():
    assert gridded([0] * 1, options={"min_notes": 2}) == Skip(reason="few_notes", detail="1 notes")
    assert gridded([0, 1], options={"min_notes": 2, "min_bars": 2}) == Skip(
        reason="few_bars", detail="1 bars"
    )
    assert not isinstance(gridded([0, 4 * PPQ], options={"min_notes": 2, "min_bars": 2}), Skip)
    pitched = grid_of(midi_of([0], channel=1), TrainOptions(**LOOSE))
    assert pitched == Skip(reason="few_notes", detail="0 notes")


@pytest.mark.parametrize(
    ("metre", "resolution", "is_skipped"),
    [
        ((33, 64), 4, True),
        ((7, 8), 1, True),
        ((7, 8), 2, False),
        ((6, 8), 3, False),
        ((7, 8), 3, True),
        ((32, 4), 4, False),  # 128 steps: the most that a bar may have
        ((33, 4), 4, True),
        ((1, 16), 4, False),
        ((1, 32), 4, True),
        ((255, 1), 12, True),
    ],
)
def test_a_metre_whose_bar_is_no_whole_steps_is_off_the_grid(metre, resolution, is_skipped):
    found = gridded([0], metres=[(0, *metre)], options={"resolution": resolution})
    if is_skipped:
        assert found.reason == "metre_off_grid"
        assert f"{metre[0]}/{metre[1]}" in found.detail
    else:
        assert found.bar_steps.tolist() == [4 * resolution * metre[0] // metre[1]]


def test_a_performance_may_be_18_hours_long_and_no_longer():
    last_bar = MAX_STEPS // 16 - 1
    grid = gridded([0, 4 * last_bar], ppq=1)
    assert len(grid.bar_steps) == last_bar + 1
    assert gridded([0, 4 * last_bar + 4], ppq=1) == Skip(
        reason="too_long", detail=f"{last_bar + 2} bars"
    )


# --- tempo


@settings(max_examples=100, deadline=None)
@given(
    tempo=st.integers(100_000, 4_000_000),
    low=st.floats(20, 200),
    ratio=st.floats(1, 6),
    policy=st.sampled_from(["accept", "skip", "fallback"]),
    folds=st.booleans(),
)
def test_a_tempo_out_of_bounds_is_folded_then_left_to_the_policy(tempo, low, ratio, policy, folds):
    bounds = {"min_bpm": low, "max_bpm": low * ratio, "fallback_bpm": 111.0}
    options = bounds | {"tempo_policy": policy, "fold_halves": folds}
    found = gridded([0, PPQ], tempos=[(0, tempo)], options=options)
    bpm = 6e7 / tempo
    doublings = [bpm * 2.0**power for power in (range(-8, 9) if folds else [0])]
    within = [value for value in doublings if low <= value <= low * ratio]
    if within and not isinstance(found, Skip):
        nearest = min(within, key=lambda value: abs(np.log2(value / bpm)))
        assert found.bpm == pytest.approx(nearest)
    elif policy == "skip":
        assert found.reason == "tempo"
        assert f"{bpm:.4g} bpm is outside" in found.detail
        assert not within
    else:
        assert found.bpm == pytest.approx(111.0 if policy == "fallback" else bpm)
    if not isinstance(found, Skip):
        assert found.step_seconds == pytest.approx([15 / found.bpm] * 2)


# --- the resolution


def onsets(per_quarter, *, quarters=16, spread=0.0, seed=0):
    jitter = np.random.default_rng(seed).normal(0, spread * PPQ, per_quarter * quarters)
    ticks = np.arange(per_quarter * quarters) * PPQ / per_quarter + jitter
    return sorted(set(np.maximum(np.rint(ticks), 0).astype(int).tolist()))


@pytest.mark.parametrize(
    ("per_quarter", "found"), [(1, 1), (2, 2), (3, 3), (4, 4), (6, 6), (8, 8), (12, 12)]
)
@pytest.mark.parametrize("spread", [0.0, 0.012])
def test_the_coarsest_grid_that_fits_is_found(per_quarter, found, spread):
    midi = midi_of(onsets(per_quarter, spread=spread))
    assert best_resolution([midi]) == found


def test_a_corpus_is_as_fine_as_its_finer_half():
    eighths, sixteenths = midi_of(onsets(2)), midi_of(onsets(4))
    assert best_resolution([eighths] * 3) == 2
    assert best_resolution([eighths, sixteenths]) == 4


def test_eighths_and_triplets_together_need_six():
    assert best_resolution([midi_of(onsets(2)), midi_of(onsets(3))]) == 6


def test_the_part_that_is_counted_chooses_the_resolution():
    drums, pitched = midi_of(onsets(4)), midi_of(onsets(3), channel=1)
    assert best_resolution([drums, pitched], "drums") == 4
    assert best_resolution([drums, pitched], "pitched") == 3


def test_without_onsets_the_resolution_is_four():
    assert best_resolution([]) == 4
    assert best_resolution([midi_of(onsets(3), channel=1)]) == 4
