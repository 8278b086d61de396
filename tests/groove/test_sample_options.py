"""Every option of sampling has an effect: a test each, which fails when the option is ignored."""

import dataclasses
from collections import Counter

import mido
import numpy as np
import pytest
from corpora import HAT, KICK, SNARE, files_of, trained, write_drums

from workbench.errors import GrooveError, OptionsError
from workbench.groove.drums import CLASS_OF_PITCH, CLASSES, CLOSED_HAT, OPEN_HAT
from workbench.groove.options import SampleOptions
from workbench.groove.sample import sample
from workbench.music.midi import read_midi, read_midi_file

STEP = 120  # ticks
OPEN, RIDE, CRASH, TOM = 46, 51, 49, 45
SEEDS = range(6)
TESTED = set()


def tells(*names):
    """Mark a test as the one that fails when these options are ignored."""
    TESTED.update(names)
    return lambda test: test


def _sample(model, **options):
    return sample(model, SampleOptions(**options))


def _pattern(path, hits, *, bars=8, metre=(4, 4), bar_steps=16, velocity=90, late=0):
    """Write a bar of (step, pitch) hits, over and over."""
    ticks = [(bar * bar_steps + step) * STEP + late for bar in range(bars) for step, _ in hits]
    pitches = [pitch for _ in range(bars) for _, pitch in hits]
    order = np.lexsort((pitches, ticks))
    return write_drums(
        path,
        np.array(ticks)[order],
        np.array(pitches)[order],
        velocity=velocity,
        metres=((0, *metre),),
        end_tick=bars * bar_steps * STEP,
    )


def _drums(found, drum):
    """Return at which steps a class sounds."""
    return np.flatnonzero(found.masks >> CLASSES.index(drum) & 1).tolist()


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """A model of 30 different patterns, with open and closed hats, dynamics and timing."""
    folder = tmp_path_factory.mktemp("lively")
    generator = np.random.default_rng(9)
    for number in range(30):
        size = 32
        steps = generator.integers(0, 64, size)
        pitches = generator.choice([KICK, SNARE, HAT, OPEN, RIDE], size)
        at = sorted({(int(s), int(p)) for s, p in zip(steps, pitches, strict=True)})
        ticks = np.array([s * STEP + int(generator.integers(0, 50)) for s, _ in at])
        order = np.argsort(ticks, kind="stable")
        write_drums(
            folder / "in" / f"{number}.mid",
            ticks[order],
            np.array([p for _, p in at])[order],
            velocity=generator.integers(20, 127, len(at)),
        )
    return trained(folder / "in", folder / "model").model


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A model of two ways to play, that a label of each kind tells apart."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = ["file,style,drummer,section"]
    for number in range(48):  # six of each, so that each way is well known
        ways = [number & 1, number >> 1 & 1, number >> 2 & 1]
        hits = [(step, RIDE if ways[0] else HAT) for step in range(0, 16, 2)]
        hits += [(step + (1 if ways[1] else 0), KICK) for step in (0, 8)]
        hits += [(step, CRASH if ways[2] else SNARE) for step in (4, 12)]
        _pattern(folder / "in" / f"{number}.mid", sorted(hits), bars=8)
        rows.append(f"{number}.mid,style{ways[0]},drummer{ways[1]},section{ways[2]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    labels = folder / "labels.csv"
    return trained(folder / "in", folder / "model", labels=labels, dedup=False).model


@pytest.fixture(scope="module")
def primes(tmp_path_factory):
    """Two bars to continue, by what is in them."""
    folder = tmp_path_factory.mktemp("primes")
    return {
        "odd": _pattern(folder / "odd.mid", [(3, KICK), (7, SNARE), (11, KICK)], bars=2),
        "ride": _pattern(folder / "ride.mid", [(s, RIDE) for s in range(0, 16, 2)], bars=2),
        "waltz": _pattern(
            folder / "waltz.mid", [(0, KICK), (4, SNARE)], metre=(3, 4), bar_steps=12
        ),
    }


def test_every_option_is_told_by_a_test() -> None:
    assert {field.name for field in dataclasses.fields(SampleOptions)} == TESTED


@tells("bars")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_bars_are_as_many_as_asked(lively, stream) -> None:
    for bars in (1, 3, 16):
        found = _sample(lively, bars=bars, stream=stream)
        assert found.bars == bars
        assert len(found.masks) == 16 * bars
        assert found.bar.max() == bars - 1 or bars < 16
        assert found.track.end_tick == 1920 * bars


@tells("bpm")
def test_bpm_is_the_tempo_of_the_file_and_of_the_seconds(lively) -> None:
    slow, fast = _sample(lively, bpm=60.0), _sample(lively, bpm=180.0)
    assert read_midi(slow.midi).tempos.tempo.tolist() == [1_000_000]
    assert read_midi(fast.midi).tempos.tempo.tolist() == [333_333]
    assert slow.onset_seconds == pytest.approx(3 * fast.onset_seconds)
    assert slow.track.tick.tolist() == fast.track.tick.tolist()
    seconds = [event["seconds"] for event in slow.events()]
    assert seconds == pytest.approx(slow.onset_seconds, abs=1e-6)


@tells("metre")
@pytest.mark.parametrize("stream", ["steps", "events"])
@pytest.mark.parametrize(
    ("metre", "steps"), [("4/4", 16), ("3/4", 12), ("6/8", 12), ("5/4", 20), ("7/8", 14)]
)
def test_a_metre_has_bars_of_its_length(plain, metre, steps, stream) -> None:
    found = _sample(plain, metre=metre, bars=4, stream=stream)
    assert (found.bar_steps, len(found.masks), found.bars) == (steps, 4 * steps, 4)
    assert found.step.max() < steps
    metres = read_midi(found.midi).metres
    assert (metres.numerator[0], metres.denominator[0]) == tuple(map(int, metre.split("/")))
    assert found.track.end_tick == 4 * steps * STEP


@tells("metre")
def test_each_metre_is_played_as_the_corpus_plays_it(tmp_path) -> None:
    played = {
        "4/4": ((4, 4), 16, [(0, KICK), (8, SNARE)]),
        "3/4": ((3, 4), 12, [(0, KICK), (4, TOM)]),
        "6/8": ((6, 8), 12, [(0, KICK), (6, CRASH)]),
        "5/4": ((5, 4), 20, [(0, KICK), (12, RIDE)]),
    }
    for name, (metre, steps, hits) in played.items():
        path = tmp_path / "in" / f"{name.replace('/', '-')}.mid"
        _pattern(path, hits, metre=metre, bar_steps=steps)
    model = trained(tmp_path / "in", tmp_path / "model").model
    own = {"4/4": "snare", "3/4": "mid_tom", "6/8": "crash", "5/4": "ride"}
    shares: dict[str, dict[str, float]] = {drum: {} for drum in own.values()}
    for name in played:
        found = [_sample(model, metre=name, bars=8, seed=seed) for seed in SEEDS]
        heard = {drum: sum(len(_drums(one, drum)) for one in found) for drum in shares}
        for drum, hits in heard.items():
            shares[drum][name] = hits / sum(heard.values())
    for name, drum in own.items():
        assert max(shares[drum], key=shares[drum].get) == name


@tells("metre")
def test_a_metre_that_the_grid_cannot_hold_is_refused(lively) -> None:
    with pytest.raises(GrooveError, match=r"metre 1/32: a bar is 0\.5 steps"):
        _sample(lively, metre="1/32")
    with pytest.raises(GrooveError, match=r"metre 32/1: a bar is 512 steps"):
        _sample(lively, metre="32/1")
    for metre in ("4", "4/", "4/5", "0/4", "-3/4", "four/4"):
        with pytest.raises(OptionsError, match="metre"):
            SampleOptions(metre=metre)


@tells("stream")
def test_steps_and_events_are_two_ways_to_draw(lively) -> None:
    steps, events = (_sample(lively, stream=stream, bars=16) for stream in ("steps", "events"))
    assert steps.midi != events.midi
    # steps draw classes and choose pitches after; events know the note before: no two alike
    assert steps.masks.tolist() != events.masks.tolist()


@tells("stream")
def test_steps_need_none_of_the_events_and_the_other_way_round(tmp_path, lively) -> None:
    for stream, other in (("steps", "events"), ("events", "steps")):
        folder = tmp_path / stream
        folder.mkdir()
        for file in lively.folder.iterdir():
            if not file.name.startswith(f"{other}."):
                (folder / file.name).write_bytes(file.read_bytes())
        model = type(lively)(folder, lively.description)
        assert _sample(model, stream=stream).midi == _sample(lively, stream=stream).midi


@tells("temperature")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_the_hotter_the_more_different_the_bars(plain, stream) -> None:
    def kinds(temperature):
        found = [
            _sample(plain, bars=8, seed=seed, temperature=temperature, stream=stream).masks
            for seed in SEEDS
        ]
        return len({tuple(bar) for masks in found for bar in masks.reshape(-1, 16).tolist()})

    cold, usual, hot = kinds(0.2), kinds(1.0), kinds(4.0)
    assert cold < usual <= hot
    assert hot > 1.3 * cold


@tells("temperature_end")
def test_the_temperature_goes_in_a_straight_line_to_its_end(plain) -> None:
    def kinds(**options):
        """Return how many different masks the first and the last bars have, on the mean."""
        found = []
        for seed in SEEDS:
            masks = _sample(plain, bars=16, seed=seed, adapt=False, **options).masks
            found.append([len(set(part.tolist())) for part in np.split(masks, 4)])
        return np.mean(found, axis=0)

    rising = kinds(temperature=0.1, temperature_end=5.0)
    falling = kinds(temperature=5.0, temperature_end=0.1)
    assert rising[0] < rising[1] and rising[3] > 1.25 * rising[0]
    assert falling[3] < falling[2] and falling[0] > 1.25 * falling[3]


@tells("temperature_end")
def test_the_same_temperature_at_the_end_or_none_changes_nothing(lively) -> None:
    for stream in ("steps", "events"):
        options = {"temperature": 1.7, "bars": 4, "stream": stream}
        assert (
            _sample(lively, **options).midi == _sample(lively, **options, temperature_end=1.7).midi
        )
        assert (
            _sample(lively, **options).midi != _sample(lively, **options, temperature_end=0.3).midi
        )


@tells("top_k")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_of_one_choice_every_seed_draws_the_same(lively, stream) -> None:
    def masks(**options):
        return {tuple(_sample(lively, seed=seed, stream=stream, **options).masks) for seed in SEEDS}

    assert len(masks(top_k=1)) == 1
    assert len(masks(top_k=2)) > 1
    assert len(masks()) == len(SEEDS)


@tells("top_p")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_the_smallest_nucleus_holds_the_likeliest_choice_alone(lively, stream) -> None:
    likeliest = _sample(lively, top_k=1, stream=stream)
    for seed in SEEDS:
        found = _sample(lively, seed=seed, top_p=0.01, stream=stream)
        assert found.masks.tolist() == likeliest.masks.tolist()
    assert _sample(lively, top_p=0.9, stream=stream, bars=16).midi != (
        _sample(lively, stream=stream, bars=16).midi
    )


@tells("seed")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_equal_seeds_draw_the_same_and_others_do_not(lively, stream) -> None:
    found = [_sample(lively, seed=seed, stream=stream).midi for seed in range(20)]
    assert len(set(found)) == 20
    assert [_sample(lively, seed=seed, stream=stream).midi for seed in range(20)] == found


@tells("style", "drummer", "section")
@pytest.mark.parametrize(
    ("kind", "without", "with_it"),
    [
        ("style", "closed_hat", "ride"),
        ("section", "snare", "crash"),
    ],
)
def test_a_label_brings_its_own_way_to_play(labelled, kind, without, with_it) -> None:
    for number, (more, less) in enumerate(((without, with_it), (with_it, without))):
        found = [
            _sample(labelled, bars=8, seed=seed, adapt=False, **{kind: f"{kind}{number}"})
            for seed in SEEDS
        ]
        counts = [sum(len(_drums(one, drum)) for one in found) for drum in (more, less)]
        assert counts[0] > 1.5 * counts[1]


@tells("drummer")
def test_a_drummer_plays_where_they_play(labelled) -> None:
    def late(drummer):
        steps = Counter(
            step % 2
            for seed in SEEDS
            for step in _drums(
                _sample(labelled, bars=8, seed=seed, adapt=False, drummer=drummer), "kick"
            )
        )
        return steps[1] / steps.total()

    assert late("drummer0") < 0.3
    assert late("drummer1") > 0.7


@tells("style", "drummer", "section")
def test_a_label_that_the_model_does_not_know_is_refused(labelled, lively) -> None:
    for kind in ("style", "drummer", "section"):
        with pytest.raises(GrooveError, match=f"did you mean '{kind}1'.*knows {kind}0, {kind}1"):
            _sample(labelled, **{kind: f"{kind}1s"})
        with pytest.raises(GrooveError, match="the model has none"):
            _sample(lively, **{kind: "any"})
        with pytest.raises((GrooveError, OptionsError), match=f"{kind}.*steps only"):
            _sample(labelled, stream="events", **{kind: f"{kind}1"})


@tells("lead_in")
def test_bars_that_lead_in_are_drawn_and_left_out(lively, primes) -> None:
    for seed in SEEDS:
        whole = _sample(lively, bars=6, lead_in=0, seed=seed).masks
        for lead_in in (1, 2, 5):
            found = _sample(lively, bars=6 - lead_in, lead_in=lead_in, seed=seed).masks
            assert found.tolist() == whole[16 * lead_in :].tolist()
    led, unled = (_sample(lively, prime=primes["odd"], lead_in=lead_in) for lead_in in (3, 0))
    assert led.midi == unled.midi  # after a prime nothing leads in


@tells("prime")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_a_prime_is_continued(labelled, primes, stream) -> None:
    def rides(**options):
        found = [
            _sample(labelled, bars=4, seed=seed, stream=stream, temperature=0.5, **options)
            for seed in SEEDS
        ]
        return [len(_drums(one, "ride")) for one in found], [
            len(_drums(one, "closed_hat")) for one in found
        ]

    ride, hat = rides(prime=primes["ride"])
    assert sum(ride) > 1.5 * sum(hat)
    plain_ride, _ = rides()
    assert sum(ride) > 1.2 * sum(plain_ride)


@tells("prime")
def test_a_prime_is_read_and_neither_copied_nor_changed(lively, primes) -> None:
    before = primes["odd"].read_bytes()
    found = _sample(lively, prime=primes["odd"], bars=3)
    assert found.bars == 3
    assert primes["odd"].read_bytes() == before


@tells("prime")
def test_a_prime_that_cannot_be_used_is_refused(lively, primes, tmp_path) -> None:
    with pytest.raises(GrooveError, match=r"waltz\.mid: has bars of \[12\] steps.*--metre"):
        _sample(lively, prime=primes["waltz"])
    assert _sample(lively, prime=primes["waltz"], metre="3/4").bar_steps == 12
    with pytest.raises(GrooveError, match="io_error"):
        _sample(lively, prime=tmp_path / "none.mid")
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    with pytest.raises(GrooveError, match="no readable prime"):
        _sample(lively, prime=tmp_path / "broken.mid")


@tells("lock")
@pytest.mark.parametrize("names", ["kick", "snare", "kick, snare", "crash,kick,ride"])
def test_locked_classes_repeat_the_prime_and_others_are_free(lively, primes, names) -> None:
    prime = read_midi_file(primes["odd"])
    for seed in SEEDS:
        found = _sample(lively, prime=primes["odd"], lock=names, bars=5, seed=seed)
        for name in [name.strip() for name in names.split(",")]:
            of_class = CLASS_OF_PITCH[prime.pitch] == CLASSES.index(name)
            in_prime = (prime.tick[of_class] // STEP).tolist()
            expected = [s + 32 * turn for turn in range(3) for s in in_prime if s + 32 * turn < 80]
            assert _drums(found, name) == expected
            ticks = np.asarray(found.track.tick)[
                CLASS_OF_PITCH[np.asarray(found.track.pitch)] == CLASSES.index(name)
            ]
            assert sorted(ticks) == [step * STEP for step in expected]
    free = _sample(lively, prime=primes["odd"], bars=5)
    assert _drums(free, "kick") != _drums(found, "kick")
    assert len(_drums(found, "closed_hat")) > 0


@tells("lock")
def test_a_lock_plays_with_the_prime_s_own_velocity_and_timing(lively, tmp_path) -> None:
    prime = _pattern(tmp_path / "late.mid", [(3, KICK), (9, KICK)], velocity=37, late=25)
    found = _sample(lively, prime=prime, lock="kick", bars=2)
    kicks = np.asarray(found.track.pitch) == KICK
    assert (np.asarray(found.track.tick)[kicks] % STEP == 25).all()
    assert (np.asarray(found.track.velocity)[kicks] == 37).all()


@tells("lock")
def test_a_lock_of_nothing_known_or_without_a_prime_is_refused(lively, primes) -> None:
    with pytest.raises(OptionsError, match=r"'kik' is no drum class, did you mean 'kick'"):
        _sample(lively, prime=primes["odd"], lock="kik")
    with pytest.raises(OptionsError, match="needs --prime"):
        SampleOptions(lock="kick")
    with pytest.raises(OptionsError, match="steps only"):
        SampleOptions(lock="kick", prime=primes["odd"], stream="events")


@tells("adapt")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_a_piece_that_listens_to_itself_repeats_itself(plain, stream) -> None:
    def repeated(adapt):
        """Return the share of sounding steps that sound as two bars before."""
        same = total = 0
        for seed in range(20):
            masks = _sample(plain, bars=16, seed=seed, adapt=adapt, stream=stream).masks
            sounding = masks[32:] > 0
            same += int((sounding & (masks[32:] == masks[:-32])).sum())
            total += int(sounding.sum())
        return same / total

    assert repeated(True) > 1.1 * repeated(False)


@tells("choke")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_a_closed_hat_ends_an_open_one(lively, stream) -> None:
    def hats(choke):
        """Return steps with both, and how many open hats sound past the next hat."""
        both = past = 0
        for seed in range(20):
            found = _sample(lively, bars=8, seed=seed, choke=choke, stream=stream)
            closed, opened = found.masks >> CLOSED_HAT & 1, found.masks >> OPEN_HAT & 1
            both += int((closed & opened).sum())
            tick, duration, drum = (
                np.asarray(found.track.tick),
                np.asarray(found.track.duration),
                CLASS_OF_PITCH[np.asarray(found.track.pitch)],
            )
            for begin, length in zip(
                tick[drum == OPEN_HAT], duration[drum == OPEN_HAT], strict=True
            ):
                others = tick[(drum == CLOSED_HAT) | (drum == OPEN_HAT)]
                past += bool(((others > begin) & (others < begin + length)).any())
        return both, past

    assert hats(True) == (0, 0)
    both, past = hats(False)
    assert both > 0 and past > 0


@tells("timing")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_timing_moves_hits_by_its_amount(lively, stream) -> None:
    quantised, half, full = (
        np.asarray(_sample(lively, timing=amount, bars=8, stream=stream).track.tick)
        for amount in (0.0, 0.5, 1.0)
    )
    assert (quantised % STEP == 0).all()
    assert (full % STEP != 0).any()
    # in time order notes of one step may change places, so each step's are compared
    found = {
        amount: _sample(lively, timing=amount, bars=8, stream=stream) for amount in (0, 0.5, 1)
    }
    grid = found[0].bar * 16 + found[0].step
    later = [np.asarray(found[amount].track.tick) - grid * STEP for amount in (0.5, 1)]
    assert len(half) == len(full) == len(quantised)
    inside = (grid > 0) | (later[1] >= 0)  # nothing sounds before the first beat
    assert np.abs(later[0] - later[1] / 2)[inside].max() <= 1
    assert np.abs(later[1]).max() <= STEP / 2


@tells("velocity")
@pytest.mark.parametrize("stream", ["steps", "events"])
def test_velocity_is_one_without_and_the_corpus_s_with_its_amount(lively, stream) -> None:
    flat, half, full = (
        np.asarray(_sample(lively, velocity=amount, bars=8, stream=stream).track.velocity)
        for amount in (0.0, 0.5, 1.0)
    )
    assert len(set(flat.tolist())) == 1
    assert len(set(full.tolist())) > 20
    usual = flat[0]
    assert np.abs((half - usual) - (full - usual) / 2).max() <= 1


def test_an_option_outside_its_range_is_refused() -> None:
    wrong = {
        "bars": 0, "bpm": 5.0, "temperature": 0.0, "temperature_end": 21.0, "top_k": -1,
        "top_p": 0.0, "seed": -1, "timing": 1.1, "velocity": -0.1, "stream": "chords",
    }  # fmt: skip
    with pytest.raises(OptionsError) as caught:
        SampleOptions(**wrong)
    lines = str(caught.value).splitlines()
    assert {line.partition(":")[0] for line in lines} == set(wrong)


def test_what_is_sampled_is_a_file_that_others_read(lively, tmp_path) -> None:
    found = _sample(lively, bars=2, metre="3/4", bpm=90.0)
    (tmp_path / "new.mid").write_bytes(found.midi)
    file = mido.MidiFile(tmp_path / "new.mid")
    onsets = [m for m in file.tracks[0] if m.type == "note_on" and m.velocity]
    assert len(onsets) == len(found.bar)
    assert {m.channel for m in onsets} == {9}
    assert len(files_of(tmp_path)) == 1
