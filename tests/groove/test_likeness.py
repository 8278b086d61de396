"""Drawn pieces beside played ones: numbers that are known beforehand."""

import numpy as np
import pytest
from performances import grid_from

from workbench.errors import GrooveError
from workbench.groove.files import midi_files
from workbench.groove.likeness import drawn_masks, likeness, played_masks
from workbench.groove.options import SampleOptions
from workbench.groove.sample import sample
from workbench.groove.statistics import corpus_grids

KICK, SNARE, HAT = 1, 2, 4


def bar(**hits):
    masks = np.zeros(16, np.int64)
    for step, mask in hits.items():
        masks[int(step[1:])] = mask
    return masks


def test_chords_classes_and_repetition_are_those_of_the_bars(plain):
    first, other = bar(s0=KICK | HAT, s8=SNARE), bar(s0=KICK, s4=HAT, s12=SNARE)
    near = bar(s0=KICK | HAT, s8=SNARE, s9=SNARE)
    piece = np.stack([first, other, first, near])
    told = likeness(plain, [piece, np.stack([other, other, bar(), first])])
    assert (told.pieces, told.bars) == (2, 8)
    assert told.hits_per_bar == pytest.approx((3 + 3 + 3 + 4 + 3 + 3 + 0 + 3) / 8)
    assert told.polyphony == pytest.approx(4 / 18)  # of the sounding steps
    assert told.class_share[:3] == pytest.approx([7 / 22, 8 / 22, 7 / 22])
    assert told.repeated == pytest.approx(2 / 7)  # of the bars with a hit
    assert told.varied == pytest.approx(3 / 7)


def test_bars_that_were_learned_are_found_again(plain, corpus):
    pieces = played_masks(corpus_grids(list(midi_files(corpus.folder))), 2)
    assert len(pieces) > 3
    assert likeness(plain, pieces).near_copies == 1
    new = [np.full((2, 16), 511)]  # nobody plays all at once on every step
    assert likeness(plain, new).near_copies == 0


def test_only_whole_pieces_in_four_are_taken_and_no_more_than_their_first_bars():
    hits = [(0, 0, 0.0, 36, 90), (1, 4, 0.2, 38, 90), (2, 8, 0.0, 42, 90)]
    pieces = played_masks(
        [
            grid_from(hits, ["4/4"] * 3),
            grid_from(hits, ["4/4", "3/4", "4/4"]),
            grid_from(hits[:1], ["4/4"]),
        ],
        2,
    )
    assert [piece.shape for piece in pieces] == [(2, 16)]
    assert (pieces[0][0, 0], pieces[0][1, 4], np.count_nonzero(pieces[0])) == (1, 2, 2)


def test_drawn_pieces_are_taken_as_they_were_drawn(plain):
    drawn = [sample(plain, SampleOptions(bars=4, seed=seed)) for seed in (1, 2)]
    masks = drawn_masks(drawn)
    assert [piece.shape for piece in masks] == [(4, 16), (4, 16)]
    told = likeness(plain, masks[:1])
    assert told.polyphony == pytest.approx(drawn[0].polyphony)
    assert told.near_copies == pytest.approx(drawn[0].near_copies / 4)


def test_silence_cannot_be_described(plain):
    for pieces in ([], [np.zeros((2, 16), np.int64)]):
        with pytest.raises(GrooveError, match=f"{len(pieces)} pieces without a hit"):
            likeness(plain, pieces)
