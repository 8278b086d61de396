"""Plans: exact, feasible, and nothing lost that can be played."""

import dataclasses

import numpy as np
import pytest
from every_way import best_worth, finger_at, presses_of, worth_of
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.device.duties import Duties
from workbench.errors import PlaybackError
from workbench.playback.fingering import part_of
from workbench.playback.options import PlanOptions, RobotOptions
from workbench.playback.plan import infeasible_moves
from workbench.playback.planner import best_shift, plan_pieces, plan_song
from workbench.playback.song import song_of

ROBOT = RobotOptions()
PLAIN = PlanOptions(search="none", fold="none")
SMALL = RobotOptions(positions=4, highest_pitch=70)

NOTE = st.tuples(
    st.integers(0, 6000), st.integers(1, 3000), st.integers(40, 95), st.integers(1, 127)
)
NOTES = st.lists(NOTE, min_size=1, max_size=60)


def song_from(notes):
    """Return the song of (onset ms, length ms, pitch, velocity)."""
    onset, length, pitch, velocity = (np.array(column) for column in zip(*notes, strict=True))
    return song_of(
        seconds=onset / 1000, end_seconds=(onset + length) / 1000, pitch=pitch, velocity=velocity
    )


def random_groups(generator, robot=ROBOT, number=6, low=130, high=700):
    """Return duties of 1 to 4 notes within 8 neighbouring semitones, some of them long."""
    groups, time = [], 0
    for _ in range(number):
        lowest = int(generator.integers(robot.lowest_pitch, robot.highest_pitch - 6))
        size = int(generator.integers(1, 5))
        pitches = {lowest + int(p) for p in generator.integers(0, 8, size)}
        ends = {pitch: time + int(generator.choice([90, 250, 600, 1500])) for pitch in pitches}
        groups.append((time, sorted(ends.items())))
        time += int(generator.integers(low, high))
    return groups


def song_of_groups(groups):
    rows = [(time, end - time, pitch, 64) for time, notes in groups for pitch, end in notes]
    return song_from(rows)


def planned_worth(groups, robot, options):
    plan = plan_song(song_of_groups(groups), robot, options)
    later = plan.report.lead_ms
    highest = {(time + later, max(pitch for pitch, _ in notes)) for time, notes in groups}
    return worth_of(presses_of(plan.duties, robot), options, highest)


def assert_best(seeds, robot, options, **spread):
    ways = []
    for seed in seeds:
        groups = random_groups(np.random.default_rng(seed), robot, **spread)
        best, count = best_worth(groups, robot, options)
        assert planned_worth(groups, robot, options) == best, f"seed {seed}"
        ways.append(count)
    return ways


# --- the best of all ways


def test_a_plan_is_worth_as_much_as_the_best_of_every_way():
    ways = assert_best(range(100), SMALL, PLAIN)
    assert np.median(ways) > 100  # there is something to choose


@pytest.mark.parametrize(
    "weights",
    [
        {"hold_weight": 40.0, "move_weight": 1.0},
        {"hold_weight": 0.0, "melody_weight": 0.0, "move_weight": 0.0},
        {"move_weight": 8.0, "hold_weight": 15.0},
    ],
)
def test_so_it_is_whatever_counts_most(weights):
    assert_best(range(30, 60), SMALL, dataclasses.replace(PLAIN, **weights))


def test_so_it_is_on_the_whole_keyboard():
    assert_best(range(2000, 2006), ROBOT, PLAIN, low=130, high=400)


@pytest.mark.soak
def test_so_it_is_for_a_thousand_songs_on_the_whole_keyboard():
    assert_best(range(1000), ROBOT, PLAIN, low=130, high=500)


# --- what every plan keeps to


def assert_sound(song, plan):
    """Refuse a plan whose duties are not what it says, or cannot be done."""
    report = plan.report
    presses = presses_of(plan.duties, plan.robot)
    heard = {(press.on, press.pitch) for press in presses}
    played = np.flatnonzero(plan.is_played)
    at = song.onset_ms[played] + report.lead_ms
    assert set(zip(at.tolist(), plan.pitch[played].tolist(), strict=True)) == heard
    assert report.notes == len(song) == report.notes_played + report.notes_dropped
    assert report.notes_played == len(played) == len(presses) + report.notes_merged
    assert report.infeasible_moves == 0
    assert report.onset_error_ms_max <= 0.5 + 1e-6
    folds = plan.pitch[played] - song.pitch[played] - report.shift
    assert (folds % 12 == 0).all()
    assert report.notes_folded == np.count_nonzero(folds)
    assert report.duties == len(plan.duties)
    assert report.duration_ms == plan.duties.end_ms
    assert plan.duties.fingers[0] == plan.duties.fingers[-1] == 0
    assert plan.duties.volume[-1] == 0
    assert presses[0].on >= min(report.lead_ms, 1000)


@given(NOTES, st.sampled_from(["none", "range", "reach"]), st.sampled_from(["none", "octaves"]))
@settings(max_examples=50)
def test_duties_sound_as_the_plan_says_and_can_be_done(notes, fold, search):
    song = song_from(notes)
    try:
        plan = plan_song(song, ROBOT, PlanOptions(fold=fold, search=search))
    except PlaybackError:
        assert fold == "none"
        assert not ((song.pitch >= 53) & (song.pitch <= 84)).any()
        return
    assert_sound(song, plan)


@given(NOTES, st.integers(1, 9), st.integers(1, 30))
@settings(max_examples=40)
def test_a_plan_in_pieces_is_the_whole_plan(notes, block, look_back):
    song = song_from(notes)
    part = part_of(song, ROBOT, PLAIN, 0)
    whole = list(plan_pieces(part, ROBOT, PLAIN))
    pieces = list(plan_pieces(part, ROBOT, PLAIN, block=block))
    assert b"".join(p.duties.to_bytes() for p in pieces) == b"".join(
        p.duties.to_bytes() for p in whole
    )
    hasty = list(plan_pieces(part, ROBOT, PLAIN, block=block, look_back=look_back))
    at = 0
    for piece in hasty:  # not the best perhaps, and still to be done
        assert piece.duties.start_ms[0] == at
        at = piece.duties.end_ms
    duties = [duty for piece in hasty for duty in piece.duties]
    presses_of(duties, ROBOT)


def test_a_long_song_comes_in_pieces_long_before_its_end():
    groups = random_groups(np.random.default_rng(1), number=3000, low=100, high=500)
    part = part_of(song_of_groups(groups), ROBOT, PLAIN, 0)
    pieces = list(plan_pieces(part, ROBOT, PLAIN, block=64))
    assert len(pieces) > 40
    assert max(len(piece.duties) for piece in pieces) < 600


def test_notes_within_reach_from_one_place_are_all_played():
    """A scale of white keys and one of black ones, each note until the next."""
    for cart in range(12):
        pitches = [pitch for pitch in range(53, 85) if finger_at(ROBOT, cart, pitch)]
        notes = [(200 * n, 200, pitch, 80) for n, pitch in enumerate(pitches)]
        report = plan_song(song_from(notes), ROBOT, PLAIN).report
        assert report.notes_dropped == 0
        assert report.notes_played == len(pitches) > 11


def test_a_melody_moves_the_cart_in_its_rests():
    notes = [(0, 300, 53, 80), (1200, 300, 84, 80), (2400, 300, 53, 80), (3600, 300, 84, 80)]
    plan = plan_song(song_from(notes), ROBOT, PLAIN)
    assert plan.report.notes_played == 4
    assert plan.report.moves == 3
    assert_sound(song_from(notes), plan)


def test_too_short_a_rest_costs_a_note_and_not_a_dragged_key():
    notes = [(0, 100, 53, 80), (400, 100, 84, 80)]
    plan = plan_song(song_from(notes), ROBOT, PLAIN)
    assert plan.report.notes_played == 1
    assert plan.report.moves == 0


def test_a_pedal_note_delays_no_melody():
    """The notes that the original pushed to 4 s, 4.05 s and so on."""
    notes = [(0, 4000, 60, 90)] + [(62 + 500 * n, 400, 64 + n % 3, 80) for n in range(8)]
    song = song_from(notes)
    plan = plan_song(song, ROBOT, PLAIN)
    assert plan.report.notes_dropped == 0
    assert plan.report.onset_error_ms_max == 0
    presses = presses_of(plan.duties, ROBOT)
    assert [press.on - plan.report.lead_ms for press in presses] == sorted(n[0] for n in notes)
    assert [press.off - press.on for press in presses if press.pitch == 60] == [4000]


def test_a_note_struck_again_is_lifted_first():
    song = song_from([(0, 500, 60, 80), (500, 500, 60, 80)])
    presses = presses_of(plan_song(song, ROBOT, PLAIN).duties, ROBOT)
    times = [(press.on - 1000, press.off - 1000) for press in presses]
    assert times == [(0, 500 - ROBOT.lift_ms), (500, 1000)]


def test_of_two_keys_of_one_finger_the_highest_of_the_chord_is_played():
    pair = next(
        (low, high)
        for low in range(53, 84)
        for high in range(low + 1, 85)
        if all(
            (a := finger_at(ROBOT, cart, low)) is None
            or (b := finger_at(ROBOT, cart, high)) is None
            or a[0] == b[0]
            for cart in range(12)
        )
        and any(finger_at(ROBOT, cart, low) and finger_at(ROBOT, cart, high) for cart in range(12))
    )
    plan = plan_song(song_from([(0, 300, pair[0], 80), (0, 300, pair[1], 80)]), ROBOT, PLAIN)
    assert plan.pitch.tolist() == [-1, pair[1]]


def test_a_held_note_is_not_cut_for_one_that_is_worth_less():
    notes = [(0, 4000, 53, 90), (1000, 100, 84, 90)]
    dear = dataclasses.replace(PLAIN, hold_weight=10.0)
    assert plan_song(song_from(notes), ROBOT, dear).pitch.tolist() == [53, -1]
    cheap = dataclasses.replace(PLAIN, hold_weight=0.1)
    assert plan_song(song_from(notes), ROBOT, cheap).pitch.tolist() == [53, 84]


def test_a_note_longer_than_a_duty_and_than_a_finger_may_hold_is_let_go():
    song = song_from([(0, 200_000, 60, 90), (190_000, 500, 62, 90)])
    plan = plan_song(song, ROBOT, PLAIN)
    assert_sound(song, plan)
    assert plan.report.notes_played == 2
    assert plan.duties.duration_ms.max() == 65_535


def test_unisons_of_two_channels_are_one_press_and_both_played():
    song = song_of(
        seconds=[0, 0, 1], end_seconds=[0.5, 0.9, 2], pitch=[60, 60, 62], channel=[1, 2, 1]
    )
    plan = plan_song(song, ROBOT, PLAIN)
    assert (plan.report.notes_played, plan.report.notes_merged) == (3, 1)
    assert presses_of(plan.duties, ROBOT)[0].off - plan.report.lead_ms == 900


def test_velocity_becomes_volume_at_the_onset():
    song = song_from([(0, 300, 60, 127), (500, 300, 62, 1), (500, 300, 64, 64), (900, 90, 65, 1)])
    duties = list(plan_song(song, ROBOT, PLAIN).duties)
    assert [volume for *_, volume in duties if volume != 255] == [100, 50, 1, 0]


def test_the_silence_ahead_takes_the_cart_anywhere():
    song = song_from([(0, 300, 84, 80)])
    plan = plan_song(song, ROBOT, PLAIN)
    assert next(iter(plan.duties))[:4] == (0, 1000, 0, plan.duties.cart[-1])
    none = plan_song(song, ROBOT, dataclasses.replace(PLAIN, lead_ms=0))
    assert next(iter(none.duties))[0] == 0
    assert none.duties.fingers[0] != 0
    late = song_from([(5000, 300, 84, 80)])
    assert plan_song(late, ROBOT, PLAIN).report.lead_ms == 0


# --- the check that every report makes


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ([(1000, 0, 3), (500, 1, 3), (500, 0, 4)], 0),
        ([(274, 1, 3), (274, 0, 4), (9, 1, 4)], 0),
        ([(274, 1, 3), (273, 0, 4), (9, 1, 4)], 1),  # too short by a millisecond
        ([(274, 1, 3), (900, 1, 4)], 1),  # a finger on a key
        ([(9, 1, 3), (200, 0, 4), (74, 0, 4), (9, 1, 4)], 0),  # a silence of two duties
        ([(9, 1, 3), (200, 0, 4), (900, 0, 11), (9, 1, 11)], 1),  # away before it was there
        ([(9, 1, 0), (831, 0, 11), (9, 1, 11), (830, 0, 0), (9, 1, 0)], 1),
    ],
)
def test_moves_that_cannot_be_are_counted(rows, wrong):
    length, fingers, cart = (np.array(column) for column in zip(*rows, strict=True))
    start = np.cumsum(length) - length
    duties = Duties.of(start_ms=start, duration_ms=length, fingers=fingers, cart=cart)
    assert infeasible_moves(duties, ROBOT) == wrong


# --- folding and shifts


def test_notes_beyond_the_keyboard_are_folded_or_dropped_as_asked():
    song = song_from([(0, 300, 36, 80), (1000, 300, 60, 80), (2000, 300, 96, 80)])
    folded = plan_song(song, ROBOT, PlanOptions(search="none"))
    assert folded.pitch.tolist() == [60, 60, 84]
    assert folded.report.notes_folded == 2
    assert plan_song(song, ROBOT, PLAIN).pitch.tolist() == [-1, 60, -1]


def test_folding_to_what_is_in_reach_plays_more():
    rng = np.random.default_rng(5)
    song = song_from([(150 * n, 140, int(rng.integers(53, 85)), 80) for n in range(200)])
    plans = [plan_song(song, ROBOT, dataclasses.replace(PLAIN, fold=f)) for f in ("range", "reach")]
    assert plans[1].report.notes_played > 1.2 * plans[0].report.notes_played
    assert_sound(song, plans[1])


def test_a_song_of_another_register_is_shifted_by_whole_octaves():
    song = song_from([(400 * n, 350, 29 + n % 12, 80) for n in range(24)])
    plan = plan_song(song, ROBOT, PlanOptions())
    assert plan.report.shift % 12 == 0
    assert plan.report.shift > 0
    assert plan.report.notes_folded == 0
    assert plan.report.notes_dropped == 0


def test_a_shift_by_semitones_finds_the_keys_that_lie_well():
    """F3 and G3 are always keys of one finger; G3 and A3 are not."""
    song = song_from([(400 * n, 300, pitch, 80) for n in range(20) for pitch in (53, 55)])
    fixed = plan_song(song, ROBOT, PLAIN).report
    free = plan_song(song, ROBOT, dataclasses.replace(PLAIN, search="semitones")).report
    assert (fixed.notes_played, fixed.shift) == (20, 0)
    assert free.notes_played == 40
    assert free.shift != 0


def test_a_song_that_fits_is_not_shifted():
    song = song_from([(300 * n, 200, 60 + n % 5, 80) for n in range(40)])
    for search in ("octaves", "semitones"):
        assert best_shift(song, ROBOT, PlanOptions(search=search)) == 0


def test_a_long_song_is_shifted_by_what_slices_of_it_say():
    low = [(200 * n, 150, 41 + n % 12, 80) for n in range(6000)]
    assert best_shift(song_from(low), ROBOT, PlanOptions()) == 12


def test_a_song_without_notes_is_refused():
    with pytest.raises(PlaybackError, match="none of its 0 notes"):
        plan_song(song_of(seconds=[], end_seconds=[], pitch=[]))


def test_transpose_comes_before_all():
    song = song_from([(0, 300, 60, 80)])
    plan = plan_song(song, ROBOT, dataclasses.replace(PLAIN, transpose=5))
    assert plan.pitch.tolist() == [65]
    assert plan.report.shift == 5
    assert plan.report.notes_folded == 0


def test_a_song_with_nothing_on_the_keys_is_refused():
    with pytest.raises(PlaybackError, match="none of its 1 notes"):
        plan_song(song_from([(0, 300, 20, 80)]), ROBOT, PLAIN)


# --- another robot


def test_another_robot_plays_by_its_own_fingers():
    robot = RobotOptions(fingers="0,2", positions=3, highest_pitch=65, position_keys=4)
    song = song_from([(0, 300, 53, 80), (2000, 300, 57, 80), (2000, 300, 60, 80)])
    plan = plan_song(song, robot, PLAIN)
    assert_sound(song, plan)
    assert plan.report.notes_played == 2
    fixed = RobotOptions(positions=1)
    assert plan_song(song, fixed, PLAIN).report.moves == 0
