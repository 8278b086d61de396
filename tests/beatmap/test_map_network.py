"""The network that writes maps: what each logit may depend on, and what adds up."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import (
    KINDS,
    NAMES,
    heard_of,
    made_mel,
    made_network,
    made_wish,
    padded,
    shape_of,
    walk,
)

from workbench.beatmap.writer import network as of_network
from workbench.beatmap.writer.grammar import allowed
from workbench.beatmap.writer.losses import costs_of, lesson_of
from workbench.beatmap.writer.network import KeyValues, MapNetwork, Places, places_of
from workbench.beatmap.writer.tokens import (
    BAR,
    EXTENDED,
    FIRST_POS,
    START,
    VOCABULARY_291,
)
from workbench.errors import BeatmapError

NEAR = {"atol": 2e-5, "rtol": 1e-4}
BARS = 2
seeds = st.integers(0, 1000)
kinds = st.sampled_from(KINDS)


def written(seed, name, rows=3, context=1):
    """Return random windows with bars before them, and where their own begin."""
    charts = [walk(seed + row, NAMES[name], BARS + context, slots=5) for row in range(rows)]
    tokens, _ = padded(charts)
    return tokens, torch.tensor([own_begin(chart, context) for chart in charts])


def own_begin(chart, context):
    return [at for at, token in enumerate(chart) if token == BAR][context]


def logits_of(network, heard, tokens, own):
    return network(heard, tokens, places_of(tokens, own, network.shape))


# --- laws


@settings(max_examples=8)
@given(seed=seeds, kind=kinds, share=st.floats(0, 1))
def test_what_comes_later_changes_no_earlier_logit(seed, kind, share):
    network = made_network(seed, *kind)
    heard = heard_of(network, 3, BARS, seed)
    tokens, own = written(seed, kind[0])
    until = max(int(share * tokens.shape[1]), int(own.max())) + 1
    other = tokens.clone()
    other[:, until:] = torch.randint(
        BAR, network.shape.tokens.size, other[:, until:].shape, generator=torch.Generator()
    )
    assert until == tokens.shape[1] or not torch.equal(other, tokens)
    before, after = (logits_of(network, heard, each, own) for each in (tokens, other))
    torch.testing.assert_close(before[:, :until], after[:, :until], **NEAR)


@settings(max_examples=8)
@given(seed=seeds, kind=kinds)
def test_a_window_does_not_depend_on_what_is_beside_it(seed, kind):
    network = made_network(seed, *kind, styles=2)
    tokens, own = written(seed, kind[0], rows=4)
    mel, wish = made_mel(network, 4, BARS, seed), made_wish(4, 2)
    together = logits_of(network, network.listen(mel, wish), tokens, own)
    for row in range(4):
        one = slice(row, row + 1)
        heard = network.listen(mel[one], type(wish)(*(each[one] for each in wish)))
        alone = logits_of(network, heard, tokens[one], own[one])
        torch.testing.assert_close(together[one], alone, **NEAR)


@settings(max_examples=8)
@given(seed=seeds, kind=kinds, leaning=st.floats(-4, 4))
def test_the_chances_of_when_the_next_slot_comes_add_up(seed, kind, leaning):
    network = made_network(seed, *kind)
    network.out.weight.zero_()
    network.out.bias.zero_()
    tokens, own = written(seed, kind[0])
    places = places_of(tokens, own, network.shape)
    logits = network(heard_of(network, 3, BARS, seed, leaning), tokens, places)
    slots = network.shape.tokens.bar_slots
    later = torch.arange(slots) > places.slot[..., None]
    of_slots = logits[..., FIRST_POS : FIRST_POS + slots].double().exp() * later
    total = of_slots.sum(-1) + logits[..., BAR].double().exp()
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-4, rtol=0)


@settings(max_examples=8)
@given(seed=seeds, kind=kinds, parts=st.lists(st.integers(1, 9), min_size=40, max_size=40))
def test_tokens_read_in_parts_give_the_logits_of_the_whole(seed, kind, parts):
    network = made_network(seed, *kind)
    heard = heard_of(network, 3, BARS, seed)
    tokens, own = written(seed, kind[0])
    places = places_of(tokens, own, network.shape)
    cache = KeyValues(network.shape, 3, 4, heard.memory)
    found = []
    for size in [*parts, tokens.shape[1]]:
        part = slice(cache.length, cache.length + size)
        if cache.length >= tokens.shape[1]:
            break
        cache.make_room(cache.length + size)
        here = Places(places.bar[:, part], places.slot[:, part])
        found.append(network(heard, tokens[:, part], here, cache))
    torch.testing.assert_close(torch.cat(found, dim=1), network(heard, tokens, places), **NEAR)


@settings(max_examples=15)
@given(seed=seeds, name=st.sampled_from(list(NAMES)), context=st.integers(0, 2))
def test_places_are_those_of_a_loop_over_tokens(seed, name, context):
    tokens, own = written(seed, name, context=context)
    found = places_of(tokens, own, shape_of(name))
    for row, begin in zip(range(len(tokens)), own.tolist(), strict=True):
        bar, slot = -1 - context, -1
        for at, token in enumerate(tokens[row].tolist()):
            if token == BAR:
                bar, slot = bar + 1, -1
            elif FIRST_POS <= token < FIRST_POS + NAMES[name].bar_slots:
                slot = token - FIRST_POS
            assert (found.bar[row, at], found.slot[row, at]) == (bar, slot)
        assert found.bar[row, begin] == 0


# --- examples


def test_bars_before_a_window_are_counted_below_nought():
    note = EXTENDED.left + 4
    tokens = torch.tensor(
        [[START, 5, BAR, FIRST_POS + 190, note, BAR, BAR, FIRST_POS + 3, note, note + 1, BAR]]
    )
    places = places_of(tokens, torch.tensor([6]), shape_of())
    assert places.bar.tolist() == [[-3, -3, -2, -2, -2, -1, 0, 0, 0, 0, 1]]
    assert places.slot.tolist() == [[-1, -1, -1, 190, 190, -1, -1, 3, 3, 3, -1]]


def test_slots_of_the_small_vocabulary_end_where_its_hands_begin():
    tokens = torch.tensor([[START, 3, BAR, FIRST_POS + 63, VOCABULARY_291.empty_left, 200]])
    places = places_of(tokens, torch.tensor([2]), shape_of("291"))
    assert places.slot.tolist() == [[-1, -1, -1, 63, 63, 63]]


def test_a_token_is_given_the_sound_of_its_own_column_and_none_before_the_window():
    network = made_network(1)
    for layer in network.decoder:
        layer.sound.attended.weight.zero_()
    heard = heard_of(network, 1, 1)
    louder = heard._replace(memory=heard.memory + torch.randn_like(heard.memory))
    tokens = torch.tensor([[START, 3, BAR, FIRST_POS + 191, EXTENDED.left, BAR, FIRST_POS]])
    before, after = (
        logits_of(network, each, tokens, torch.tensor([5])) for each in (heard, louder)
    )
    is_same = (before == after).all(-1)[0].tolist()
    assert is_same == [True, True, True, True, True, False, False]


def test_leaning_makes_slots_likelier():
    network = made_network(2)
    quiet = [heard_of(network, 2, 1, leaning=lean).quiet[:, -1] for lean in (-2.0, 0.0, 2.0)]
    assert (quiet[0] > quiet[1]).all()
    assert (quiet[1] > quiet[2]).all()


def test_what_is_asked_for_is_heard():
    network = made_network(3, styles=1)
    mel = made_mel(network, 1, 1).expand(4, -1, -1)
    wish = made_wish(4)._replace(
        difficulty=torch.tensor([0, 1, 0, 0]),
        density=torch.tensor([2.0, 2.0, 4.0, 2.0]),
        style=torch.tensor([0, 0, 0, 1]),
    )
    memory = network.listen(mel, wish).memory
    assert all((memory[0] - memory[row]).abs().max() > 0.01 for row in (1, 2, 3))


@pytest.mark.parametrize(("name", "kernel"), KINDS)
def test_a_network_learns_after_it_has_written(name, kernel):
    torch.manual_seed(0)
    network = MapNetwork(shape_of(name, kernel), dropout=0.1)
    tokens, own = written(0, name)
    with torch.inference_mode():
        logits_of(network, heard_of(network, 3, BARS), tokens, own)
        allowed(tokens[:, 0], tokens[:, 0], NAMES[name])
    lesson = lesson_of(tokens, torch.full((3,), tokens.shape[1]), own, network.shape)
    costs = costs_of(network(heard_of(network, 3, BARS), tokens, lesson.places), lesson)
    (costs.nats.sum() + costs.spread.sum()).backward()
    gradients = {key: value.grad for key, value in network.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    assert all(g.abs().max() > 0 for key, g in gradients.items() if key != "style.weight")


def test_a_network_of_64_bits_leaves_none_of_its_numbers_to_one_of_32():
    tokens, own = written(5, "extended")
    network = made_network(5, width=24)  # no other test has heads as wide
    torch.set_default_dtype(torch.float64)
    try:
        wide = made_network(5, width=24)
        logits_of(wide, heard_of(wide, 3, BARS, 5), tokens, own)
    finally:
        torch.set_default_dtype(torch.float32)
    after = logits_of(network, heard_of(network, 3, BARS, 5), tokens, own)
    for kept in (of_network._speeds, of_network._token_speeds):
        kept.cache_clear()
    alone = logits_of(network, heard_of(network, 3, BARS, 5), tokens, own)
    assert torch.equal(after, alone)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"vocabulary": "292"}, "'292' is none of those known"),
        ({"width": 20}, "no multiple of four times 2 heads"),
        ({"heads": 0}, "at least 1"),
        ({"kernel": 4}, "kernel 4 is even"),
        ({"columns_a_beat": 7}, "not divided by 7 columns"),
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(changes, told):
    with pytest.raises(BeatmapError, match=told):
        shape_of(**changes)
