"""Notes as tokens and back: beside a plain loop, and by laws of both vocabularies."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from token_loop import LoopNote, loop_decoded, loop_encoded

from workbench.beatmap.maps.objects import DIFFICULTIES, Notes
from workbench.beatmap.maps.places import FolderFiles
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer import tokens as module
from workbench.beatmap.writer.tokens import (
    BAR,
    END,
    EXTENDED,
    FIRST_POS,
    PAD,
    REASONS,
    SECOND_OF_HAND,
    START,
    TWICE,
    VOCABULARY_291,
    Vocabulary,
    decode,
    decode_many,
    encode,
    encode_many,
    rounding_ms,
)
from workbench.errors import BeatmapError

VOCABULARIES = (VOCABULARY_291, EXTENDED, Vocabulary(slots=12, is_stacked=False))

# Beats on and off any grid, in few bars, so that slots are shared; some before the start.
beats = st.one_of(
    st.integers(-4, 40 * 48).map(lambda slot: slot / 48),
    st.integers(-40, 600).map(lambda slot: slot / 32),  # halves of a slot of 16
    st.floats(-0.2, 30.0),
)
loop_notes = st.builds(
    LoopNote,
    beat=beats,
    lane=st.integers(-1, 4),
    layer=st.integers(-1, 3),
    color=st.integers(0, 1),
    direction=st.one_of(st.integers(0, 9), st.just(1045)),
)
charts_of_all = st.lists(
    st.tuples(st.lists(loop_notes, max_size=14), st.sampled_from(DIFFICULTIES)), max_size=3
)
good_rows = st.tuples(
    st.integers(0, 300), st.integers(0, 3), st.integers(0, 2), st.integers(0, 1), st.integers(0, 8)
)


def notes_of(rows, **more):
    """Return notes as they stand, of (beat, lane, layer, color, direction) or loop notes."""
    rows = [(r.beat, r.lane, r.layer, r.color, r.direction) if is_loop(r) else r for r in rows]
    columns = zip(*rows, strict=True) if rows else [()] * 5
    names = ("beat", "lane", "layer", "color", "direction")
    arrays = {
        name: np.array(column, Notes.DTYPES[name])
        for name, column in zip(names, columns, strict=True)
    }
    return Notes(**({"angle": np.zeros(len(rows))} | arrays | more))


def is_loop(row):
    return isinstance(row, LoopNote)


def rows_of(notes):
    names = ("beat", "lane", "layer", "color", "direction")
    return list(zip(*(getattr(notes, name).tolist() for name in names), strict=True))


def many(charts, vocabulary):
    offsets = np.cumsum([0, *(len(rows) for rows, _ in charts)])
    rows = [row for chart, _ in charts for row in chart]
    return encode_many(notes_of(rows), offsets, [name for _, name in charts], vocabulary)


def is_grammatical(tokens, vocabulary):
    """Return whether a chart is START, difficulty, bars of rising slots, END; slots as promised."""
    at = [*tokens.tolist(), None]
    if at[0] != START or not 3 <= at[1] < BAR or at[-2] != END:
        return False
    number, last_pos = 2, None
    while at[number] != END:
        if at[number] == BAR:
            number, last_pos = number + 1, -1
            continue
        pos = at[number] - FIRST_POS
        if last_pos is None or not last_pos < pos < vocabulary.bar_slots:
            return False
        last_pos, number = pos, number + 1
        inside = []
        while at[number] is not None and at[number] >= FIRST_POS + vocabulary.bar_slots:
            inside.append(at[number])
            number += 1
        if vocabulary.is_stacked:
            if not inside or inside != sorted(set(inside)):
                return False
        elif not (
            len(inside) == 2
            and vocabulary.empty_left <= inside[0] < vocabulary.empty_right <= inside[1]
            and inside != [vocabulary.empty_left, vocabulary.empty_right]
        ):
            return False
    return number == len(tokens) - 1


# --- laws


@settings(max_examples=70)
@given(charts_of_all)
@example([([LoopNote(0.03125, 0, 0, 0, 1), LoopNote(0.09375, 0, 0, 0, 1)], "Easy")])
@example([([LoopNote(-0.03125, 1, 0, 0, 1), LoopNote(0.0, 0, 0, 0, 1)], "Hard"), ([], "Easy")])
def test_tokens_of_the_first_vocabulary_are_those_of_the_loop(charts):
    encoded = many(charts, VOCABULARY_291)
    assert [encoded.chart(number).tolist() for number in range(len(charts))] == [
        loop_encoded(rows, name) for rows, name in charts
    ]
    assert all(
        loop_encoded(rows, name, looks_up=True) == loop_encoded(rows, name) for rows, name in charts
    )


@settings(max_examples=50)
@given(charts_of_all)
def test_the_first_vocabulary_is_decoded_as_by_the_loop(charts):
    encoded = many(charts, VOCABULARY_291)
    for number in range(len(charts)):
        tokens = encoded.chart(number)
        notes, _ = decode(tokens, VOCABULARY_291)
        expected = loop_decoded(tokens.tolist())
        assert rows_of(notes) == rows_of(notes_of(expected))


@settings(max_examples=70)
@given(vocabulary=st.sampled_from(VOCABULARIES), charts=charts_of_all)
def test_every_note_is_kept_or_lost_for_one_reason(vocabulary, charts):
    encoded = many(charts, vocabulary)
    lost = sum(encoded.lost.values(), np.zeros(len(charts), np.int64))
    assert (encoded.kept + lost).tolist() == [len(rows) for rows, _ in charts]
    assert all(counts.any() for counts in encoded.lost.values())
    assert set(encoded.lost) <= {*REASONS, SECOND_OF_HAND, TWICE}
    decoded = decode_many(encoded.tokens, encoded.offsets, vocabulary)
    assert np.diff(decoded.offsets).tolist() == encoded.kept.tolist()
    assert decoded.difficulties == tuple(name for _, name in charts)
    assert not decoded.stray.any()


@settings(max_examples=70)
@given(vocabulary=st.sampled_from(VOCABULARIES), charts=charts_of_all)
def test_tokens_are_grammatical_and_bars_stand_where_they_are_said_to(vocabulary, charts):
    encoded = many(charts, vocabulary)
    for number in range(len(charts)):
        assert is_grammatical(encoded.chart(number), vocabulary)
    assert encoded.bars.tolist() == np.flatnonzero(encoded.tokens == BAR).tolist()
    in_charts = np.searchsorted(encoded.bars, encoded.offsets).tolist()
    assert encoded.bar_offsets.tolist() == in_charts
    assert encoded.tokens.dtype == np.int16
    assert encoded.tokens.max(initial=0) < vocabulary.size


@settings(max_examples=70)
@given(vocabulary=st.sampled_from(VOCABULARIES), charts=charts_of_all)
def test_charts_together_are_the_charts_alone(vocabulary, charts):
    encoded = many(charts, vocabulary)
    alone = [encode(notes_of(rows), name, vocabulary).tolist() for rows, name in charts]
    assert [encoded.chart(number).tolist() for number in range(len(charts))] == alone


@given(rows=st.lists(good_rows, max_size=25, unique=True))
def test_notes_on_the_grid_come_back_as_they_were(rows):
    notes = notes_of([(slot / 48, *place) for slot, *place in rows])
    tokens = encode(notes, "Expert", EXTENDED)
    back, difficulty = decode(tokens, EXTENDED)
    assert difficulty == "Expert"
    assert rows_of(back) == sorted(
        rows_of(notes), key=lambda row: (row[0], row[3], row[1], row[2], row[4])
    )
    assert encode(back, "Expert", EXTENDED).tolist() == tokens.tolist()


@given(rows=st.lists(loop_notes, max_size=20), seed=st.integers(0, 99))
def test_stacked_tokens_do_not_depend_on_the_order_of_the_notes(rows, seed):
    shuffled = [rows[at] for at in np.random.default_rng(seed).permutation(len(rows))]
    one, other = (encode(notes_of(each), "Easy", EXTENDED) for each in (rows, shuffled))
    assert one.tolist() == other.tolist()


@given(
    vocabulary=st.sampled_from(VOCABULARIES),
    tokens=st.lists(st.integers(-5, 500), max_size=30),
    cut=st.integers(0, 30),
)
def test_any_tokens_are_decoded(vocabulary, tokens, cut):
    array = np.array(tokens, np.int16)
    cut = min(cut, len(array))
    decoded = decode_many(array, [0, cut, len(array)], vocabulary)
    notes = (array >= vocabulary.left) & (array < vocabulary.size)
    if not vocabulary.is_stacked:
        notes &= array != vocabulary.empty_right
    assert len(decoded.notes) + decoded.stray.sum() == notes.sum()
    assert (decoded.notes.beat >= 0).all()


@given(rows=st.lists(loop_notes, max_size=15), slots=st.sampled_from([1, 16, 48]))
def test_a_note_is_moved_by_no_more_than_half_a_slot(rows, slots):
    vocabulary = Vocabulary(slots=slots, is_stacked=True)
    errors = rounding_ms(notes_of(rows), vocabulary, TimeMap.steady(120.0))
    assert (errors <= 500 / slots / 2 + 1e-9).all()
    encoded = encode_many(notes_of(rows), [0, len(rows)], ["Easy"], vocabulary)
    twice = encoded.lost.get(TWICE, np.zeros(1, np.int64))
    assert len(errors) == encoded.kept[0] + twice[0]


# --- the vocabularies


def test_ids_are_those_of_the_table():
    assert VOCABULARY_291.size == 291
    assert EXTENDED.size == 9 + 192 + 216
    ids = {VOCABULARY_291.name(token): token for token in range(291)}
    assert len(ids) == 291
    for name, token in {
        "PAD": 0,
        "START": 1,
        "END": 2,
        "Easy": 3,
        "ExpertPlus": 7,
        "BAR": 8,
        "POS 0": 9,
        "POS 63": 72,
        "LEFT empty": 73,
        "LEFT 0,0 up": 74,
        "LEFT 3,2 any": 181,
        "RIGHT empty": 182,
        "RIGHT 0,0 up": 183,
        "RIGHT 1,0 down": 211,
        "RIGHT 3,2 any": 290,
    }.items():
        assert ids[name] == token
    assert len({EXTENDED.name(token) for token in range(EXTENDED.size)}) == EXTENDED.size
    assert EXTENDED.name(EXTENDED.size) == "unknown 417"


@pytest.mark.parametrize("slots", [0, 65])
def test_a_vocabulary_of_other_slots_is_refused(slots):
    with pytest.raises(BeatmapError, match=f"^{slots} slots a beat; want 1 to 64"):
        Vocabulary(slots=slots, is_stacked=True)


# --- examples


def test_stacks_towers_and_windows_stay_whole():
    tower = [(4.0, 1, layer, 0, 1) for layer in range(3)]
    window = [(4.0, 0, 2, 1, 0), (4.0, 3, 2, 1, 0)]
    stack = [(6.25, 2, 0, 1, 1), (6.25, 2, 0, 1, 8)]
    notes = notes_of([*tower, *window, *stack])
    back, _ = decode(encode(notes, "Hard", EXTENDED), EXTENDED)
    assert Counter(rows_of(back)) == Counter(rows_of(notes))
    encoded = encode_many(notes, [0, len(notes)], ["Hard"], VOCABULARY_291)
    assert {reason: counts.tolist() for reason, counts in encoded.lost.items()} == {
        SECOND_OF_HAND: [4]
    }


def test_each_reason_is_told():
    notes = notes_of(
        [
            (1.0, 0, 0, 0, 1),
            (np.nan, 0, 0, 0, 1),
            (np.inf, 0, 0, 0, 1),
            (-1.0, 0, 0, 0, 1),
            (1e300, 0, 0, 0, 1),
            (2.0, 1002, 0, 0, 1),
            (2.0, 0, -1, 0, 1),
            (2.0, 0, 0, 0, 1045),
            (2.0, 0, 0, 3, 1),
            (1.0, 0, 0, 0, 1),
        ],
    )
    encoded = encode_many(notes, [0, 4, 4, 10], ["Easy"] * 3, EXTENDED)
    assert {reason: counts.tolist() for reason, counts in encoded.lost.items()} == {
        "no_number": [2, 0, 0],
        "before_start": [1, 0, 0],
        "beyond_end": [0, 0, 1],
        "off_grid": [0, 0, 2],
        "odd_direction": [0, 0, 1],
        "odd_color": [0, 0, 1],
    }
    assert encoded.kept.tolist() == [1, 0, 1]
    assert encoded.chart(1).tolist() == [START, 3, END]
    encoded = encode_many(notes, [0, 10], ["Easy"], EXTENDED)
    assert encoded.lost[TWICE].tolist() == [1]


def test_angles_that_are_not_kept_are_told():
    rows = [(0.0, 0, 0, 0, 1), (0.0, 0, 0, 0, 2), (0.0, 1, 0, 1, 1), (1.0, 0, 0, 0, 1)]
    notes = notes_of(rows, angle=np.array([0.0, 15.0, 30.0, 45.0]))
    for vocabulary, turned in ((EXTENDED, [2, 1]), (VOCABULARY_291, [1, 1])):
        assert encode_many(notes, [0, 3, 4], ["Easy"] * 2, vocabulary).turned.tolist() == turned


def test_columns_of_eight_bits_give_the_same_tokens():
    rows = [(0.0, 3, 2, 1, 8), (1.0, 3, 2, 0, 8)]
    wide = notes_of(rows)
    narrow = notes_of(
        rows,
        **{n: getattr(wide, n).astype(np.int8) for n in ("lane", "layer", "color", "direction")},
    )
    for vocabulary in VOCABULARIES:
        one, other = (encode(each, "Easy", vocabulary) for each in (wide, narrow))
        assert one.tolist() == other.tolist()


def test_triplets_and_parts_of_a_beat_to_the_sixteenth_are_exact():
    beats = [bar / 3 for bar in range(12)] + [part / 16 for part in range(64)]
    beats += [round(part / 6, 3) for part in range(24)]  # as files have them
    notes = notes_of([(beat, 0, 0, 0, 1) for beat in beats])
    assert rounding_ms(notes, EXTENDED, TimeMap.steady(60.0)).max() < 1.0
    coarse = rounding_ms(notes, VOCABULARY_291, TimeMap.steady(60.0))
    assert coarse.max() == pytest.approx(1000 / 48, abs=0.4)  # a third, a third of a slot off
    assert (coarse > 10).mean() > 0.1


def test_rounding_is_told_in_the_time_of_the_song():
    notes = notes_of([(1 / 32, 0, 0, 0, 1), (8 + 1 / 32, 0, 0, 0, 1), (9.0, 7, 0, 0, 1)])
    time_map = TimeMap.of_changes(60.0, [4.0], [240.0])
    errors = rounding_ms(notes, VOCABULARY_291, time_map)
    assert errors == pytest.approx([31.25, 31.25 / 4])


def test_no_notes_are_moved_by_nothing():
    assert rounding_ms(notes_of([]), EXTENDED, TimeMap.steady(120.0)).tolist() == []


def test_a_chart_of_another_program_is_decoded_as_far_as_it_goes():
    tokens = np.array([PAD, 1, 6, 80, 8, 80, 10, 80, 9999, 8, 8, 9, 73, 183, 2, 0, 0], np.int16)
    decoded = decode_many(tokens, [0, len(tokens)], VOCABULARY_291)
    assert rows_of(decoded.notes) == [(1 / 16, 0, 0, 0, 6), (8.0, 0, 0, 1, 0)]
    assert decoded.stray.tolist() == [2]
    assert decoded.difficulties == ("Expert",)
    assert decode(np.array([1, 8, 2], np.int16), EXTENDED)[1] is None


def test_an_unknown_difficulty_is_refused():
    with pytest.raises(BeatmapError, match=r"'Expert\+' is none of .*, did you mean 'Expert'"):
        encode(notes_of([]), "Expert+", EXTENDED)


@pytest.mark.parametrize("offsets", [[0], [0, 1], [0, 3], [1, 2], [0, 2, 1, 2]])
def test_offsets_that_do_not_fit_are_refused(offsets):
    notes = notes_of([(0.0, 0, 0, 0, 1)] * 2)
    names = ["Easy"] * (3 if len(offsets) == 4 else 1)
    with pytest.raises(BeatmapError, match="do not divide 2 rows"):
        encode_many(notes, offsets, names, EXTENDED)


def test_a_lone_note_far_off_takes_no_memory():
    far = module.MOST_BARS * 4 - 1 / 48
    assert encode(notes_of([(far, 0, 0, 0, 1)]), "Easy", EXTENDED).nbytes < 1 << 16
    assert encode(notes_of([(far + 1, 0, 0, 0, 1)]), "Easy", EXTENDED).tolist() == [1, 3, 2]


@pytest.mark.beatsaber
def test_of_the_test_track_only_planted_faults_are_lost(beatsaber):
    level = read_level(FolderFiles(beatsaber / "v4_test_track"))
    lost = {}
    for beatmap in level.beatmaps:
        notes = beatmap.objects.notes
        encoded = encode_many(notes, [0, len(notes)], ["Expert"], EXTENDED)
        assert (rounding_ms(notes, EXTENDED, beatmap.time_map) < 5.21).all()  # of 10.4 a slot
        for reason, counts in encoded.lost.items():
            lost[reason] = lost.get(reason, 0) + int(counts.sum())
    # the same note twice over in Stacked Note; a note at beat -1; one at lane 4
    assert lost == {TWICE: 2, "before_start": 1, "off_grid": 1}
