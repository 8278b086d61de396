"""The robot's keys, fingers and cart: the original's tables, and laws for any robot."""

import json

import numpy as np
import pytest
from every_way import finger_at, need_ms, pitch_at
from hypothesis import given
from hypothesis import strategies as st

from workbench.device.deploy import BoardOptions
from workbench.errors import OptionsError
from workbench.playback.agreement import disagreements
from workbench.playback.flight import flight_seconds, move_milliseconds
from workbench.playback.folding import fitted, shifts_to_try
from workbench.playback.keyboard import folded_reach, key_of, pitch_name, reach_of
from workbench.playback.options import PlanOptions, RobotOptions, read_robot

ROBOT = RobotOptions()
NAMED = {
    0: ["F3", "G3", "A3", "B3", "C4", "D4", "E4", "F4", "F#3", "G#3", "A#3", "C#4", "D#4"],
    6: ["E4", "F4", "G4", "A4", "B4", "C5", "D5", "E5", "F#4", "G#4", "A#4", "C#5"],
    11: ["C5", "D5", "E5", "F5", "G5", "A5", "B5", "C6", "C#5", "D#5", "F#5", "G#5", "A#5"],
}


# --- the cart


def test_flights_last_as_long_as_the_originals():
    seconds = [flight_seconds(ROBOT, distance) for distance in range(1, 12)]
    expected = [0.173, 0.245, 0.301, 0.355, 0.409, 0.462, 0.516, 0.570, 0.623, 0.677, 0.731]
    assert seconds == pytest.approx(expected, abs=0.001)
    assert flight_seconds(ROBOT, 0) == 0


@given(st.integers(1, 20_000), st.floats(1000, 1e6), st.floats(100, 1e5), st.integers(0, 500))
def test_no_detour_is_shorter_than_the_way(steps, acceleration, cruise, clear):
    robot = RobotOptions(
        position_steps=steps, acceleration=acceleration, cruise=cruise, clear_ms=clear
    )
    need = move_milliseconds(robot)
    assert (np.diff(need) >= 0).all()
    for first in range(1, 6):
        for second in range(1, 6):
            assert need[first + second] <= need[first] + need[second]


def test_a_move_needs_the_keys_clear_and_the_flight():
    assert move_milliseconds(ROBOT).tolist() == [need_ms(ROBOT, d) for d in range(12)]
    assert move_milliseconds(ROBOT)[[0, 1, 11]].tolist() == [0, 274, 831]


# --- the keys


@pytest.mark.parametrize("cart", NAMED)
def test_the_fingers_reach_what_the_originals_do(cart):
    reach = reach_of(ROBOT)
    reached = np.flatnonzero(reach.finger[cart] >= 0)
    assert {pitch_name(int(pitch)) for pitch in reached} == set(NAMED[cart])


def test_keys_are_counted_as_the_cart_meets_them():
    keys = [key_of(ROBOT, pitch) for pitch in range(53, 85)]
    assert keys[:13] == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14]
    assert keys[-1] == 36
    assert reach_of(ROBOT).reachable[53:85].all()
    assert np.count_nonzero(reach_of(ROBOT).reachable) == 32


def test_a_finger_and_its_key_belong_to_each_other():
    reach = reach_of(ROBOT)
    for cart in range(12):
        for pitch in range(128):
            found = int(reach.finger[cart, pitch]), int(reach.side[cart, pitch])
            assert found == (finger_at(ROBOT, cart, pitch) or (-1, 0))
            if found[0] >= 0:
                assert pitch_at(ROBOT, cart, *found) == pitch


def test_folding_takes_the_nearest_octave_and_no_other_pitch_class():
    plain, folded = reach_of(ROBOT), folded_reach(ROBOT)
    assert not plain.is_folded.any()
    for cart in range(12):
        for pitch in range(128):
            octaves = [p for p in range(pitch % 12, 128, 12) if plain.finger[cart, p] >= 0]
            if not octaves:
                assert folded.finger[cart, pitch] == -1
                continue
            nearest = min(octaves, key=lambda p: (abs(p - pitch), -p))
            assert folded.finger[cart, pitch] == plain.finger[cart, nearest]
            assert folded.side[cart, pitch] == plain.side[cart, nearest]
            assert folded.is_folded[cart, pitch] == (nearest != pitch)


# --- folding and shifts


@given(st.lists(st.integers(0, 127), min_size=1), st.integers(-48, 48))
def test_folding_keeps_the_pitch_class_and_leaves_alone_what_fits(pitches, shift):
    pitch, reachable = np.array(pitches), reach_of(ROBOT).reachable
    played, is_folded = fitted(pitch, reachable, shift=shift, folds=True)
    assert ((played - pitch - shift) % 12 == 0).all()
    assert reachable[played].all()
    inside = (pitch + shift >= 53) & (pitch + shift <= 84)
    assert (is_folded == ~inside).all()
    unfolded, none = fitted(pitch, reachable, shift=shift, folds=False)
    assert (unfolded == np.where(inside, pitch + shift, -1)).all()
    assert not none.any()


@given(st.lists(st.integers(0, 127), min_size=1), st.sampled_from(["octaves", "semitones"]))
def test_shifts_to_try_hold_no_shift_and_the_one_that_fits_most(pitches, search):
    pitch, reachable = np.array(pitches), reach_of(ROBOT).reachable
    shifts = shifts_to_try(pitch, reachable, search=search)
    step = 12 if search == "octaves" else 1
    most = max(
        np.count_nonzero((pitch + s >= 53) & (pitch + s <= 84)) for s in range(-36, 37, step)
    )
    fits = [np.count_nonzero((pitch + s >= 53) & (pitch + s <= 84)) for s in shifts]
    assert 0 in shifts
    assert max(fits) == most
    assert len(shifts) <= 12
    assert all(s % step == 0 for s in shifts)


# --- options


def test_another_robot_is_a_file(tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text("positions: 3\nfingers: '0,2 4,6'\nclear_ms: 20\n")
    assert read_robot(path) == RobotOptions(positions=3, fingers="0,2 4,6", clear_ms=20)
    path.write_text(json.dumps({"positions": 4}))
    assert read_robot(path) == RobotOptions(positions=4)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("positions: 13", r"positions: 13 is outside \[1..12\]"),
        ("fingers: '0,2 x'", "two keys a finger"),
        ("fingers: '0,2 2,4'", "gives one key to two"),
        ("fingers: ''", "0 of them"),
        ("fingerz: '0,2'\nclear_ms: -1", "did you mean 'fingers'(.|\n)*clear_ms: -1"),
        ("highest_pitch: 20", "highest_pitch: 20 is below 53"),
        ("- 1", "no robot"),
        ("a: [", "no readable robot"),
    ],
)
def test_a_file_that_is_no_robot_is_refused_with_all_mistakes(tmp_path, text, told):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(OptionsError, match=told) as error:
        read_robot(path)
    assert str(path) in str(error.value)
    with pytest.raises(OptionsError, match="no readable robot"):
        read_robot(tmp_path / "none.yaml")


@pytest.mark.parametrize("channels", ["0", "17", "1,x", "1;2", "-1"])
def test_channels_that_are_none_are_refused(channels):
    with pytest.raises(OptionsError, match="channels"):
        PlanOptions(channels=channels)


# --- the board


def test_the_melodica_and_its_board_agree():
    assert disagreements(ROBOT, BoardOptions()) == []


@pytest.mark.parametrize(
    ("robot", "board", "told"),
    [
        ({"position_steps": 1881}, {}, "rail of 20691 steps, the board rail_steps 20680"),
        ({}, {"acceleration": 249_999}, "acceleration 250000, the board 249999"),
        ({"cruise": 35_001.0}, {}, "cruise 35001"),
        ({}, {"clear_ms": 101}, "clear_ms 100"),
        ({}, {"hold_ms": 9_999}, "longest_hold_ms 10000"),
        ({"lift_ms": 50}, {}, "100 presses in 10 s, the board 80"),
        ({}, {"lowest_note": 41}, "lowest_pitch 53"),
    ],
)
def test_what_a_board_would_not_do_as_planned_is_told(robot, board, told):
    found = disagreements(RobotOptions(**robot), BoardOptions(**board))
    assert len(found) == 1
    assert told in found[0]
