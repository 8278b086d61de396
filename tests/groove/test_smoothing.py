"""Smoothing: against interpolated Kneser-Ney of plain dicts, on contexts known and unknown."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from corpora import files_of, trained, write_beat
from hypothesis import given, settings
from hypothesis import strategies as st
from performances import columns_and_streams, grids_of

from workbench.groove.labels import read_labels
from workbench.groove.model import open_model
from workbench.groove.smoothing import discounts_of, taken

SMOOTHINGS = ("modified_kneser_ney", "concentration")
STREAMS = ("events", "steps", "pitch", "velocity", "timing")
KINDS = ("style", "drummer", "section")


@pytest.fixture(scope="module")
def data(corpus, plain):
    """What the models below are trained on: columns, and the streams."""
    skipped = {entry["file"] for entry in plain.skipped()}
    files = files_of(corpus.folder)
    names = [name for at in range(len(files)) if (name := files.name(at)) not in skipped]
    grids = grids_of([corpus.folder / name for name in names])
    assert len(grids) == len(names) == plain.description["kept"]
    return columns_and_streams(grids, read_labels(corpus.folder / "labels.csv").numbers(names))


@pytest.fixture(scope="module")
def models(corpus, tmp_path_factory):
    """A model by smoothing and by the least count."""
    folder = tmp_path_factory.mktemp("smoothed")
    return {
        (smoothing, least): trained(
            corpus.folder,
            folder / f"{smoothing}{least}",
            labels=corpus.folder / "labels.csv",
            smoothing=smoothing,
            min_count=least,
        ).model
        for smoothing in SMOOTHINGS
        for least in (1, 3)
    }


@dataclass
class Naive:
    """Interpolated modified Kneser-Ney as the papers write it, with dicts and recursion.

    `rows` are full contexts with their targets, one an occurrence; `is_symbol` says whether lower
    levels count distinct contexts instead of occurrences.
    """

    rows: list
    targets: int
    is_symbol: bool
    concentrations: list
    least: int = 1

    @cached_property
    def depth(self):
        return len(self.rows[0][0])

    @cached_property
    def levels(self):
        """By level, by context, how often each target counts."""
        found = [defaultdict(Counter) for _ in range(self.depth + 1)]
        for context, target in self.rows:
            found[self.depth][context][target] += 1
        for level in range(self.depth - 1, -1, -1):
            for context, counts in found[level + 1].items():
                for target, count in counts.items():
                    found[level][context[:-1]][target] += 1 if self.is_symbol else count
        return found

    @cached_property
    def discounts(self):
        """By level, what counts of 1, 2 and 3 give away."""
        if not self.is_symbol:
            return [(0.0, 0.0, 0.0)] * (self.depth + 1)
        found = []
        for level in self.levels:
            n = Counter(count for counts in level.values() for count in counts.values())
            if not (n[1] and n[2] and n[3] and n[4]):
                found.append((0.5, 1.0, 1.5))
                continue
            y = n[1] / (n[1] + 2 * n[2])
            raw = [count - (count + 1) * y * n[count + 1] / n[count] for count in (1, 2, 3)]
            found.append([min(max(d, 0.1 * c), 0.95 * c) for c, d in enumerate(raw, 1)])
        return found

    def probability(self, target, context):
        """Return p(target | context) of the level that the context has the length of."""
        below = self.probability(target, context[:-1]) if context else 1 / self.targets
        level = len(context)
        counts = {
            other: count
            for other, count in self.levels[level].get(context, {}).items()
            if count >= self.least or level == 0
        }
        if not counts:
            return below
        given_away = {
            other: self.discounts[level][min(count, 3) - 1] for other, count in counts.items()
        }
        strength = self.concentrations[level]
        own = counts.get(target, 0) - given_away.get(target, 0)
        return (own + (strength + sum(given_away.values())) * below) / (
            sum(counts.values()) + strength
        )


def _naive(data, model, name, least):
    columns, _ = data
    stream = model.stream(name).stream
    values = columns.of(stream)
    contexts = zip(*(values[field].tolist() for field, _ in stream.fields), strict=True)
    return Naive(
        rows=list(zip(contexts, values["target"].tolist(), strict=True)),
        targets=stream.targets,
        is_symbol=stream.backoff == "continuation",
        concentrations=[level.concentration for level in model.stream(name).levels.values()],
        least=least,
    )


def _contexts(data, model, name, number, seed):
    """Return contexts of all lengths: of the corpus, with one field changed, and of nowhere."""
    columns, _ = data
    generator = np.random.default_rng(seed)
    stream = model.stream(name).stream
    values = columns.of(stream)
    table = np.stack([values[field] for field, _ in stream.fields], axis=1)
    found = []
    for kind in range(number):
        row = table[generator.integers(len(table))].copy()
        if kind % 3 == 1:
            field = generator.integers(stream.depth)
            row[field] = generator.integers(1 << stream.fields[field][1])
        if kind % 3 == 2:
            row = np.array([generator.integers(1 << bits) for _, bits in stream.fields])
        found.append(tuple(row.tolist())[: generator.integers(stream.depth + 1)])
    return found


@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("name", STREAMS)
def test_probabilities_sum_to_one_in_any_context(data, models, name, smoothing, least) -> None:
    model = models[smoothing, least].stream(name)
    for context in _contexts(data, models[smoothing, least], name, 1000, 1):
        found = model.distribution(context)
        unseen = model.stream.targets - len(found.seen)
        assert found.seen.sum() + unseen * found.unseen == pytest.approx(1, abs=1e-9)
        assert found.seen.min() > 0
        assert found.unseen >= 0


@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("name", STREAMS)
def test_they_are_those_of_plain_kneser_ney(data, models, name, smoothing, least) -> None:
    model = models[smoothing, least]
    naive = _naive(data, model, name, least)
    stream = model.stream(name)
    for level, found in zip(naive.discounts, stream.levels.values(), strict=True):
        assert found.discounts == pytest.approx(level, abs=1e-12)
    for context in _contexts(data, model, name, 15 if name == "events" else 60, 2):
        found = stream.distribution(context)
        expected = [naive.probability(target, context) for target in stream.target_list]
        assert found.seen == pytest.approx(expected, abs=1e-12)
        if len(found.seen) < stream.stream.targets:
            missing = next(t for t in range(10**6) if t not in stream.index_of_target)
            assert found.unseen == pytest.approx(naive.probability(missing, context), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_corrects_what_the_steps_say(data, models, kind) -> None:
    columns, _ = data
    model = models["concentration", 1]
    steps, label = model.stream("steps"), model.stream(f"steps.{kind}")
    values = columns.of(label.stream)
    fields = [field for field, _ in label.stream.fields]
    occurrences = defaultdict(Counter)
    contexts = list(zip(*(values[field].tolist() for field in fields), strict=True))
    for context, target in zip(contexts, values["target"].tolist(), strict=True):
        occurrences[context][target] += 1
    strength = label.levels[label.stream.depth].concentration
    seen = steps.distribution(()).seen
    known = contexts[:: len(contexts) // 50]
    for context in [*known, (0,) * len(fields), (511, 30, 30, 7, 7)]:
        for weight in (1.0, 25.0):
            counts, of = occurrences[context], strength / weight
            found = label.corrected(seen, steps.targets, context, weight)
            expected = [
                (counts[target] + of * below) / (sum(counts.values()) + of)
                for target, below in zip(steps.target_list, seen, strict=True)
            ]
            assert found == pytest.approx(expected, abs=1e-12)
            unseen = (1 - seen.sum()) * of / (sum(counts.values()) + of)
            assert found.sum() + unseen == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_kneser_ney_proper_has_no_concentration(models, smoothing) -> None:
    strengths = [
        level.concentration
        for name in ("events", "steps", "pitch")
        for level in models[smoothing, 1].stream(name).levels.values()
    ]
    assert all(strength > 0 for strength in strengths) == (smoothing == "concentration")
    assert any(strength > 0 for strength in strengths) == (smoothing == "concentration")


def test_rare_n_grams_are_left_out_and_the_rest_keeps_its_counts(models) -> None:
    for name in STREAMS:
        whole, pruned = (models["concentration", least].stream(name) for least in (1, 3))
        for number, level in whole.levels.items():
            kept = np.asarray(level.counts >= 3) if number else np.ones(len(level.keys), bool)
            assert pruned.levels[number].keys.tolist() == level.keys[kept].tolist()
            assert pruned.levels[number].counts.tolist() == level.counts[kept].tolist()
            assert pruned.levels[number].discounts == level.discounts
    assert len(pruned.levels[2].keys) < len(whole.levels[2].keys)


def test_a_discount_follows_the_counts_of_counts() -> None:
    # Chen and Goodman (1999): Y = n1 / (n1 + 2 n2), D1 = 1 - 2 Y n2 / n1, and so on
    y = 100 / (100 + 2 * 40)
    expected = (1 - 2 * y * 40 / 100, 2 - 3 * y * 20 / 40, 3 - 4 * y * 12 / 20)
    assert discounts_of([100, 40, 20, 12]) == pytest.approx(expected, abs=1e-15)


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=4))
@settings(deadline=None)
def test_a_discount_is_less_than_its_count_and_more_than_nothing(counts) -> None:
    found = discounts_of(counts)
    for count, discount in enumerate(found, 1):
        assert 0 < discount < count
    if min(counts) == 0:
        assert found == (0.5, 1.0, 1.5)


@given(st.lists(st.integers(0, 10**9), max_size=20))
@settings(deadline=None)
def test_counts_of_three_and_more_give_alike(counts) -> None:
    given_away = taken(np.array(counts, np.uint64), (0.25, 0.75, 1.25))
    assert given_away.tolist() == [(0, 0.25, 0.75, 1.25)[min(count, 3)] for count in counts]


def test_smoothing_changes_the_numbers_of_a_model_and_not_its_counts(tmp_path) -> None:
    for seed in range(4):
        write_beat(tmp_path / "in" / f"{seed}.mid", bars=4, seed=seed)
    assert len(files_of(tmp_path / "in")) == 4
    for smoothing in SMOOTHINGS:
        trained(tmp_path / "in", tmp_path / smoothing, smoothing=smoothing)
    arrays = [sorted((tmp_path / s).glob("*.npy")) for s in SMOOTHINGS]
    assert [a.read_bytes() for a in arrays[0]] == [a.read_bytes() for a in arrays[1]]
    told = [json.loads((tmp_path / s / "model.json").read_text()) for s in SMOOTHINGS]
    assert told[0]["streams"] != told[1]["streams"]
    found = [open_model(tmp_path / s).stream("steps").distribution(()).seen for s in SMOOTHINGS]
    assert np.abs(found[0] - found[1]).max() > 1e-6
