"""A map beside a human one: as values, as pictures, and by the command."""

import json
import math
from dataclasses import replace

import cyclopts
import numpy as np
import pytest
from hand_made import BLUE, TIMES, at, chart, charts, mirrored
from hypothesis import given, settings
from map_folders import write_map

from workbench.beatmap.evaluate_command import evaluate
from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.evaluation import ChartPair, evaluate_chart, evaluate_charts
from workbench.beatmap.writer.evaluation_maps import map_pairs
from workbench.beatmap.writer.evaluation_pictures import comparison
from workbench.beatmap.writer.metrics import profile_of
from workbench.beatmap.writer.tokens import DIRECTION_NAMES
from workbench.demo.songs import MAPS, SongCorpusOptions, make_song_corpus
from workbench.errors import BeatmapError, SourceError


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Two songs of the demo, of two formats."""
    folder = tmp_path_factory.mktemp("demo")
    make_song_corpus(folder, SongCorpusOptions(songs=2, seconds=12, broken=0))
    return folder / MAPS


def pair_of(found, wanted, name="Standard Expert", **more):
    return ChartPair(
        name=name, found=found, wanted=wanted, found_times=TIMES, wanted_times=TIMES, **more
    )


def readable(root):
    for place in map_places(root):
        with place.open() as files:
            level = read_level(files)
        yield from (beatmap for beatmap in level.beatmaps if beatmap.is_readable)


# --- values


@settings(max_examples=40)
@given(charts().filter(lambda objects: len(objects.notes)))
def test_a_map_is_as_good_as_itself(objects):
    numbers = evaluate_chart(objects, objects, TIMES, TIMES).numbers()
    assert all(value == 1 for name, value in numbers.items() if name.startswith("onset_"))
    assert all(numbers[name] == 0 for name in numbers if "_kl" in name or name == "nps_error")
    human = {name for name in numbers if name.endswith("_wanted")}
    assert len(human) == 9
    assert all(numbers[name] == numbers[name.removesuffix("_wanted")] for name in human)


@settings(max_examples=40)
@given(charts(is_odd=True), charts(is_odd=True))
def test_every_number_of_any_two_maps_is_finite(found, wanted):
    evaluation = evaluate_charts([pair_of(found, wanted)])
    values = json.loads(json.dumps(evaluation.as_json(), allow_nan=False))
    assert values["micro"] == pytest.approx(values["charts"]["Standard Expert"])
    assert values["mean"] == pytest.approx(values["micro"])
    assert all(value >= 0 for value in values["micro"].values())


@settings(max_examples=40)
@given(charts(), charts())
def test_a_mirror_changes_no_score_but_swaps_the_hands(found, wanted):
    ours = evaluate_chart(found, wanted, TIMES, TIMES).numbers()
    seen = evaluate_chart(mirrored(found), mirrored(wanted), TIMES, TIMES).numbers()
    for name in ("right_hand_share", "right_hand_share_wanted"):
        ours[name] = 1 - ours[name]
    for name in ("direction_kl", "cell_kl"):
        left, right = f"{name}_left", f"{name}_right"
        ours[left], ours[right] = ours[right], ours[left]
    assert seen == pytest.approx(ours)


def test_times_are_seconds_of_each_maps_own_tempo_and_the_shift_is_taken_off():
    seconds = np.arange(2, 40, 0.25)
    slow = replace(at(seconds), notes=replace(at(seconds).notes, beat=seconds))  # at 60 bpm
    shifted = TimeMap(beat=np.zeros(1), seconds=np.array([3.0]), bpm=np.array([60.0]))
    scores = evaluate_chart(slow, at(seconds), shifted, TIMES, shift=3.0)
    assert scores.numbers()["onset_f1_20ms"] == 1
    assert scores.nps_error == pytest.approx(0)
    late = evaluate_chart(slow, at(seconds), shifted, TIMES, shift=2.97).numbers()
    assert (late["onset_f1_50ms"], late["onset_f1_20ms"]) == (1, 0)


def test_density_is_off_by_notes_a_second_either_way():
    dense, thin = at(np.arange(0, 10.1, 0.25)), at(np.arange(0, 10.1, 0.5))
    for found, wanted in ((dense, thin), (thin, dense)):
        assert evaluate_chart(found, wanted, TIMES, TIMES).nps_error == pytest.approx(2)


def test_directions_and_cells_can_be_judged_by_a_corpus():
    found, wanted = at(range(1, 40)), chart([(i, 0, 2, BLUE, 0) for i in range(40)])
    by_itself = evaluate_chart(found, wanted, TIMES, TIMES, reference=profile_of(found, TIMES))
    assert by_itself.cell_kl == by_itself.direction_kl == (0, 0, 0)
    by_human = evaluate_chart(found, wanted, TIMES, TIMES)
    assert by_human.cell_kl[0] == 0 < by_human.cell_kl[1] == by_human.cell_kl[2]


def test_together_every_onset_counts_the_same_and_on_average_every_chart():
    long, short = np.arange(1, 100, 0.5), np.arange(1, 3, 0.5)
    pairs = [
        pair_of(at(long[:99]), at(long), "long"),
        pair_of(at(short), at(short), "short"),
    ]
    evaluation = evaluate_charts(pairs, extra={"nats_a_note": 1.5})
    values = evaluation.as_json()
    assert values["nats_a_note"] == 1.5 and list(values["charts"]) == ["long", "short"]
    assert values["micro"]["onset_recall_50ms"] == pytest.approx(103 / 202)
    assert values["mean"]["onset_recall_50ms"] == pytest.approx((99 / 198 + 1) / 2)
    assert values["micro"]["notes"] == 103


def test_charts_without_a_name_of_their_own_are_refused():
    with pytest.raises(BeatmapError, match="no charts"):
        evaluate_charts([])
    with pytest.raises(BeatmapError, match="two charts are called 'one'"):
        evaluate_charts([pair_of(at([1]), at([1]), "one")] * 2)


# --- maps of people and of programs


def test_maps_of_the_demo_go_to_and_fro_and_hide_nothing(demo):
    profiles = [profile_of(beatmap.objects, beatmap.time_map) for beatmap in readable(demo)]
    assert len(profiles) > 5 and sum(profile.swings for profile in profiles) > 200
    for profile in profiles:
        assert (profile.parity_errors, profile.resets, profile.vision_blocks) == (0, 0, 0)
        assert 0.5 < profile.nps < 8 and profile.numbers()["peak_swings_a_second"] < 12


@pytest.mark.beatsaber
def test_numbers_of_human_maps_are_finite_and_plausible(beatsaber):
    numbers = [profile_of(b.objects, b.time_map).numbers() for b in readable(beatsaber)]
    assert len(numbers) > 40
    assert all(math.isfinite(value) for each in numbers for value in each.values())
    breaks = [each["parity_errors_per_1000"] + each["resets_per_1000"] for each in numbers]
    assert max(breaks) < 1000 and np.median(breaks) < 300
    assert max(each["peak_swings_a_second"] for each in numbers) < 12


@pytest.mark.beatsaber
def test_patterns_planted_against_parity_are_found(beatsaber):
    kinds = {
        f"{b.characteristic} {b.difficulty}": profile_of(b.objects, b.time_map)
        for b in readable(beatsaber / "v4_test_track")
    }
    assert kinds["OneSaber ExpertPlus"].parity_errors == 16
    assert kinds["Standard ExpertPlus"].resets == 52
    assert kinds["360Degree ExpertPlus"].vision_blocks == 2


# --- pictures


ODD = chart([(2, -2, 4, 0, 1100), (3.5, 1, 1, 3, 2), (4, 1, 1, 1, 8), (90, 3, 0, 1, 3)])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (ODD, at(np.arange(1, 300, 0.3))),
        (chart([]), chart([])),
        (at([1]), chart([])),
        (chart([]), at([1])),
        (at([1]), ODD),
    ],
)
def test_any_two_charts_can_be_drawn(found, wanted):
    picture = comparison(pair_of(found, wanted))
    assert picture._repr_png_().startswith(b"\x89PNG")
    told = f"{len(found.notes)} notes beside {len(wanted.notes)} of a human map"
    assert told in picture.caption


def test_the_picture_shows_what_is_found_missed_and_not_wanted():
    wanted = np.arange(1.0, 9.0)
    found = np.concatenate([wanted[:4], wanted[4:6] + 0.03, [20.5]])
    along, apart, *_ = comparison(pair_of(at(found), at(wanted))).figure.axes
    bars = {bar.get_label(): sum(r.get_height() for r in bar) for bar in along.containers}
    assert bars == {"found within 20 ms": 4, "within 50 ms": 2, "missed": 2, "not wanted": -1}
    assert along.get_title(loc="left") == "onset F1 within 50 ms: 0.800, 20 ms: 0.533"
    assert sum(r.get_height() for r in apart.containers[0]) == 6


def test_a_rose_is_round_and_its_petals_stand_where_notes_are_cut():
    found, wanted = chart([(1, 1, 0, BLUE, 2), (2, 1, 0, BLUE, 1)]), chart([(1, 1, 0, BLUE, 1)])
    rose = comparison(pair_of(found, wanted)).figure.axes[5]  # behind three, and the red hand's two
    ours, theirs = (dict(zip(DIRECTION_NAMES, c, strict=False)) for c in rose.containers)
    for name, degrees in (("left", 180), ("down", 270)):
        petal = ours[name]
        middle = np.rad2deg(petal.get_x() + petal.get_width() / 2)
        assert petal.get_height() == pytest.approx(0.5**0.5) and abs(middle - degrees) < 10
    assert (theirs["left"].get_height(), theirs["down"].get_height()) == (0, 1)
    assert rose.get_xlim() == (0, 2 * np.pi)


def test_pictures_of_other_numbers_have_other_digests():
    one, other = at([1, 2, 3]), at([1, 2, 4])
    same = [comparison(pair_of(one, other)).digest for _ in range(2)]
    assert same[0] == same[1] != comparison(pair_of(one, one)).digest


# --- by the command


def test_the_command_judges_a_map_by_itself(demo):
    reply = evaluate(demo, demo)
    assert reply.code == 0 and reply.values["alone"] == [] and reply.values["refused"] == {}
    assert len(reply.values["charts"]) == len(list(readable(demo)))
    assert reply.values["micro"]["onset_f1_20ms"] == 1
    assert json.loads(reply.rendered(as_json=True))["mean"]["cell_kl"] == 0
    lines = reply.rendered(as_json=False).splitlines()
    assert lines[0].split() == ["all"] and lines[-1].endswith("charts; --json tells of each")


def test_maps_are_paired_by_name_and_charts_by_difficulty(tmp_path):
    for name, zipped, kinds in (("a", True, ("Easy", "Expert")), ("b", False, ("Hard",))):
        write_map(tmp_path / "found", name, zipped=zipped, difficulties=kinds)
    write_map(tmp_path / "wanted", "a", zipped=False, difficulties=("Expert", "Hard", "Easy"))
    pairs = map_pairs(tmp_path / "found", tmp_path / "wanted")
    assert [chart.name for chart in pairs.charts] == ["a Standard Easy", "a Standard Expert"]
    assert pairs.alone == ("b Standard Hard",)
    assert evaluate(tmp_path / "found", tmp_path / "wanted").code == 1
    only = map_pairs(tmp_path / "found", tmp_path / "wanted", difficulty="Easy")
    assert [chart.name for chart in only.charts] == ["a Standard Easy"] and not only.alone


def test_two_single_maps_are_compared_whatever_they_are_called(tmp_path):
    write_map(tmp_path, "one", zipped=True)
    write_map(tmp_path, "other", zipped=False)
    reply = evaluate(tmp_path / "one.zip", tmp_path / "other")
    assert list(reply.values["charts"]) == ["Standard Hard", "Standard ExpertPlus"]
    assert reply.values["micro"]["onset_f1_50ms"] == 1  # of one seed, so of the same notes


def test_a_map_that_cannot_be_read_costs_no_other(tmp_path):
    for side in ("found", "wanted"):
        write_map(tmp_path / side, "a", zipped=False)
    (tmp_path / "found" / "b.zip").write_bytes(b"no zip")
    reply = evaluate(tmp_path / "found", tmp_path / "wanted")
    assert reply.code == 1 and len(reply.values["charts"]) == 2
    assert list(reply.values["refused"]) == [str(tmp_path / "found" / "b.zip")]
    assert "left out: b.zip" in reply.rendered(as_json=False)


def test_what_cannot_be_compared_is_told(tmp_path):
    write_map(tmp_path, "easy", zipped=False, difficulties=("Easy",))
    write_map(tmp_path, "hard", zipped=False, difficulties=("Hard",))
    with pytest.raises(BeatmapError, match=r"easy: \. Standard Easy.*hard: \. Standard Hard"):
        evaluate(tmp_path / "easy", tmp_path / "hard")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BeatmapError, match="empty: holds no map"):
        evaluate(tmp_path / "easy", tmp_path / "empty")
    with pytest.raises(SourceError, match="is no folder of maps"):
        evaluate(tmp_path / "easy", tmp_path / "gone")


def test_every_flag_of_the_command_is_taken(tmp_path):
    write_map(tmp_path, "a", zipped=False, difficulties=("Easy", "Hard"))
    app = cyclopts.App()
    app.command("workbench.beatmap.evaluate_command:evaluate", name="evaluate")
    place = str(tmp_path / "a")
    png = tmp_path / "a.png"
    flags = ["--difficulty", "Hard", "--shift", "0.03", "--picture", str(png)]
    reply = app(
        ["evaluate", place, place, *flags], exit_on_error=False, result_action="return_value"
    )
    assert list(reply.values["charts"]) == ["Standard Hard"]
    micro = reply.values["micro"]
    assert (micro["onset_f1_50ms"], micro["onset_f1_20ms"]) == (1, 0)
    assert reply.values["picture"] == {"file": str(png), "chart": "Standard Hard"}
    assert png.read_bytes().startswith(b"\x89PNG")


def test_a_table_tells_every_chart_beside_the_human_one(tmp_path):
    write_map(tmp_path, "a", zipped=False, notes=30)
    write_map(tmp_path, "b", zipped=False, notes=40)
    lines = evaluate(tmp_path / "a", tmp_path / "b").rendered(as_json=False).splitlines()
    assert lines[0].split() == ["Standard", "Hard", "Standard", "ExpertPlus", "all"]
    told = {line[:16].strip(): line for line in lines}
    assert all(line.count("(") == 3 for name, line in told.items() if name in ("notes/s", "resets"))
    assert len(lines) == 15 and lines[-1].startswith("in brackets the human map")
