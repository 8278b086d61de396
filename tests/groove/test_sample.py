"""Samples: the same bytes everywhere, whole bars like those of the corpus, copies counted."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpora import HAT, KICK, SNARE, trained, tree, write_beat, write_drums

from workbench.errors import GrooveError
from workbench.groove.drums import CLASS_OF_PITCH, NO_CLASS
from workbench.groove.model import open_model
from workbench.groove.options import SampleOptions
from workbench.groove.sample import sample
from workbench.groove.score import score_files
from workbench.music.midi import read_midi

GOLDEN = Path(__file__).parents[1] / "golden"
STEP = 120  # ticks
CRASH, LOW_TOM = 49, 43


@pytest.fixture(scope="module")
def gmd_model(gmd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gmd") / "model"
    return trained(gmd / "train", folder, labels=gmd / "MANIFEST.csv").model


@pytest.fixture(scope="module")
def one_bar(tmp_path_factory):
    """A model that has seen one bar, over and over, and that bar."""
    folder = tmp_path_factory.mktemp("one")
    hits = [(step, HAT) for step in range(0, 16, 2)] + [(0, KICK), (4, SNARE), (10, KICK)]
    _repeated(folder / "in" / "one.mid", hits, bars=64)
    return trained(folder / "in", folder / "model").model, hits


def _repeated(path, hits, *, bars):
    """Write a bar of (step, pitch) hits, over and over."""
    notes = sorted((bar * 16 + step, pitch) for bar in range(bars) for step, pitch in hits)
    steps, pitches = np.array(notes).T
    return write_drums(path, steps * STEP, pitches, end_tick=bars * 16 * STEP)


def _sample(model, **options):
    return sample(model, SampleOptions(**options))


def _polyphony(found):
    """Return sounding steps, and those with two classes or more."""
    return np.array([(found.masks > 0).sum(), (found.masks & (found.masks - 1) > 0).sum()])


def _check(found, bars):
    """Hold one sample to what every sample is."""
    track = found.track
    tick, pitch, velocity = (np.asarray(c) for c in (track.tick, track.pitch, track.velocity))
    at = found.bar * found.bar_steps + found.step
    assert found.bars == bars and (at[:-1] <= at[1:]).all()
    assert ((found.bar >= 0) & (found.bar < bars)).all()
    assert ((velocity >= 1) & (velocity <= 127)).all() and (tick >= 0).all()
    grid = 480 // found.resolution
    assert (np.abs(tick - at * grid) <= grid / 2).all()
    masks = np.zeros_like(found.masks)
    drum = CLASS_OF_PITCH[pitch]
    np.bitwise_or.at(masks, at, np.where(drum < NO_CLASS, 1 << drum, 0))
    assert masks.tolist() == found.masks.tolist()
    assert len({*zip(at.tolist(), pitch.tolist(), strict=True)}) == len(at)
    assert 0 <= found.copies <= found.near_copies <= bars
    midi = read_midi(found.midi)
    assert sorted(midi.pitch.tolist()) == sorted(pitch.tolist())
    assert midi.is_drum.all()


@pytest.mark.parametrize("stream", ["steps", "events"])
@pytest.mark.parametrize("seeds", [10, pytest.param(100, marks=pytest.mark.soak)])
def test_many_seeds_give_whole_bars_as_full_as_the_corpus_s(plain, corpus, seeds, stream) -> None:
    sums = np.zeros(2)
    for seed in range(seeds):
        found = _sample(plain, bars=16, seed=seed, stream=stream)
        _check(found, 16)
        sums += _polyphony(found)
    expected = score_files(plain, corpus.folder).polyphony
    # of so few files, events know chords less well than steps, which are drawn as one
    assert sums[1] / sums[0] == pytest.approx(expected, abs=0.08 if stream == "steps" else 0.2)


@pytest.mark.gmd
@pytest.mark.parametrize("stream", ["steps", "events"])
@pytest.mark.parametrize("seeds", [10, pytest.param(100, marks=pytest.mark.soak)])
def test_gmd_s_bars_are_as_full_as_they_were(gmd_model, seeds, stream) -> None:
    sums, hits = np.zeros(2), 0
    for seed in range(seeds):
        found = _sample(gmd_model, bars=16, seed=seed, stream=stream)
        _check(found, 16)
        sums += _polyphony(found)
        hits += len(found.bar)
    assert sums[1] / sums[0] == pytest.approx(0.447, abs=0.08)
    assert hits / seeds / 16 == pytest.approx(18.5, abs=4)  # 19.5 notes, 18.1 of them distinct


@pytest.mark.parametrize("stream", ["steps", "events"])
@pytest.mark.parametrize("metre", ["4/4", "3/4", "6/8", "5/4", "7/8", "1/4", "1/16"])
def test_every_metre_gives_whole_bars(plain, metre, stream) -> None:
    for seed in range(3):
        _check(_sample(plain, bars=5, seed=seed, metre=metre, stream=stream), 5)


def test_the_same_seed_gives_the_same_bytes_in_another_process(plain, tmp_path) -> None:
    program = (
        "import sys, pathlib; from workbench.groove.model import open_model;"
        "from workbench.groove.options import SampleOptions;"
        "from workbench.groove.sample import sample;"
        "model = open_model(pathlib.Path(sys.argv[1]));"
        "options = [SampleOptions(seed=s, bars=8, stream=t, temperature=1.1, top_p=0.97)"
        " for t in ('events', 'steps') for s in (3, 4)];"
        "sys.stdout.write('\\n'.join(sample(model, o).midi.hex() for o in options))"
    )
    for hash_seed in ("0", "1", "77"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(plain.folder)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
        )
        here = [
            _sample(plain, seed=seed, bars=8, stream=stream, temperature=1.1, top_p=0.97)
            for stream in ("events", "steps")
            for seed in (3, 4)
        ]
        assert done.stdout.split() == [found.midi.hex() for found in here]
        assert len(set(done.stdout.split())) == 4


def test_what_was_sampled_before_changes_nothing(plain) -> None:
    fresh = open_model(plain.folder)
    first = _sample(fresh, seed=5, bars=8).midi
    for seed in range(10):
        _sample(fresh, seed=seed, bars=4, stream="events" if seed % 2 else "steps")
        _sample(fresh, seed=seed, bars=4, metre="6/8", top_k=3, style="funk")
    assert _sample(fresh, seed=5, bars=8).midi == first


def test_digests_are_those_of_the_machine_that_made_the_golden_file(tmp_path) -> None:
    script = runpy.run_path(str(GOLDEN / "groove_sample.py"))
    found = script["digests"](tmp_path)
    assert found == json.loads((GOLDEN / "groove_sample.json").read_text())
    assert len(set(found.values())) == len(found)


def test_copies_of_the_corpus_are_counted(one_bar) -> None:
    model, hits = one_bar
    found = _sample(model, bars=8, top_k=1)
    assert len(found.bar) == 8 * len(hits)
    assert (found.copies, found.near_copies) == (8, 8)


def test_bars_a_hit_away_are_near_copies_and_two_hits_away_are_none(one_bar, tmp_path) -> None:
    model, hits = one_bar
    for added, copies, near_copies in (([], 4, 4), ([3], 0, 4), ([3, 7], 0, 0)):
        name = tmp_path / f"prime{len(added)}.mid"
        prime = _repeated(name, hits + [(step, CRASH) for step in added], bars=1)
        every = "kick,snare,closed_hat,crash"
        found = _sample(model, prime=prime, lock=every, bars=4, top_k=1)
        assert len(found.bar) == 4 * (len(hits) + len(added))
        assert (found.copies, found.near_copies) == (copies, near_copies)
    prime = _repeated(tmp_path / "less.mid", hits[1:], bars=1)  # a hit less is a hit away
    found = _sample(model, prime=prime, lock="kick,snare,closed_hat", bars=4, top_k=1)
    assert (found.copies, found.near_copies) == (0, 4)


def test_events_as_plain_values_are_the_notes_of_the_file(plain) -> None:
    found = _sample(plain, bars=4, metre="6/8", bpm=77.0)
    rows = json.loads(json.dumps(found.events()))
    midi = read_midi(found.midi)
    told = sorted((row["tick"], row["pitch"], row["velocity"]) for row in rows)
    columns = (midi.tick, midi.pitch, midi.velocity)
    assert told == list(zip(*(column.tolist() for column in columns), strict=True))
    seconds = {row["tick"]: row["seconds"] for row in rows}
    at = np.array(sorted(seconds))
    expected = midi.tempos.seconds_at(at)
    assert [seconds[tick] for tick in at] == pytest.approx(expected, abs=1e-3)  # whole µs a beat
    names = ("kick", "snare", "closed_hat", "open_hat", "low_tom", "mid_tom", "high_tom", "crash")
    for row in rows:
        drum = int(CLASS_OF_PITCH[row["pitch"]])
        assert row["class"] == (*names, "ride", "other")[drum]
        assert row["step"] < 12 and row["bar"] < 4


def test_sampling_writes_nothing_into_the_model(plain) -> None:
    before = tree(plain.folder)
    _sample(plain, bars=2)
    _sample(plain, bars=2, stream="events")
    assert tree(plain.folder) == before


def test_events_leap_over_half_a_bar_as_rarely_as_the_corpus_s(plain) -> None:
    """Smoothing gives every leap some probability, which drawing does not follow."""
    gaps = []
    for seed in range(20):
        found = _sample(plain, bars=16, seed=seed, stream="events")
        gaps.append(np.diff(found.bar * found.bar_steps + found.step))
    leaps = np.concatenate(gaps) > 8
    assert leaps.mean() < 0.01


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_events_of_any_order_can_be_drawn(corpus, tmp_path, n) -> None:
    model = trained(corpus.folder, tmp_path / "model", n=n).model
    for seed in range(3):
        found = _sample(model, bars=4, seed=seed, stream="events")
        _check(found, 4)
        assert len(found.bar) > 4


def test_coarse_events_stand_on_beats_over_the_whole_bar(corpus, tmp_path) -> None:
    model = trained(corpus.folder, tmp_path / "model", coarse=True).model
    steps = set()
    for seed in range(10):
        found = _sample(model, bars=4, seed=seed, stream="events")
        _check(found, 4)
        steps |= set(found.step.tolist())
    assert steps == {0, 4, 8, 12}


def test_coarse_events_go_on_from_a_prime(tmp_path) -> None:
    hits = [(0, KICK), (4, SNARE), (8, LOW_TOM), (12, CRASH)]
    _repeated(tmp_path / "in" / "one.mid", hits, bars=32)
    model = trained(tmp_path / "in", tmp_path / "model", coarse=True).model
    prime = _repeated(tmp_path / "prime.mid", hits, bars=1)
    found = _sample(model, bars=4, stream="events", prime=prime, top_k=1)
    assert list(zip(found.step.tolist(), found.track.pitch, strict=True)) == 4 * hits


def test_sorted_events_do_not_mind_the_order_within_a_step_of_the_prime(tmp_path) -> None:
    for seed in range(4):
        write_beat(tmp_path / "in" / f"{seed}.mid", bars=8, seed=seed)
    for order, are_equal in (("sorted", True), ("played", False)):
        model = trained(tmp_path / "in", tmp_path / order, onset_order=order).model
        found = []
        for late in (HAT, KICK):
            hits = [(beat * 480 + 3 * (p == late), p) for beat in range(4) for p in (HAT, KICK)]
            ticks, pitches = np.array(sorted(hits)).T
            prime = write_drums(tmp_path / f"{late}.mid", ticks, pitches, end_tick=1920)
            found += [
                tuple(_sample(model, seed=seed, stream="events", prime=prime, bars=8).masks)
                for seed in range(3)
            ]
        assert (found[:3] == found[3:]) == are_equal


def test_no_more_than_eight_events_sound_at_once(tmp_path) -> None:
    chords = np.repeat(np.arange(64) * 2 * STEP, 12)
    write_drums(tmp_path / "in" / "one.mid", chords, np.tile(np.arange(40, 52), 64))
    model = trained(tmp_path / "in", tmp_path / "model").model
    found = _sample(model, bars=8, stream="events", choke=False)
    _check(found, 8)
    assert np.bincount(found.bar * 16 + found.step).max() == 8


def test_a_model_of_pitched_notes_is_sampled_as_events_of_another_channel(tmp_path) -> None:
    for seed in range(3):
        write_beat(tmp_path / "in" / f"{seed}.mid", bars=8, seed=seed, channel=1)
    model = trained(tmp_path / "in", tmp_path / "model", part="pitched").model
    found = _sample(model, bars=4, stream="events")
    midi = read_midi(found.midi)
    assert len(midi.pitch) > 8
    assert not midi.is_drum.any()
    assert (found.masks.any(), found.copies, found.near_copies) == (False, 0, 0)
    with pytest.raises(GrooveError, match=r"no stream 'steps'.*--part pitched"):
        _sample(model)


def test_a_lock_that_the_corpus_never_plays_sounds_alone(one_bar, tmp_path) -> None:
    model, _ = one_bar
    prime = _repeated(tmp_path / "prime.mid", [(5, CRASH), (5, LOW_TOM)], bars=1)
    found = _sample(model, prime=prime, lock="crash,low_tom", bars=4, temperature=0.1)
    alone = 1 << int(CLASS_OF_PITCH[CRASH]) | 1 << int(CLASS_OF_PITCH[LOW_TOM])
    assert found.masks[5::16].tolist() == [alone] * 4


def test_a_corpus_of_both_hats_at_once_can_be_sampled(tmp_path) -> None:
    _repeated(tmp_path / "in" / "one.mid", [(s, p) for s in range(16) for p in (HAT, 46)], bars=8)
    model = trained(tmp_path / "in", tmp_path / "model").model
    assert not _sample(model, bars=2, top_k=1).masks.any()  # the choke rule leaves nothing
    assert _sample(model, bars=2, top_k=1, choke=False).masks.all()
