"""Maps are written: as without a cache, each by its own draws, bar by bar of the whole song."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import (
    KINDS,
    NAMES,
    heard_of,
    made_features,
    made_network,
    quiet_writer,
)

from workbench.beatmap.writer.augment import normalised
from workbench.beatmap.writer.drawing import Hands, Manner, too_near
from workbench.beatmap.writer.generating import (
    Request,
    Sheet,
    wish_of,
    write_song,
    write_windows,
)
from workbench.beatmap.writer.grammar import NEVER, allowed
from workbench.beatmap.writer.network import places_of
from workbench.beatmap.writer.options import ChartWindowOptions
from workbench.beatmap.writer.tokens import (
    BAR,
    END,
    FIRST_DIFFICULTY,
    FIRST_POS,
    START,
    decode,
    encode,
)
from workbench.beatmap.writer.windows import window_columns

GREEDY = Manner(temperature=0.0)
HEAD = torch.tensor([START, FIRST_DIFFICULTY + 3])
CPU = torch.device("cpu")


def sheet(seed, bars, before=()):
    return Sheet(head=torch.tensor([*HEAD.tolist(), *before]), bars=bars, seed=(seed,))


def written(network, sheets, manner=GREEDY, bars=None, leaning=0.0):
    """Return the tokens of windows as lists."""
    heard = heard_of(network, len(sheets), bars or max(s.bars for s in sheets), 0, leaning)
    return [tokens.tolist() for tokens in write_windows(network, heard, sheets, manner)]


def recomputed(network, heard, head, bars, manner):
    """Return the likeliest tokens of a window, each from the whole of what is before it."""
    vocabulary = network.shape.tokens
    tokens, hands, own = [*head.tolist(), BAR], Hands(1, vocabulary, CPU), len(head)
    read, last = 0, -(1 << 30)
    while True:
        row = torch.tensor([tokens])
        places = places_of(row, torch.tensor([own]), network.shape)
        for at in range(read, len(tokens)):
            hands.follow(row[:, at])
            if FIRST_POS <= tokens[at] < FIRST_POS + vocabulary.bar_slots:
                last = int(places.bar[0, at] * vocabulary.bar_slots + places.slot[0, at])
        read = len(tokens)
        bar = places.bar[:, -1]
        near = too_near(torch.tensor([last]), bar, manner.spacing, vocabulary)
        never = ~allowed(row[:, -1], places.slot[:, -1], vocabulary) | hands.impossible() | near
        logits = network(heard, row, places)[:, -1] - hands.put_off(manner.parity)
        following = int(logits.masked_fill(never, NEVER).argmax())
        if following == BAR and bar == bars - 1:
            return tokens[own:]
        tokens.append(following)


def agrees_with_recomputation(seed, name, kernel, bars):
    """Return how long windows are that are written alike with and without what is kept."""
    network = made_network(seed, name, kernel, odds=0.0)
    manner = Manner(temperature=0.0, spacing=12 if name == "extended" else 0, parity=1.0)
    before = [BAR, FIRST_POS + 60, NAMES[name].left + 5, NAMES[name].right + 60]
    sheets = [sheet(0, bars), sheet(1, 1, before)]
    heard = heard_of(network, 2, bars, seed)
    found = write_windows(network, heard, sheets, manner)
    for row, (one, own) in enumerate(zip(sheets, found, strict=True)):
        of_row = heard.rows(torch.tensor([row]))
        assert own.tolist() == recomputed(network, of_row, one.head, one.bars, manner)
    return len(found[0])


# --- laws


@pytest.fixture
def double():
    """Numbers of 64 bits: in 32, two tokens may be as likely as each other but for rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.soak
@pytest.mark.usefixtures("double")
def test_tokens_are_those_that_are_written_without_a_cache():
    assert agrees_with_recomputation(7, "extended", 5, 8) >= 512


@pytest.mark.soak
@pytest.mark.parametrize(("name", "kernel"), KINDS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("double")
def test_tokens_of_many_networks_are_those_that_are_written_without_a_cache(seed, name, kernel):
    lengths = (agrees_with_recomputation(seed, name, kernel, bars) for bars in (8, 16, 32, 64))
    assert any(length >= 512 for length in lengths)


@pytest.mark.parametrize(("name", "kernel"), KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_the_likeliest_tokens_are_those_of_one_look_at_all_of_them(seed, name, kernel):
    network = made_network(seed, name, kernel)
    heard = heard_of(network, 2, 2, seed)
    for row, own in enumerate(write_windows(network, heard, [sheet(0, 2)] * 2, GREEDY)):
        tokens = torch.cat((HEAD, own, torch.tensor([BAR])))[None]
        places = places_of(tokens, torch.tensor([2]), network.shape)
        logits = network(heard.rows(torch.tensor([row])), tokens, places)
        hands = Hands(1, network.shape.tokens, CPU)
        may = allowed(tokens, places.slot, network.shape.tokens)
        for at in range(tokens.shape[1] - 1):
            hands.follow(tokens[:, at])
            never = ~may[:, at] | hands.impossible()
            if at >= 2:
                likeliest = logits[:, at].masked_fill(never, NEVER).argmax()
                assert likeliest == tokens[0, at + 1]


@settings(max_examples=5)
@given(seed=st.integers(0, 100), kind=st.sampled_from(KINDS), order=st.permutations(range(4)))
def test_a_window_is_the_same_whatever_is_written_beside_it(seed, kind, order):
    network = made_network(seed, *kind, odds=-5.0)
    heard = heard_of(network, 4, 2, seed)
    note = [BAR, FIRST_POS + 5, NAMES[kind[0]].left, NAMES[kind[0]].right + 9]
    sheets = [sheet(number, 1 + number % 2, note * (number // 2)) for number in range(4)]
    manner = Manner(temperature=1.2, top_p=0.97)
    together = write_windows(network, heard, sheets, manner)
    chosen = torch.tensor(order[: 1 + seed % 4])
    again = write_windows(network, heard.rows(chosen), [sheets[row] for row in chosen], manner)
    for row, tokens in zip(chosen.tolist(), again, strict=True):
        assert tokens.tolist() == together[row].tolist()


@settings(max_examples=5)
@given(seed=st.integers(0, 100), kind=st.sampled_from(KINDS), bars=st.integers(1, 3))
def test_a_window_has_its_bars_and_every_token_is_allowed(seed, kind, bars):
    vocabulary = NAMES[kind[0]]
    network = made_network(seed, *kind, odds=-5.0)
    before = [BAR, FIRST_POS + 5, vocabulary.left, vocabulary.right + 9]
    for context in ([], before):
        (tokens,) = written(network, [sheet(seed, bars, context)], Manner(), bars)
        assert tokens[0] == BAR
        assert tokens.count(BAR) == bars
        whole = torch.tensor([[*HEAD.tolist(), *tokens, BAR]])
        slot = places_of(whole, torch.tensor([2]), network.shape).slot
        may = allowed(whole, slot, vocabulary)[0]
        assert may[torch.arange(whole.shape[1] - 1), whole[0, 1:]].all()


@settings(max_examples=5)
@given(seed=st.integers(0, 100), bars=st.integers(1, 9), more=st.integers(0, 63), cut=st.data())
def test_a_song_is_written_to_its_last_column(seed, bars, more, cut):
    options = ChartWindowOptions(bars=cut.draw(st.integers(1, 4)), context=seed % 3)
    writer = quiet_writer(seed, cut=options)
    features = made_features(bars, seed, more)
    request = Request(difficulty=seed % 5, seed=seed)
    (tokens,) = write_song(writer, features, [request], strands=cut.draw(st.integers(1, 5)))
    assert tokens.dtype == np.int16
    assert tokens[:3].tolist() == [START, FIRST_DIFFICULTY + seed % 5, BAR]
    assert (tokens == BAR).sum() == bars + (more > 0)
    assert np.flatnonzero(tokens == END).tolist() == [len(tokens) - 1]
    notes, difficulty = decode(tokens, writer.card.shape.tokens)
    again = encode(notes, difficulty, writer.card.shape.tokens)
    assert again[:-1].tolist() == tokens[: len(again) - 1].tolist()  # but for empty bars behind
    assert set(tokens[len(again) - 1 : -1].tolist()) <= {BAR}


# --- what stands beside and before


def test_what_is_beside_a_map_and_other_generators_have_no_part_in_it():
    writer, features = quiet_writer(), made_features(6)
    requests = [Request(difficulty=n, density=2.0 + n, seed=40 + n) for n in range(3)]
    state, states = torch.get_rng_state(), random.getstate()
    together = write_song(writer, features, requests, strands=2)
    assert torch.equal(state, torch.get_rng_state())
    assert states == random.getstate()
    torch.rand(5)
    for request, tokens in zip(requests, together, strict=True):
        (alone,) = write_song(writer, features, [request], strands=2)
        assert alone.tolist() == tokens.tolist()
        assert (tokens >= FIRST_POS).sum() > 10
    (other,) = write_song(writer, features, [replace(requests[0], seed=1)], strands=2)
    assert other.tolist() != together[0].tolist()


def test_without_bars_in_view_strands_make_no_difference():
    writer = quiet_writer(cut=ChartWindowOptions(bars=2, context=0))
    request, features = Request(difficulty=2, seed=9), made_features(9)
    maps = [write_song(writer, features, [request], strands=s)[0].tolist() for s in (1, 2, 3, 50)]
    assert maps[0] == maps[1] == maps[2] == maps[3]


@pytest.mark.parametrize(("context", "strands"), [(0, 1), (1, 1), (1, 2), (3, 2)])
def test_windows_are_written_after_the_bars_before_them(context, strands):
    writer = quiet_writer(cut=ChartWindowOptions(bars=2, context=context))
    features, request = made_features(7), Request(difficulty=1, density=4.0, seed=3, leaning=0.5)
    (found,) = write_song(writer, features, [request], strands=strands)
    begins, bars = {1: (0,), 2: (0, 2)}[strands], []
    for number in range(4):
        first = max(begin for begin in begins if begin <= number)
        before = bars[max(2 * number - context, 2 * first) : 2 * number] if context else []
        before = [token for bar in before for token in bar]
        columns = window_columns(features, 128 * number, 128, writer.card.statistics.mean)[0]
        mel = normalised(torch.from_numpy(columns[None]), writer.card.statistics)
        heard = writer.network.listen(mel, wish_of([request], CPU), 0.5)
        head = torch.tensor([START, FIRST_DIFFICULTY + 1, *before])
        one = Sheet(head=head, bars=min(2, 7 - 2 * number), seed=(3, number))
        (tokens,) = write_windows(writer.network, heard, [one], request.manner)
        edges = [at for at, token in enumerate(tokens) if token == BAR]
        bars += [tokens[a:b].tolist() for a, b in pairwise([*edges, len(tokens)])]
    assert found[2:-1].tolist() == [token for bar in bars for token in bar]


def test_bars_in_view_change_what_is_written():
    found = [
        write_song(
            quiet_writer(cut=ChartWindowOptions(bars=1, context=context), odds=-2.0),
            made_features(4),
            [Request(difficulty=1, seed=1)],
        )[0]
        for context in (0, 1)
    ]
    first = np.flatnonzero(found[0] == BAR)[1]
    assert found[0][:first].tolist() == found[1][:first].tolist()
    assert found[0].tolist() != found[1].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_the_first_bar_begins_anew_after_any_bars(name):
    network = made_network(4, name, odds=6.0)  # so dense that the bar before would be gone on with
    pair = [NAMES[name].left + 40, NAMES[name].right]
    sheets = [sheet(0, 1, [BAR]), sheet(0, 1, [BAR, FIRST_POS, *pair])]
    manner = Manner(temperature=0.0, spacing=8)
    assert all(
        tokens[0] == BAR and tokens.count(BAR) == 1 for tokens in written(network, sheets, manner)
    )


# --- wishes


@pytest.mark.parametrize(("name", "odds"), [("extended", -3.5), ("291", -1.5)])
def test_slots_keep_their_distance_across_bars_and_windows(name, odds):
    slots = NAMES[name].bar_slots
    spacing = slots // 4 + 5  # so that slots of one bar decide on those of the next
    writer = quiet_writer(1, name, ChartWindowOptions(bars=1, context=1), odds=odds)
    manner = Manner(spacing=spacing)
    (tokens,) = write_song(writer, made_features(6), [Request(difficulty=0, manner=manner)])
    bar = np.cumsum(tokens == BAR) - 1
    is_pos = (tokens >= FIRST_POS) & (tokens < FIRST_POS + slots)
    place = (bar * slots + tokens - FIRST_POS)[is_pos]
    assert len(place) > 8
    assert np.diff(place).min() >= spacing
    (free,) = write_song(writer, made_features(6), [Request(difficulty=0)])
    assert ((free >= FIRST_POS) & (free < FIRST_POS + slots)).sum() > len(place)


def repeats(tokens, vocabulary):
    """Return the share of swings up or down that come where the hand is at that end already.

    It goes to and fro through swings of neither way.
    """
    notes, _ = decode(tokens, vocabulary)
    ways = [-1, 1, 0, 0, -1, -1, 1, 1, 0]
    again = swings = 0
    for hand in (0, 1):
        of_slot = {}
        rows = zip(notes.beat, notes.color, notes.direction, strict=True)
        for beat, _, direction in (row for row in rows if row[1] == hand):
            of_slot[beat] = ways[direction] or of_slot.get(beat, 0)
        last = 0
        for way in of_slot.values():
            again += way != 0 and way == last
            swings += way != 0 and last != 0
            last = way or -last
    return again / swings


def test_hands_that_are_to_swing_to_and_fro_do_so_more_often():
    writer = quiet_writer(3, cut=ChartWindowOptions(bars=16), odds=-2.0)
    features = made_features(16)
    shares = []
    for parity in (0.0, 2.0, 12.0):
        request = Request(difficulty=2, seed=1, manner=Manner(parity=parity))
        (tokens,) = write_song(writer, features, [request])
        shares.append(repeats(tokens, writer.card.shape.tokens))
    assert shares[0] > 0.25
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.02


def test_leaning_makes_a_map_denser():
    writer, features = quiet_writer(), made_features(6)
    counts = []
    for leaning in (-1.0, 0.0, 1.0):
        (tokens,) = write_song(writer, features, [Request(difficulty=2, leaning=leaning)])
        counts.append(len(decode(tokens, writer.card.shape.tokens)[0]))
    assert counts[0] < counts[1] < counts[2]


# --- examples


def test_windows_grow_beyond_the_room_that_was_made():
    network = made_network(0, "291", odds=4.0)
    manner = Manner()
    found = written(network, [sheet(0, 1), sheet(1, 1)], manner)
    assert min(map(len, found)) > 2 * 64 + 2


def test_progress_tells_of_every_window_of_every_map():
    told = []
    requests = [Request(difficulty=1), Request(difficulty=2)]
    write_song(quiet_writer(), made_features(5), requests, strands=2, show=told.append)
    assert [each.done for each in told] == [4, 6]
    assert {each.total for each in told} == {6}


def test_a_song_of_no_column_is_one_empty_looking_bar():
    (tokens,) = write_song(quiet_writer(), made_features(0), [Request(difficulty=0)])
    assert (tokens == BAR).sum() == 1
    assert tokens[-1] == END
