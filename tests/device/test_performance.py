"""Performances: whatever happens on the way, what is executed is the song, in order, once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played_songs import played, simulated, song, until

from workbench.device import wire
from workbench.device.duties import Duties
from workbench.device.options import FeederOptions, LinkOptions, PlayOptions, SimulatorOptions
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.errors import DeviceError, PlaybackError
from workbench.playback.performance import Performance
from workbench.playback.session import perform, perform_together

shares = st.sampled_from([0.0, 0.0002, 0.0005])
faults = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "drop": shares,
        "flip": shares,
        "lose": st.sampled_from([0.0, 0.01, 0.05]),
        "rate": st.sampled_from([0.0, 3000.0, 8000.0]),
        "silences": st.lists(
            st.floats(0.0, 20.0).map(lambda start: (start, start + 2.0)), max_size=2
        ),
    }
)
boards = st.builds(
    SimulatorOptions,
    ring=st.sampled_from([16, 64, 256]),
    latency_ms=st.sampled_from([0.1, 5.0]),
    drift_ppm=st.sampled_from([-100.0, 0.0, 60.0]),
    boot_ms=st.sampled_from([100.0, 1500.0]),
    seed=st.integers(0, 100),
)


def assert_is_the_song(duties, performance, board, torn=0):
    """Each duty at most once and in order; what misses was torn by a reboot, and is told."""
    indices = [each.index for each in board.executions]
    assert indices == sorted(set(indices))
    for each in board.executions:
        assert each.record == duties.to_bytes(each.index, each.index + 1)
    missing = set(range(len(duties))) - set(indices)
    assert missing <= performance.log.uncertain
    assert len(performance.log.uncertain) <= torn
    report = performance.log.report()
    assert (report.lost, report.doubled, report.reordered, report.wrong) == (0, 0, 0, 0)
    assert report.executed == len(duties)
    assert report.uncertain == len(performance.log.uncertain)


@settings(max_examples=30)
@given(
    boards,
    faults,
    st.integers(1, 300),
    st.sampled_from([20, 60, 200]),
    st.lists(st.tuples(st.integers(0, 299), st.booleans()), max_size=3, unique_by=lambda c: c[0]),
    st.integers(1, 80),
)
def test_whatever_faults_the_executed_duties_are_the_song(
    options, faults, count, ms, crashes, batch
):
    duties = song(count, ms)
    performance, board = simulated(options, faults=faults, feeder=FeederOptions(batch_size=batch))
    crashes = sorted(crash for crash in crashes if crash[0] < count)
    for index, is_torn in crashes:
        board.reboot_before(index, is_torn=is_torn)
    performance.load(duties)
    performance.play()
    until(performance, lambda: performance.is_over, step=0.1)
    torn = sum(is_torn for _, is_torn in crashes)
    assert_is_the_song(duties, performance, board, torn)


@settings(max_examples=20)
@given(
    st.integers(0, 100),
    st.lists(
        st.tuples(
            st.sampled_from(["pause", "play", "seek"]),
            st.floats(0.0, 3.0),
            st.integers(0, 199),
        ),
        max_size=8,
    ),
)
def test_pause_resume_and_seek_are_exact_to_the_duty(seed, commands):
    duties = song(200, 40)
    performance, board = simulated(SimulatorOptions(seed=seed))
    performance.load(duties)
    performance.play()
    sought = []
    for command, wait, index in commands:
        end = performance.now() + wait
        until(performance, lambda end=end: performance.now() >= end)
        if performance.is_over:
            break
        if command == "seek":
            performance.seek(index)
            sought.append((len(board.executions), index))
        else:
            getattr(performance, command)()
    if not performance.is_over:
        performance.play()
    until(performance, lambda: performance.is_over)
    indices = [each.index for each in board.executions]
    jumps = [at for at in range(1, len(indices)) if indices[at] != indices[at - 1] + 1]
    targets = [index for _, index in sought]
    # every jump lands on what was asked for, in that order; nothing else ever jumps
    landed = iter([0, *targets])
    for at in [0, *jumps]:
        assert indices[at] in landed
    assert indices[-1] == 199
    for each in board.executions:
        assert each.record == duties.to_bytes(each.index, each.index + 1)
    report = performance.log.report()
    assert (report.lost, report.doubled, report.wrong) == (0, 0, 0)
    assert report.executed == len(indices)
    assert report.late_max_ms < 5


def test_the_song_stands_still_in_pauses_and_goes_on_where_it_was():
    performance, board = simulated()
    performance.load(song(400, 25))
    performance.play()
    samples = []
    for number in range(2000):
        if number in (150, 300, 420):
            performance.pause()
        elif number in (200, 380, 500):
            performance.play()
        if performance.is_over:
            break
        performance.step(0.02)
        if board.executed:
            samples.append((board.now / 1000, board.told().song, performance.position_ms))
    assert board.executed == 400
    gone, _, shown = np.diff(np.array(samples), axis=0).T
    told = np.diff(np.maximum.accumulate(np.array(samples)[:, 1]))  # a start has a lead
    assert (told <= gone + 1.5).all()
    assert (told == 0).sum() > 100
    assert (shown[:-2] > -2).all()  # ms, as the host guesses between two answers
    late = np.array([each.late for each in board.executions])
    gaps = np.diff([each.at for each in board.executions] - late)
    assert (abs(gaps - 25_000) < 1000).sum() == 399 - 3
    assert (np.sort(gaps)[-3:] > 900_000).all()


def test_a_duty_that_a_pause_interrupts_sounds_on_for_its_rest():
    performance, board = simulated()
    duties = Duties.of(
        start_ms=[0, 1000, 2000], duration_ms=1000, fingers=[1, 2, 4], cart=0, volume=60
    )
    performance.load(duties)
    performance.play()
    until(performance, lambda: board.told().song >= 1400, step=0.005)
    performance.pause()
    until(performance, lambda: performance.state == "paused", step=0.005)
    held = board.told().song
    assert (board.pose().fingers, board.pose().volume) == (0, 0)
    later = performance.now() + 3
    until(performance, lambda: performance.now() >= later)
    assert board.told().song == held
    performance.play()
    until(performance, lambda: board.pose().fingers == 2, seconds=2, step=0.005)
    begun = board.now
    assert board.pose().volume == 60
    until(performance, lambda: board.executed == 3, step=0.005)
    rest = board.executions[2].at - begun
    assert abs(rest - (2000 - held) * 1000) < 250_000  # the lead of a start is silent
    assert [each.index for each in board.executions] == [0, 1, 2]


def test_a_reboot_in_the_middle_of_a_duty_is_told_as_uncertain_and_never_doubled():
    for seed in range(6):
        performance, board = simulated(SimulatorOptions(seed=seed))
        board.reboot_before(40, is_torn=True)
        board.reboot_before(60)
        performance.load(song(100))
        performance.play()
        until(performance, lambda performance=performance: performance.is_over)
        assert performance.log.uncertain == {40}
        assert performance.log.report().uncertain == 1
        indices = [each.index for each in board.executions]
        assert [index for index in indices if index != 40] == [*range(40), *range(41, 100)]


def test_a_ring_that_runs_dry_waits_for_the_music_and_plays_it_in_time():
    duties = song(600, 10)
    performance, board = played(
        duties, SimulatorOptions(ring=64), faults={"silences": [(4.0, 5.5)]}
    )
    assert_is_the_song(duties, performance, board)
    report = performance.log.report()
    assert report.not_pressed["late"] == 0
    assert report.late_max_ms < 5


def test_a_clean_song_is_proved_and_logged_to_the_last_duty():
    duties = song(1076, 197)
    performance, board = played(duties)
    report = performance.log.report()
    assert_is_the_song(duties, performance, board)
    assert report.proved == 1076
    assert report.unlogged == 0
    assert report.not_pressed == {"late": 0, "cart": 0, "budget": 0}
    assert 0 < report.late_p50_ms <= report.late_p99_ms <= report.late_max_ms < 5
    gaps = np.diff([each.at - each.late for each in board.executions])
    assert abs(gaps - 197_000).max() < 2000  # the clock is moved by a ms at most


@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_any_number_of_duties_takes_seconds_and_eleven_bytes_each(count):
    duties = song(count, 10)
    performance, board = played(duties, seconds=2000)
    assert_is_the_song(duties, performance, board)
    assert performance.caller.traffic.data_bytes / count <= 11.5
    assert performance.log.report().proved == count


@pytest.mark.soak
def test_a_hundred_thousand_duties_with_every_fault():
    duties = song(100_000, 10)
    every = {"drop": 0.0005, "flip": 0.0005, "lose": 0.01, "silences": [(100.0, 102.0)]}
    performance, board = simulated(faults=every)
    board.reboot_before(30_000)
    board.reboot_before(70_000, is_torn=True)
    performance.load(duties)
    performance.play()
    until(performance, lambda: performance.is_over, seconds=3000, step=0.1)
    assert_is_the_song(duties, performance, board, torn=1)


def test_a_link_of_one_and_a_half_times_the_needed_rate_is_enough():
    duties = song(3000, 10)
    performance, board = played(duties, faults={"rate": 1.5 * 1100})
    report = performance.log.report()
    assert_is_the_song(duties, performance, board)
    assert report.late_max_ms < 5
    assert report.proved == 3000
    assert board.executions[-1].at - board.executions[0].at < 30_000_000


def test_two_seconds_of_silence_are_not_heard():
    performance, board = played(song(400, 50), faults={"silences": [(5.0, 7.0)]})
    assert_is_the_song(song(400, 50), performance, board)
    assert performance.log.report().late_max_ms < 5


def test_a_long_silence_pauses_and_nothing_is_left_out():
    duties = song(1500, 10)
    performance, board = played(duties, faults={"silences": [(5.0, 15.0)]})
    assert_is_the_song(duties, performance, board)
    assert performance.log.report().not_pressed["late"] == 0
    assert board.executions[-1].at > 25_000_000


def test_a_board_that_forgets_goes_on_where_it_was_heard_last():
    duties = song(300, 50)
    performance, board = simulated()
    performance.load(duties)
    performance.play()
    until(performance, lambda: board.executed >= 150)
    board.reboot(cause=0)
    until(performance, lambda: performance.is_over)
    indices = [each.index for each in board.executions]
    assert indices[-1] == 299
    assert set(indices) == set(range(300))
    assert performance.log.report().reboots == 1
    assert len(performance.log.uncertain) == 1


def test_catching_up_leaves_out_what_would_be_over_and_counts_it():
    duties = song(400, 50)
    performance, board = simulated(play=PlayOptions(recovery="catch_up"))
    board.reboot_before(100)
    performance.load(duties)
    performance.play()
    until(performance, lambda: performance.is_over)
    report = performance.log.report()
    indices = [each.index for each in board.executions]
    assert indices[:100] == list(range(100))
    assert indices[-1] == 399
    assert report.passed == 400 - len(indices)
    assert 14 <= report.passed <= 60  # 0.7 s of booting at 50 ms, and being noticed
    assert report.lost == 0


def test_a_board_that_reboots_without_end_is_given_up():
    performance, board = simulated(play=PlayOptions(restarts=3))
    for _ in range(10):
        board.reboot_before(20)
    performance.load(song(100))
    performance.play()
    with pytest.raises(PlaybackError, match="rebooted 4 times with no music between"):
        until(performance, lambda: performance.is_over)


def test_a_silent_board_is_given_up_in_the_end():
    performance, _ = simulated(
        faults={"silences": [(3.0, 1e9)]}, calls=LinkOptions(silence_seconds=5.0)
    )
    performance.load(song(1000))
    performance.play()
    with pytest.raises(PlaybackError, match="was silent for 5 s"):
        until(performance, lambda: performance.is_over)
    assert performance.state == "stopped"


# --- alarms, stops and hands


def test_an_emergency_stop_is_safe_with_its_own_bytes_and_latched_until_homed():
    performance, board = simulated()
    performance.load(song(500))
    performance.play()
    until(performance, lambda: board.executed >= 100)
    performance.emergency_stop()
    assert (board.pose().fingers, board.pose().volume) == (0, 0)
    until(performance, lambda: performance.state == "alarm")
    assert performance.text == "emergency stop"
    executed = board.executed
    assert len(board.executions) == executed
    with pytest.raises(PlaybackError, match="home the robot first"):
        performance.play()
    performance.home()
    until(performance, lambda: performance.state == "idle")
    assert len(board.executions) == executed
    performance.play()  # goes on where it was stopped
    until(performance, lambda: performance.is_over)
    indices = [each.index for each in board.executions]
    assert indices == list(range(500))


def test_a_tripped_switch_is_an_alarm_with_its_reason():
    link = SimulatorLink()
    performance, board = Performance(link), link.board
    performance.load(song(500))
    performance.play()
    until(performance, lambda: board.executed >= 100)
    board.trip(wire.BY_LIMIT)
    until(performance, lambda: performance.state == "alarm")
    assert performance.text == "limit switch"
    with pytest.raises(PlaybackError, match="limit switch"):
        perform(link, song(10))


def test_stop_is_the_beginning_again():
    performance, board = simulated()
    performance.load(song(200))
    performance.play()
    until(performance, lambda: board.executed >= 50)
    performance.stop()
    until(performance, lambda: performance.is_over)
    assert performance.state == "stopped"
    assert board.pose().volume == 0
    count = len(board.executions)
    performance.play()
    until(performance, lambda: performance.is_over)
    assert [each.index for each in board.executions[count:]] == list(range(200))
    report = performance.log.report()
    assert (report.lost, report.doubled) == (0, 0)
    assert report.executed == len(board.executions)


def test_parts_are_moved_by_hand_but_not_while_music_plays():
    performance, board = simulated()
    performance.home()
    until(performance, lambda: performance.is_over)
    performance.move(wire.CART, 7)
    performance.move(wire.FINGER, 2, 1)
    until(performance, lambda: performance.is_over)
    until(performance, lambda: not board.pose().is_moving)
    assert board.pose().cart == 7
    performance.move(wire.FINGER, 2, 1)
    until(performance, lambda: board.pose().fingers == 1 << 4)
    performance.move(wire.RELEASE)
    until(performance, lambda: board.pose().fingers == 0)
    performance.load(song(100))
    performance.play()
    with pytest.raises(PlaybackError, match="music plays"):
        performance.move(wire.CART, 3)


def test_the_gain_is_live():
    performance, board = simulated()
    duties = Duties.of(start_ms=[0, 1000], duration_ms=1000, fingers=1, cart=0, volume=80)
    performance.load(duties)
    performance.play()
    until(performance, lambda: board.executed == 1)
    assert board.pose().volume == 80
    performance.gain(50)
    until(performance, lambda: board.executed == 2)
    assert board.pose().volume == 40


def test_a_song_filled_first_begins_at_once_and_another_song_takes_its_place():
    performance, board = simulated()
    performance.load(song(100))
    performance.pause()
    until(performance, lambda: performance.is_ready)
    assert board.executions == []
    asked = performance.now()
    performance.play()
    until(performance, lambda: board.executed > 0)
    assert performance.now() - asked < 0.5
    other = song(60, seed=9)
    performance.load(other)
    performance.play()
    until(performance, lambda: performance.is_over)
    assert [each.record for each in board.executions[-60:]] == [
        other.to_bytes(index, index + 1) for index in range(60)
    ]


def test_without_a_song_there_is_nothing_to_play():
    performance, _ = simulated()
    with pytest.raises(PlaybackError, match="load one first"):
        performance.play()


def test_a_board_with_another_configuration_is_refused():
    performance, _ = simulated(SimulatorOptions(config=7), play=PlayOptions(config=8))
    performance.load(song(10))
    performance.play()
    with pytest.raises(PlaybackError, match="workbench pico deploy"):
        until(performance, lambda: performance.is_over)


# --- memory


def test_batches_halve_on_a_board_short_of_memory_and_the_song_is_whole():
    poor = SimulatorOptions(heap_bytes=41_000, program_bytes=40_000)
    duties = song(600, 50)
    performance, board = played(duties, poor)
    assert_is_the_song(duties, performance, board)
    assert performance.view().batch < 50


def test_a_board_with_no_memory_at_all_is_told():
    performance, _ = simulated(SimulatorOptions(heap_bytes=40_100, program_bytes=40_000))
    performance.load(song(100))
    performance.play()
    with pytest.raises(DeviceError, match="short of memory"):
        until(performance, lambda: performance.is_over)


# --- several boards


def test_several_boards_begin_at_the_same_moment():
    duties = [song(200, 50, seed=seed) for seed in range(3)]
    time = SimulatorLink().time
    links = [
        SimulatorLink(SimulatedBoard(SimulatorOptions(drift_ppm=drift, seed=seed)), time=time)
        for seed, drift in enumerate((-80.0, 0.0, 90.0))
    ]
    performances = [Performance(link) for link in links]
    for performance, each in zip(performances, duties, strict=True):
        performance.load(each)
    perform_together(performances)
    for performance, link, each in zip(performances, links, duties, strict=True):
        assert_is_the_song(each, performance, link.board)
    begun = [link.host_at(link.board.executions[0].at) for link in links]
    assert max(begun) - min(begun) < 0.003  # starts are told in whole milliseconds
    ended = [link.host_at(link.board.executions[-1].at) for link in links]
    assert max(ended) - min(ended) < 0.006


# --- the log


def test_the_log_is_a_table_with_a_row_a_duty(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    duties = song(150, 50)
    performance, board = simulated()
    performance.load(duties)
    performance.play()
    until(performance, lambda: board.executed >= 60)
    performance.seek(20)
    until(performance, lambda: performance.is_over)
    path = tmp_path / "log.parquet"
    performance.log.save(path)
    table = pq.read_table(path)
    assert table["index"].to_pylist() == [each.index for each in board.executions]
    assert table["is_right"].to_pylist() == [True] * table.num_rows
    assert set(table["pass"].to_pylist()) == {0, 1}
    assert table["late_ms"].to_pylist() == [each.late // 10 / 100 for each in board.executions]


def test_a_board_that_plays_something_else_is_found_out():
    duties = song(100)
    performance, board = simulated()
    performance.load(duties)
    performance.play()
    until(performance, lambda: board.executed >= 20)
    start, duration, fingers, cart, volume = board._ring[3]
    board._ring[3] = (start, duration, fingers ^ 1 if fingers & 3 != 1 else 0, cart, volume)
    until(performance, lambda: performance.is_over)
    report = performance.log.report()
    assert report.wrong + report.reordered > 0
    assert not report.is_whole
    assert report.proved < 100


def test_progress_is_shown_while_it_plays():
    shown = []
    perform(SimulatorLink(), song(200), show=shown.append)
    assert [each.done for each in shown] == sorted(each.done for each in shown)
    assert shown[-1].total == 200
    assert "playing" in {each.stage for each in shown}
