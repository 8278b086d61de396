"""Maps composed for a song, by writers that learnt nothing: what holds whoever writes."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sounds import clicks, file_of

from workbench.beatmap.maps.export import notes_a_second
from workbench.beatmap.maps.objects import DIFFICULTIES, Notes
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.composing import (
    Composed,
    as_dense,
    compose,
    plan_of,
    playable,
    refuse_place,
    requests_of,
)
from workbench.beatmap.writer.generating import Request
from workbench.beatmap.writer.model import WriterCard, make_writer
from workbench.beatmap.writer.model_options import GenerateOptions
from workbench.beatmap.writer.network import MapNetwork, NetworkShape
from workbench.beatmap.writer.options import ChartWindowOptions, MelSpec
from workbench.beatmap.writer.song_sound import PreparedSong
from workbench.beatmap.writer.tempo import Tempo
from workbench.errors import BeatmapError, CachingError

SPEC = MelSpec(n_mels=8, n_fft=1024, hop_length=512)
BPM = 120.0
TIMES = TimeMap.steady(BPM)
LIKELY = {"top_p": 1.0, "temperature": 1.0, "bpm": BPM, "first_beat": 0.3}


def notes_at(beats):
    beats = np.asarray(beats, float)
    still = np.zeros(len(beats))
    return Notes.of(beats, still, still, still, still, still)


def prepared(seconds=30.0, lead=3.0):
    return PreparedSong(
        samples=np.zeros(1, np.float32),
        egg=b"",
        sample_rate=44_100,
        seconds=seconds,
        lead_silence=lead,
        tempo=Tempo(bpm=BPM, first_beat=lead, confidence=1.0),
        time_map=TIMES,
        title="A song",
        artist="",
    )


@pytest.fixture(scope="module")
def writer():
    """A writer of weights that were drawn, and of two styles."""
    shape = NetworkShape(
        channels=SPEC.channels,
        width=16,
        heads=2,
        hidden=32,
        encoder_layers=1,
        decoder_layers=1,
        styles=2,
        vocabulary="291",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = MapNetwork(shape).state_dict()
    card = WriterCard(
        shape=shape,
        spec=SPEC,
        cut=ChartWindowOptions(bars=2, context=1),
        mean=(0.0,) * SPEC.channels,
        deviation=(1.0,) * SPEC.channels,
        styles=("one", "two"),
    )
    return make_writer(card, weights)


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    path = tmp_path_factory.mktemp("song") / "Someone - Some song.wav"
    path.write_bytes(file_of(clicks(np.arange(0.3, 8, 0.5), 8.2)))
    return path


# --- how dense


@given(
    asked=st.floats(0.5, 9),
    natural=st.floats(0.5, 12),
    slope=st.floats(0.25, 2),
    most=st.floats(13, 40),
)
@example(asked=8.0, natural=1.0, slope=2.0, most=13.0)  # a straight line stays at one end
def test_a_writer_that_bends_is_bent_to_what_is_asked_for(asked, natural, slope, most):
    """Density rises with the leaning as an S, between none and the most."""
    middle = math.log(natural / (most - natural))
    rounds_seen = []

    def write(requests, rounds):
        rounds_seen.append(rounds)
        (request,) = requests
        density = most / (1 + math.exp(-(middle + slope * request.leaning)))
        return {"Expert": notes_at(np.linspace(0, 120, round(60 * density)))}

    charts, rounds = as_dense(write, [Request(difficulty=3)], asked, TIMES)
    assert notes_a_second(charts["Expert"], TIMES) == pytest.approx(asked, rel=0.1)
    assert rounds_seen == [*range(1, rounds + 1)] and rounds <= 7


@given(nps=st.floats(0.5, 20), found=st.lists(st.integers(2, 600), min_size=7, max_size=7))
def test_of_all_rounds_the_nearest_map_is_taken(nps, found):
    ahead = [notes_at(np.linspace(0, 60, count)) for count in found]
    seen = []

    def write(requests, rounds):
        seen.append(ahead[rounds - 1])
        return {"Expert": seen[-1]}

    charts, rounds = as_dense(write, [Request(difficulty=3)], nps, TIMES)
    off = [abs(math.log(max(notes_a_second(each, TIMES) / nps, 1 / 16))) for each in seen]
    assert charts["Expert"] is seen[int(np.argmin(off))]
    assert rounds == len(seen) and (rounds == 7 or off[-1] < 0.05)


def test_a_map_that_is_dense_enough_is_not_written_again(caplog):
    asked = []

    def write(requests, rounds):
        asked.append([DIFFICULTIES[request.difficulty] for request in requests])
        return {
            name: notes_at(np.linspace(0, 120, 121 if name == "Hard" else 20)) for name in asked[-1]
        }

    requests = [Request(difficulty=2), Request(difficulty=3)]
    charts, _ = as_dense(write, requests, 2.0, TIMES)
    assert asked == [["Hard", "Expert"]] + [["Expert"]] * 6
    assert list(charts) == ["Hard", "Expert"]
    assert "Expert: 0.317 notes a second are the nearest to 2 in 7 rounds" in caplog.text
    assert "Hard" not in caplog.text


def test_maps_are_taken_as_they_come_where_no_density_is_asked_for():
    charts, rounds = as_dense(
        lambda *_: {"Expert": notes_at([1])}, [Request(difficulty=3)], 0, TIMES
    )
    assert charts["Expert"].beat.tolist() == [1] and rounds == 1


# --- which notes


@given(
    beats=st.lists(st.integers(0, 64 * 16), unique=True).map(sorted),
    lead=st.floats(0, 10),
    spacing=st.sampled_from([0.0, 0.25, 0.3, 1.0, 4.0]),
)
def test_notes_come_while_the_song_sounds_and_as_far_apart_as_is_asked_for(beats, lead, spacing):
    places = np.array(beats, float) / 16
    kept = playable(notes_at(places), prepared(lead=lead), spacing).beat
    seconds = places * 60 / BPM
    in_time = places[(seconds >= max(lead - 0.1, 1.5)) & (seconds < 29.5)]
    assert np.isin(kept, in_time).all()
    assert (np.diff(kept) >= spacing - 0.01).all()
    for beat in set(in_time) - set(kept):
        before = kept[kept < beat]
        assert len(before) and beat - before[-1] < spacing
    if not spacing:
        assert kept.tolist() == in_time.tolist()


def test_notes_of_one_slot_stay_together():
    kept = playable(notes_at([8, 8, 8.5, 8.5, 9]), prepared(), 1.0)
    assert kept.beat.tolist() == [8, 8, 9]


# --- the whole


def test_composing_leaves_everybodys_random_numbers_alone(writer, song):
    options = GenerateOptions(**LIKELY)

    def state():
        told = np.random.get_state()  # noqa: NPY002  the global one, which others may use
        return (random.getstate(), told[1].tolist(), torch.get_rng_state().tolist())

    before = state()
    one = compose(song, writer, options)
    assert state() == before
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    random.seed(1)
    two = compose(song, writer, options)
    assert np.array_equal(one.charts["Expert"].beat, two.charts["Expert"].beat)
    assert len(one.charts["Expert"]) > 10


def test_windows_are_told_as_they_are_written_side_by_side(writer, song):
    for strands, done in ((1, [1, 2, 3]), (2, [2, 3]), (64, [3])):
        seen = []
        composed = compose(song, writer, GenerateOptions(**LIKELY, strands=strands), seen.append)
        assert [(p.stage, p.done, p.total) for p in seen[:2]] == [
            ("listening", 0, 1),
            ("listening", 1, 1),
        ]
        assert {p.stage for p in seen[2:]} == {"writing"}
        windows = seen[-1].total
        assert seen[-1].done == windows == 3
        assert [p.done for p in seen[2:]] == done
        assert composed.seconds > 0 and composed.rounds == 1


def test_each_round_is_told_by_its_number(writer, song):
    seen = []
    composed = compose(song, writer, GenerateOptions(**LIKELY, nps=1.0), seen.append)
    stages = list(dict.fromkeys(p.stage for p in seen))
    assert composed.rounds > 1
    assert stages == [
        "listening",
        "writing",
        *(f"writing, round {number}" for number in range(2, composed.rounds + 1)),
    ]


def test_what_is_asked_for_reaches_each_request(writer):
    options = GenerateOptions(
        difficulty="Easy,ExpertPlus,Easy",
        nps=3,
        style="two",
        seed=7,
        temperature=0.5,
        top_k=5,
        top_p=0.5,
        spacing=0.3,
        parity=2,
    )
    one, two = requests_of(writer, options)
    assert (one.difficulty, two.difficulty) == (0, 4)
    assert replace(one, difficulty=4) == two
    assert (one.density, one.style, one.seed, one.leaning) == (3, 2, 7, 0)
    manner = one.manner
    assert (manner.temperature, manner.top_k, manner.top_p) == (0.5, 5, 0.5)
    assert (manner.spacing, manner.parity) == (5, 2)  # sixteenths of a beat, rounded up
    assert math.isnan(requests_of(writer, GenerateOptions())[0].density)


def test_a_style_that_nobody_has_is_refused_with_those_there_are(writer):
    with pytest.raises(BeatmapError, match=r"'tow' is none .*\(one, two\), did you mean 'two'"):
        requests_of(writer, GenerateOptions(style="tow"))


def test_a_song_in_which_nothing_is_found_is_refused(writer, song):
    silent = {name: weight.clone() for name, weight in writer.network.state_dict().items()}
    silent["out.weight"] *= 0
    silent["odds.weight"] *= 0
    silent["odds.bias"].fill_(-30.0)  # in no slot is anything heard
    quiet = make_writer(writer.card, silent)
    with pytest.raises(BeatmapError, match="finds no note for Expert; train it for longer") as told:
        compose(song, quiet, GenerateOptions(**LIKELY | {"temperature": 0}))
    assert str(song) in str(told.value) and told.value.kind == "no_notes"


@settings(max_examples=20)
@given(seconds=st.floats(2.1, 400), lead=st.floats(0, 8))
def test_a_preview_lies_within_the_song(seconds, lead):
    song = prepared(seconds + lead, lead)
    composed = Composed(
        song=song,
        features=np.zeros((1, 1), np.float16),
        charts={"Hard": notes_at([8])},
        nps={"Hard": 0.0},
        rounds=1,
        seconds=0.0,
    )
    plan = plan_of(composed, "Somebody")
    assert lead <= plan.preview_start + 1e-9
    assert 0 < plan.preview_seconds <= 10
    assert plan.preview_start + plan.preview_seconds <= song.seconds + 1e-6
    assert (plan.title, plan.mapper, plan.bpm) == ("A song", "Somebody", BPM)
    assert plan.generated.startswith("workbench ")


def test_places_where_something_else_is_are_refused(tmp_path):
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("Dear all")
    (tmp_path / "file").write_text("")
    for name, found in (
        ("folder.zip", "is a folder"),
        ("other", "something else"),
        ("file", "something else"),
    ):
        with pytest.raises(CachingError, match=f"{name}: .*{found}.*name another place"):
            refuse_place(tmp_path / name)
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "Info.dat").write_text("{}")
    (tmp_path / "map.zip").write_bytes(b"")
    for name in ("map", "map.zip", "none", "none.zip"):
        refuse_place(tmp_path / name)
