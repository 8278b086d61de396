import csv
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import symusic
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.demo.drums import (
    DRUMMERS,
    PPQ,
    STYLES,
    DrumCorpusOptions,
    DrumPiece,
    make_drum_corpus,
    piece_track,
)
from workbench.demo.malformed import DEFECTS
from workbench.errors import MusicError, OptionsError
from workbench.music.writer import midi_bytes
from workbench.options import parameters_of

GMD = Path(__file__).parents[3] / "shared/data/gmd/train"
CLASSES = (
    (35, 36),
    (37, 38, 40),
    (22, 42, 44),
    (26, 46),
    (41, 43, 58),
    (45, 47),
    (48, 50),
    (49, 52, 55, 57),
    (51, 53, 59),
)
KICK, SNARE, CLOSED_HAT, OPEN_HAT, LOW_TOM, MID_TOM, HIGH_TOM, CRASH, RIDE = range(9)
CLASS_OF = np.full(128, -1)
for number, pitches in enumerate(CLASSES):
    CLASS_OF[list(pitches)] = number
RIVALS = (
    ((26, 46), (22, 42, 44)),  # a hat is open or closed
    ((22, 42), (44,)),  # struck or stepped on
    ((37,), (38, 40)),  # the snare drum by its rim or its skin
    ((49, 52, 55, 57), (22, 42, 26, 46, 51, 53, 59)),  # one hand for crash, hats and ride
)

pieces = st.builds(
    DrumPiece,
    style=st.sampled_from(list(STYLES)),
    drummer=st.sampled_from(list(DRUMMERS)),
    section=st.sampled_from(["beat", "fill"]),
    bpm=st.integers(50, 250),
    bars=st.integers(1, 2),
    seed=st.tuples(st.integers(0, 2**32 - 1)),
)


def beat(style, *, drummer="drummer1", bars=32, bpm=None, seed=1):
    bpm = sum(STYLES[style].bpm) // 2 if bpm is None else bpm
    return piece_track(
        DrumPiece(style=style, drummer=drummer, section="beat", bpm=bpm, bars=bars, seed=(seed,))
    )


def steps_and_classes(tick, pitch):
    """The occupied sixteenths and drum classes, each pair once."""
    step = np.rint(np.asarray(tick) / (PPQ / 4)).astype(int)
    return np.unique(np.stack([step, CLASS_OF[np.asarray(pitch)]], axis=1), axis=0)


def polyphony(pairs):
    counts = np.unique(pairs[:, 0], return_counts=True)[1]
    return np.count_nonzero(counts > 1), len(counts)


def measures(columns):
    """Share of steps of two hits and more, and of the 9 classes, over (tick, pitch) columns."""
    many, occupied = np.sum([polyphony(steps_and_classes(*c)) for c in columns], axis=0)
    pitch = np.concatenate([pitch for _, pitch in columns])
    return many / occupied, np.bincount(CLASS_OF[pitch], minlength=9) / len(pitch)


def columns_of(path):
    score = symusic.Score(str(path))
    notes = [note for track in score.tracks for note in track.notes]
    return np.array([n.time for n in notes]), np.array([n.pitch for n in notes])


def contents(folder):
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*.mid")}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_drum_corpus(tmp_path_factory.mktemp("demo") / "drums", DrumCorpusOptions())


@settings(max_examples=100, deadline=None)
@given(piece=pieces)
def test_a_piece_is_the_same_each_time_and_stays_within_its_bars(piece):
    track = piece_track(piece)
    assert midi_bytes(track) == midi_bytes(piece_track(piece))
    assert len(track.tick) > 0
    late = 0.1 * piece.bpm / 60 * PPQ  # a tenth of a second
    assert 0 <= min(track.tick) <= max(track.tick) < track.end_tick + late
    assert (CLASS_OF[track.pitch] >= 0).all()
    assert track.velocity.min() >= 1
    assert track.velocity.max() <= 127


@settings(max_examples=60, deadline=None)
@given(piece=pieces)
def test_nothing_asks_for_a_third_hand(piece):
    track = piece_track(replace(piece, drummer="drummer6", bpm=min(piece.bpm, 180)))
    feet = np.isin(track.pitch, [35, 36, 44])
    tick, pitch = track.tick[~feet], track.pitch[~feet]
    within = 4000 / track.tempos[0][1] * PPQ  # what 4 ms hold is one moment
    for at in tick:
        assert len(set(pitch[np.abs(tick - at) <= within])) <= 2


@pytest.mark.parametrize("style", STYLES)
def test_no_stick_asks_of_one_moment_what_cannot_sound_together(style):
    for seed in range(6):
        track = beat(style, drummer="drummer6", seed=seed)  # whose hands stray by 12 ms at most
        eight_ms = 8000 / track.tempos[0][1] * PPQ
        for one, other in RIVALS:
            ticks = [track.tick[np.isin(track.pitch, way)] for way in (one, other)]
            assert not (np.abs(np.subtract.outer(*ticks)) < eight_ms).any()


def test_every_file_is_what_its_name_and_its_label_say(corpus):
    assert len(corpus.paths) == len(corpus.labels) == 300
    for path, label in zip(corpus.paths, corpus.labels, strict=True):
        assert path == corpus.folder / label.file
        drummer, session, rest = path.stem.split("__")
        style, bpm, section, metre = rest.split("_")[1:]
        named = (drummer, style, int(bpm), section, metre)
        assert named == (label.drummer, label.style, label.bpm, label.section, label.metre)
        assert session.startswith("session")
        score = symusic.Score(str(path))
        signature = score.time_signatures[0]
        assert f"{signature.numerator}-{signature.denominator}" == metre
        assert score.tempos[0].qpm == pytest.approx(label.bpm, rel=1e-5)
        assert score.ticks_per_quarter == PPQ
        assert [track.is_drum for track in score.tracks] == [True]
        bar = PPQ * 4 * signature.numerator // signature.denominator
        bars = max(note.time for note in score.tracks[0].notes) / bar
        assert bars < 2.2 if section == "fill" else 6 < bars < 32.2


def test_a_corpus_has_all_styles_metres_drummers_and_pitches(corpus):
    counts = {
        name: Counter(getattr(label, name) for label in corpus.labels)
        for name in ("style", "drummer", "metre", "section")
    }
    assert set(counts["style"]) == set(STYLES)
    assert max(counts["style"].values()) - min(counts["style"].values()) <= 1
    assert set(counts["drummer"]) == set(DRUMMERS)
    assert set(counts["metre"]) == {"4-4", "3-4", "6-8", "5-4"}
    assert counts["section"]["fill"] / 300 == pytest.approx(0.35, abs=0.08)
    pitches = np.unique(np.concatenate([columns_of(path)[1] for path in corpus.paths]))
    assert set(pitches) == {pitch for group in CLASSES for pitch in group}


def test_lists_on_the_disk_tell_the_files_and_their_labels(corpus):
    listed = (corpus.folder / "filelist.txt").read_text("utf-8").splitlines()
    assert listed == [label.file for label in corpus.labels]
    assert all((corpus.folder / line).is_file() for line in listed)
    text = (corpus.folder / "labels.csv").read_text("utf-8")
    assert text.startswith("file,style,drummer,section,bpm,metre\n")
    for row, label in zip(csv.DictReader(text.splitlines()), corpus.labels, strict=True):
        assert row == {name: str(getattr(label, name)) for name in row}


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    duplicates=st.sampled_from([0.0, 0.2]),
    broken=st.sampled_from([0.0, 0.3]),
)
def test_a_large_corpus_begins_with_the_files_of_a_small_one(
    tmp_path_factory, seed, duplicates, broken
):
    folder = tmp_path_factory.mktemp("demo")
    shares = {"duplicates": duplicates, "broken": broken, "most_bars": 8}
    made = [
        make_drum_corpus(folder / str(n), DrumCorpusOptions(files=n, seed=seed, **shares))
        for n in (10, 30)
    ]
    small, large = contents(folder / "10"), contents(folder / "30")
    assert len(small) == 10
    assert small.items() <= large.items()
    assert made[1].labels[:10] == made[0].labels


def test_another_seed_plays_something_else(tmp_path):
    made = []
    for seed in (1, 2):
        options = DrumCorpusOptions(files=20, seed=seed, most_bars=8)
        make_drum_corpus(tmp_path / str(seed), options)
        made.append(set(contents(tmp_path / str(seed)).values()))
    assert len(made[0]) == len(made[1]) == 20
    assert not made[0] & made[1]


def test_the_asked_share_of_files_are_copies_and_broken(tmp_path):
    options = DrumCorpusOptions(files=100, duplicates=0.25, broken=0.15, most_bars=8)
    corpus = make_drum_corpus(tmp_path / "made", options)
    by_name = contents(corpus.folder)
    assert len(corpus.copies) == 25
    assert len(corpus.defects) == 15
    assert set(corpus.defects.values()) <= set(DEFECTS)
    assert len(set(corpus.defects.values())) > 5
    order = [label.file for label in corpus.labels]
    for copy, source in corpus.copies.items():
        assert by_name[copy] == by_name[source]
        assert order.index(source) < order.index(copy)
        assert source not in corpus.copies
        assert source not in corpus.defects
    whole = set(order) - set(corpus.copies) - set(corpus.defects)
    assert len({by_name[name] for name in whole}) == 60
    assert all(len(columns_of(corpus.folder / name)[0]) for name in whole)


def test_more_than_a_thousand_files_are_spread_over_subfolders(tmp_path):
    options = DrumCorpusOptions(files=1001, fills=1.0, styles="waltz")
    shown = []
    corpus = make_drum_corpus(tmp_path / "made", options, show=shown.append)
    sizes = Counter(path.parent.name for path in corpus.paths)
    assert sizes == {"0000": 1000, "0001": 1}
    assert [progress.done for progress in shown] == [*range(100, 1001, 100), 1001]
    assert shown[-1].is_last


def test_what_is_there_is_not_made_again_and_another_corpus_gives_way(tmp_path):
    folder = tmp_path / "made"
    options = DrumCorpusOptions(files=5, most_bars=8)
    first = make_drum_corpus(folder, options)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mid")}
    assert make_drum_corpus(folder, options) == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.mid")} == times
    first.paths[0].unlink()
    make_drum_corpus(folder, options)
    assert first.paths[0].is_file()
    other = make_drum_corpus(folder, DrumCorpusOptions(files=4, seed=9, most_bars=8))
    assert set(folder.rglob("*.mid")) == set(other.paths)
    assert json.loads((folder / "corpus.json").read_text())["options"]["seed"] == 9
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    folder = tmp_path / "mine"
    make_drum_corpus(folder, DrumCorpusOptions(files=3, most_bars=8))
    (folder / "my own.mid").write_bytes(b"precious")
    before = contents(folder)
    with pytest.raises(MusicError, match=r"my own\.mid"):
        make_drum_corpus(folder, DrumCorpusOptions(files=4, most_bars=8))
    assert contents(folder) == before
    with pytest.raises(MusicError, match="no folder"):
        make_drum_corpus(folder / "my own.mid", DrumCorpusOptions(files=3))


def test_a_piece_of_no_style_is_refused():
    with pytest.raises(MusicError, match="polka"):
        beat("rock", drummer="polka")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"files": 0}, "files: 0 is outside"),
        ({"styles": "rock, fnuk"}, "did you mean 'funk'"),
        ({"least_bars": 9, "most_bars": 8}, "least_bars 9 is above most_bars 8"),
        ({"duplicates": 0.6, "broken": 0.5}, "duplicates and broken"),
        ({"fills": 1.5}, "fills: 1.5 is outside"),
    ],
)
def test_options_that_make_no_corpus_are_refused(values, said):
    with pytest.raises(OptionsError) as refused:
        DrumCorpusOptions(**values)
    assert said in str(refused.value)
    assert set(values) <= set(parameters_of(DrumCorpusOptions))


def test_the_styles_named_are_the_styles_played(tmp_path):
    options = DrumCorpusOptions(files=12, styles="jazz, waltz,jazz", fills=1.0)
    corpus = make_drum_corpus(tmp_path / "made", options)
    assert Counter(label.style for label in corpus.labels) == {"jazz": 6, "waltz": 6}


@pytest.mark.parametrize("style", STYLES)
def test_a_beat_repeats_itself_bar_by_bar(style):
    again = total = 0
    for seed in range(4):
        track = beat(style, seed=seed)
        bar_ticks = track.end_tick // 32
        pairs = steps_and_classes(track.tick, track.pitch)
        bars = pairs[:, 0] // (bar_ticks * 4 // PPQ)
        seen = set()
        for bar in range(32):
            mask = (pairs[bars == bar] - [bar * bar_ticks * 4 // PPQ, 0]).tobytes()
            again += mask in seen
            total += 1
            seen.add(mask)
    assert again / total > (0.01 if style == "jazz" else 0.1)
    assert again < total - 4


@pytest.mark.parametrize(
    ("style", "low", "high"),
    [("jazz", 0.58, 0.7), ("rock", 0.48, 0.52), ("punk", 0.48, 0.52), ("bossa", 0.48, 0.52)],
)
def test_off_beats_stand_where_the_style_swings_them(style, low, high):
    for seed in range(5):
        track = beat(style, seed=seed)
        keeps_time = np.isin(CLASS_OF[track.pitch], [CLOSED_HAT, OPEN_HAT, RIDE])
        phase = track.tick[keeps_time] % PPQ / PPQ
        off_beats = phase[(phase > 0.42) & (phase < 0.7)]
        if len(off_beats) > 20:
            assert low <= np.median(off_beats) <= high


def test_funk_has_ghost_notes_far_below_its_backbeats():
    track = beat("funk", drummer="drummer2")
    snare = track.velocity[CLASS_OF[track.pitch] == SNARE]
    assert np.mean(snare < 45) > 0.3
    assert np.mean(snare > 90) > 0.2


def test_drummers_push_and_lie_back_by_their_own_habit():
    def lateness(drummer):
        tracks = [beat("rock", drummer=drummer, bpm=120, seed=seed) for seed in range(6)]
        tick = np.concatenate([track.tick[np.isin(track.pitch, [38, 40])] for track in tracks])
        off = (tick + 60) % 120 - 60
        return np.median(off) / 0.96  # ms, 0.96 ticks each at 120 BPM

    assert lateness("drummer3") < -4
    assert abs(lateness("drummer6")) < 3
    assert lateness("drummer2") > 10


def test_fills_lead_over_the_toms_and_a_crash_follows(corpus):
    fills = [p for p, k in zip(corpus.paths, corpus.labels, strict=True) if k.section == "fill"]
    beats = [p for p, k in zip(corpus.paths, corpus.labels, strict=True) if k.section == "beat"]
    _, in_fills = measures([columns_of(path) for path in fills])
    _, in_beats = measures([columns_of(path) for path in beats])
    toms = [LOW_TOM, MID_TOM, HIGH_TOM]
    assert in_fills[toms].sum() > 0.2 > 0.1 > in_beats[toms].sum() > 0.02
    assert 0.003 < in_beats[CRASH] < 0.03


@pytest.mark.gmd
@pytest.mark.skipif(not GMD.is_dir() and not os.environ.get("CI"), reason=f"{GMD} is not there")
def test_the_corpus_is_as_dense_and_as_polyphonic_as_people_play(corpus):
    real = [columns_of(path) for path in sorted(GMD.glob("*_4-4.mid"))[::3]]
    made = [columns_of(path) for path in corpus.paths if path.stem.endswith("4-4")]
    real_polyphony, real_shares = measures(real)
    made_polyphony, made_shares = measures(made)
    assert made_polyphony == pytest.approx(real_polyphony, abs=0.08)
    assert np.abs(made_shares - real_shares).sum() / 2 < 0.15
