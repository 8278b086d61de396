"""What is held against the older way, songs faster and slower, and what planning tells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.device.clock import VirtualTime
from workbench.device.duties import Duties
from workbench.device.options import SimulatorOptions
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.playback.demo_song import write_demo_song
from workbench.playback.naive import lateness_of, naive_lateness
from workbench.playback.options import PlanOptions
from workbench.playback.performance import Performance
from workbench.playback.pictures import Look, lateness_picture, performance_picture
from workbench.playback.planner import plan_song
from workbench.playback.playing import play_song
from workbench.playback.session import perform_together
from workbench.playback.song import read_song, song_of


def duties_of(count, ms=50):
    fingers = 1 + np.arange(count) % 2
    return Duties.of(start_ms=np.arange(count) * ms, duration_ms=ms, fingers=fingers, volume=50)


def test_a_host_that_keeps_the_time_is_later_with_each_batch():
    duties = duties_of(600)
    late = naive_lateness(duties, batch_size=50)
    assert len(late) == 600
    each = late.reshape(12, 50)
    assert np.ptp(each, axis=1).max() < 1.0
    assert (np.diff(each[:, 0]) > 40).all()
    assert (naive_lateness(duties, batch_size=100)[-1]) < late[-1]


def test_a_queue_on_the_board_is_twenty_times_less_late_than_that():
    duties = duties_of(600)
    link = SimulatorLink()
    played = play_song(link, duties)
    late = lateness_of(link, duties)
    assert len(late) == 600
    naive = np.percentile(naive_lateness(duties), 99)
    assert naive >= 20 * np.percentile(np.abs(late), 99)
    assert naive >= 20 * played.report.late_p99_ms


@pytest.mark.parametrize("drift_ppm", [-300.0, 30.0, 300.0])
def test_after_ten_minutes_the_music_is_in_time_whatever_the_boards_crystal(drift_ppm):
    duties = duties_of(6_000, ms=100)
    assert duties.end_ms == 600_000
    link = SimulatorLink(SimulatedBoard(SimulatorOptions(drift_ppm=drift_ppm)))
    assert play_song(link, duties).is_done
    late = lateness_of(link, duties)
    assert np.abs(late[2400:]).max() < 3.5
    assert np.abs(late).max() < (3.5 if drift_ppm == 30.0 else 15.0)  # until the drift is known


@pytest.mark.soak
def test_boards_of_unlike_crystals_are_together_after_ten_minutes():
    duties = duties_of(6_000, ms=100)
    time = VirtualTime()
    links = [
        SimulatorLink(SimulatedBoard(SimulatorOptions(drift_ppm=drift, seed=n)), time=time)
        for n, drift in enumerate((-60.0, 80.0))
    ]
    performances = [Performance(link) for link in links]
    for performance in performances:
        performance.load(duties)
    perform_together(performances)
    reports = [performance.log.report() for performance in performances]
    assert all(report.proved == 6_000 and report.is_whole for report in reports)
    one, other = ([link.host_at(e.at) for e in link.board.executions] for link in links)
    assert np.abs(np.subtract(one, other)).max() < 0.007


# --- tempo


@settings(max_examples=50)
@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=30),
    st.floats(10, 400),
)
def test_a_song_at_another_speed_has_every_onset_where_it_is_then(seconds, percent):
    song = song_of(seconds=seconds, end_seconds=np.array(seconds) + 0.5, pitch=60)
    other = song.at_speed(percent)
    assert np.allclose(other.seconds, song.seconds * 100 / percent)
    assert (np.abs(other.onset_ms - song.seconds * 1e5 / percent) <= 0.5001).all()
    assert np.allclose(other.at_speed(1e4 / percent).seconds, song.seconds)


def test_speed_is_an_option_of_a_plan_and_costs_no_exactness(tmp_path):
    song = read_song(write_demo_song(tmp_path / "demo.mid", seconds=20), PlanOptions())
    plain, fast = (plan_song(song, options=PlanOptions(speed=speed)) for speed in (100, 160))
    assert fast.report.onset_error_ms_max <= 0.5
    assert fast.report.infeasible_moves == 0
    share = fast.song.duration_ms / plain.song.duration_ms
    assert share == pytest.approx(100 / 160, abs=0.001)


def test_equal_seeds_make_equal_demo_songs(tmp_path):
    first, same, other = (
        write_demo_song(tmp_path / f"{n}.mid", seconds=10, seed=seed).read_bytes()
        for n, seed in enumerate((3, 3, 4))
    )
    assert first == same != other


# --- what is told


def test_planning_tells_how_far_it_is():
    times = np.cumsum(np.random.default_rng(0).choice([0.1, 0.4, 1.5], 20_000))
    song = song_of(seconds=times, end_seconds=times + 0.09, pitch=60 + np.arange(20_000) % 20)
    told = []
    plan_song(song, options=PlanOptions(search="none"), show=told.append)
    done = [progress.done for progress in told]
    assert len(told) >= 4
    assert done == sorted(done)
    assert 0 < done[0] < done[-1] == told[-1].total
    assert [progress.is_last for progress in told].count(True) == 1
    assert {progress.stage for progress in told} == {"planning"}


def test_a_performance_is_looked_at_while_it_lasts():
    looks = []
    duties = duties_of(200)
    report = play_song(
        SimulatorLink(), duties, watch=lambda at, view: looks.append(Look(seconds=at, view=view))
    ).report
    assert len(looks) >= 30
    places = [look.view.position_ms for look in looks]
    assert places == sorted(places)
    assert places[-1] > 9000
    assert all(look.view.buffered_ms >= look.view.position_ms for look in looks)
    picture = performance_picture(looks)
    assert picture.digest != performance_picture(looks[:-1]).digest
    assert report.executed == 200


def test_lateness_is_drawn_by_the_numbers():
    near, far = np.full(50, 0.1), np.linspace(1, 300, 50)
    assert lateness_picture({"a": near}).digest != lateness_picture({"a": far}).digest
    for ways in ({"a": near, "b": far}, {"none": np.zeros(0)}, {"zero": np.zeros(3)}):
        assert len(lateness_picture(ways)._repr_png_()) > 2000


def test_nothing_seen_is_drawn_too():
    assert len(performance_picture([])._repr_png_()) > 2000
    view = Performance(SimulatorLink()).view()
    assert len(performance_picture([Look(seconds=3.0, view=view)])._repr_png_()) > 2000
