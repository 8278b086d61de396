"""Feel: taken from one performance, put on another, by amounts of its own."""

import dataclasses
import io
from pathlib import Path

import mido
import numpy as np
import pytest
from corpora import HAT, KICK, SNARE, write_drums
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.errors import GrooveError, OptionsError
from workbench.groove.feel import apply, extract, read_feel, write_feel
from workbench.groove.grid import grid_of
from workbench.groove.options import FeelOptions, TrainOptions
from workbench.music.midi import Midi, read_midi, read_midi_file
from workbench.options import parameters_of

STEP = 120  # ticks


@pytest.fixture(scope="module")
def performances(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    options = DrumCorpusOptions(files=12, seed=8, styles="funk,jazz", fills=0.0)
    return list(make_drum_corpus(tmp_path_factory.mktemp("feel") / "corpus", options).paths)


def _quantised(path: Path, *, bars: int = 2) -> Path:
    """Write eighths on the hat with kick and snare, on the grid, at one velocity."""
    hats = np.arange(8 * bars) * 2 * STEP
    beats = np.arange(4 * bars) * 4 * STEP
    pitches = np.concatenate((np.full(8 * bars, HAT), np.tile([KICK, SNARE], 2 * bars)))
    return write_drums(path, np.concatenate((hats, beats)), pitches, velocity=80)


def _late(path: Path, *, ticks: int, velocity: int) -> Path:
    hats = np.arange(16) * STEP + ticks
    return write_drums(path, hats, HAT, velocity=velocity)


def _read(content: bytes) -> Midi:
    midi = read_midi(content)
    assert isinstance(midi, Midi)
    return midi


def _steps(midi: Midi) -> list[tuple[int, int]]:
    return list(zip(np.rint(midi.tick / STEP).tolist(), midi.pitch.tolist(), strict=True))


def test_amounts_of_zero_leave_the_very_bytes(performances: list[Path]) -> None:
    feel = extract(performances[0], FeelOptions())
    nothing = FeelOptions(timing=0.0, velocity=0.0)
    for path in performances:
        assert apply(path, feel, nothing) == path.read_bytes()


def test_a_late_loud_hat_makes_hats_late_and_loud(tmp_path: Path) -> None:
    feel = extract(_late(tmp_path / "late.mid", ticks=30, velocity=110), FeelOptions())
    plain = _quantised(tmp_path / "plain.mid")
    before, after = _read(plain.read_bytes()), _read(apply(plain, feel, FeelOptions()))
    assert (after.tick - before.tick == 30).all()
    assert (after.velocity == 110).all()


@pytest.mark.parametrize("amount", [0.25, 0.5, 1.0])
def test_timing_and_velocity_have_amounts_of_their_own(tmp_path: Path, amount: float) -> None:
    feel = extract(_late(tmp_path / "late.mid", ticks=40, velocity=120), FeelOptions())
    plain = _quantised(tmp_path / "plain.mid")
    before = _read(plain.read_bytes())
    timed = _read(apply(plain, feel, FeelOptions(timing=amount, velocity=0.0)))
    assert (timed.tick - before.tick == round(40 * amount)).all()
    assert (timed.velocity == 80).all()
    loud = _read(apply(plain, feel, FeelOptions(timing=0.0, velocity=amount)))
    assert (loud.tick == before.tick).all()
    assert (loud.velocity == round(80 + 40 * amount)).all()


def test_every_note_stays_on_its_step(performances: list[Path], tmp_path: Path) -> None:
    plain = _quantised(tmp_path / "plain.mid", bars=4)
    for path in performances:
        applied = apply(plain, extract(path, FeelOptions(bars=2)), FeelOptions())
        assert sorted(_steps(_read(applied))) == sorted(_steps(_read(plain.read_bytes())))
        assert applied != plain.read_bytes()


def test_the_feel_comes_back_from_what_it_was_put_on(
    performances: list[Path], tmp_path: Path
) -> None:
    feel = extract(performances[0], FeelOptions())
    target = tmp_path / "target.mid"
    target.write_bytes(apply(_quantised(tmp_path / "plain.mid"), feel, FeelOptions()))
    again = extract(target, FeelOptions())
    shared = [key for key in again.cells if key in feel.cells and key[1] != "any"]
    assert len(shared) >= 4
    for key in shared:
        offset, velocity, _ = feel.cells[key]
        assert again.cells[key][0] == pytest.approx(offset, abs=0.6 / STEP)
        assert again.cells[key][1] == pytest.approx(velocity, abs=0.6)


def test_the_rest_of_a_file_stays(tmp_path: Path, performances: list[Path]) -> None:
    plain = mido.MidiFile(_quantised(tmp_path / "plain.mid"))
    bass = mido.MidiTrack([mido.MetaMessage("track_name", name="bass")])
    bass.append(mido.Message("program_change", channel=1, program=33))
    for number in range(8):
        bass.append(
            mido.Message("note_on", channel=1, note=KICK, velocity=80, time=240 * (number > 0))
        )
        bass.append(mido.Message("note_off", channel=1, note=KICK, time=240))
    plain.type = 1
    plain.tracks.append(bass)
    plain.tracks[0].insert(0, mido.MetaMessage("lyrics", text="one"))
    song = tmp_path / "song.mid"
    plain.save(song)
    feel = extract(performances[0], FeelOptions())
    after = mido.MidiFile(file=io.BytesIO(apply(song, feel, FeelOptions())))
    before = mido.MidiFile(song)
    assert [m.dict() for m in after.tracks[1]] == [m.dict() for m in before.tracks[1]]
    others = [[m.dict() for m in f.tracks[0] if m.is_meta] for f in (before, after)]
    assert [m["type"] for m in others[0]] == [m["type"] for m in others[1]]
    assert "lyrics" in [m["type"] for m in others[1]]
    drums = [
        [m for m in f.tracks[0] if m.type == "note_on" and m.velocity] for f in (before, after)
    ]
    assert len(drums[0]) == len(drums[1])
    assert [m.velocity for m in drums[0]] != [m.velocity for m in drums[1]]


@st.composite
def _played(draw):
    """Give ticks a quarter, ticks, pitches and velocities of a bar or more, however played."""
    ppq = draw(st.sampled_from([24, 96, 120, 480, 1001]))
    count = draw(st.integers(1, 24))
    bars = draw(st.integers(1, 3))
    ticks = draw(st.lists(st.integers(0, 4 * ppq * bars - 1), min_size=count, max_size=count))
    pitches = draw(
        st.lists(st.sampled_from([KICK, SNARE, HAT, 77]), min_size=count, max_size=count)
    )
    velocities = draw(st.lists(st.integers(1, 127), min_size=count, max_size=count))
    notes = sorted(dict(zip(zip(ticks, pitches, strict=True), velocities, strict=True)).items())
    return ppq, *np.array([(tick, pitch, velocity) for (tick, pitch), velocity in notes]).T


@given(_played(), _played(), st.sampled_from([2, 3, 4]), st.integers(1, 2), st.data())
@settings(deadline=None, max_examples=80)
def test_onsets_keep_their_number_and_their_steps_whatever_is_put_on(
    tmp_path_factory, source, target, resolution, bars, data
) -> None:
    folder = tmp_path_factory.mktemp("any")
    paths = []
    for name, (ppq, ticks, pitches, velocities) in (("from", source), ("to", target)):
        path = folder / f"{name}.mid"
        paths.append(write_drums(path, ticks, pitches, velocity=velocities, ppq=ppq))
    options = FeelOptions(
        resolution=resolution, bars=bars, timing=data.draw(st.floats(0, 1)), velocity=1.0
    )
    content = apply(paths[1], extract(paths[0], options), options)
    before, after = _read(paths[1].read_bytes()), _read(content)
    assert _placed(after, resolution) == _placed(before, resolution)
    assert after.tick.min() >= 0


def _placed(midi, resolution):
    """Return bar, step and pitch of every note, ordered."""
    grid = grid_of(midi, TrainOptions(resolution=resolution, min_notes=1))
    return sorted(zip(grid.bar.tolist(), grid.step.tolist(), grid.pitch.tolist(), strict=True))


def test_a_note_half_a_step_late_stays_on_its_step(tmp_path: Path) -> None:
    # 6 ticks a step: 0.45 of a step is 2.7 ticks, and 3 ticks lie between two steps
    late = write_drums(tmp_path / "late.mid", np.arange(0, 16) * 54 + 24, HAT, ppq=480)
    feel = extract(late, FeelOptions())
    feel = dataclasses.replace(feel, cells={(s, "any"): (0.45, 90.0, 1) for s in range(16)})
    plain = write_drums(tmp_path / "plain.mid", np.arange(16) * 6, HAT, ppq=24)
    after = _read(apply(plain, feel, FeelOptions()))
    moved = after.tick - np.arange(16) * 6
    assert set(moved.tolist()) == {2, 3}  # 3 on even steps, which ties go to; 2 on odd ones
    assert (np.rint(after.tick / 6) == np.arange(16)).all()


def test_nothing_is_moved_before_the_beginning(tmp_path: Path) -> None:
    feel = extract(_quantised(tmp_path / "plain.mid"), FeelOptions())
    feel = dataclasses.replace(feel, cells={(s, "any"): (-0.25, 90.0, 1) for s in range(16)})
    before = _read((tmp_path / "plain.mid").read_bytes())
    after = _read(apply(tmp_path / "plain.mid", feel, FeelOptions()))
    assert (after.tick == np.maximum(before.tick - 30, 0)).all()


@pytest.mark.parametrize(("timing", "velocity"), [(0.25, 1.0), (0.5, 0.0), (0.8, 0.3), (0.0, 0.7)])
def test_moves_grow_in_a_straight_line_with_their_amount(
    performances: list[Path], timing: float, velocity: float
) -> None:
    feel = extract(performances[0], FeelOptions())
    target = next(p for p in performances[1:] if extract(p, FeelOptions()).bar_steps == 16)
    before = _sorted_notes(target.read_bytes())
    whole = _sorted_notes(apply(target, feel, FeelOptions()))
    part = _sorted_notes(apply(target, feel, FeelOptions(timing=timing, velocity=velocity)))
    assert np.abs(part[0] - before[0] - timing * (whole[0] - before[0])).max() <= 1.5
    assert np.abs(part[1] - before[1] - velocity * (whole[1] - before[1])).max() <= 1.5


def _sorted_notes(content: bytes):
    """Return ticks and velocities, in an order that no feel changes: by pitch, then onset."""
    track = mido.merge_tracks(mido.MidiFile(file=io.BytesIO(content)).tracks)
    tick, notes = 0, []
    for message in track:
        tick += message.time
        if message.type == "note_on" and message.velocity:
            notes.append((message.note, round(tick / STEP), tick, message.velocity))
    of_step: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for pitch, step, at, velocity in notes:
        of_step.setdefault((pitch, step), []).append((at, velocity))
    alone = {key: found[0] for key, found in of_step.items() if len(found) == 1}
    return np.array([alone[key] for key in sorted(alone)]).T


def test_a_longer_pattern_is_put_on_bar_by_bar(tmp_path: Path) -> None:
    ticks = np.concatenate((np.arange(16) * STEP, 1920 + np.arange(16) * STEP + 24))
    feel = extract(write_drums(tmp_path / "two.mid", ticks, HAT), FeelOptions(bars=2))
    plain = write_drums(tmp_path / "plain.mid", np.arange(64) * STEP, HAT)
    moved = _read(apply(plain, feel, FeelOptions())).tick - np.arange(64) * STEP
    assert moved.reshape(4, 16).tolist() == [[0] * 16, [24] * 16] * 2


def test_a_last_note_that_moves_back_stays_in_its_track(tmp_path: Path) -> None:
    feel = extract(_late(tmp_path / "late.mid", ticks=50, velocity=90), FeelOptions())
    plain = write_drums(tmp_path / "plain.mid", np.arange(16) * STEP, HAT)
    file = mido.MidiFile(file=io.BytesIO(apply(plain, feel, FeelOptions())))
    assert [m.type for m in file.tracks[0]].count("end_of_track") == 1
    assert file.tracks[0][-1].type == "end_of_track"
    assert len([m for m in file.tracks[0] if m.type == "note_on" and m.velocity]) == 16


@pytest.mark.parametrize(
    "cell", [(0.6, 90.0), (-0.51, 90.0), (0.0, 0.0), (0.0, 128.0), (float("nan"), 90.0)]
)
def test_a_feel_with_a_cell_that_cannot_be_is_refused(tmp_path: Path, cell) -> None:
    feel = extract(_quantised(tmp_path / "plain.mid"), FeelOptions())
    feel = dataclasses.replace(feel, cells={(0, "any"): (*cell, 1)})
    write_feel(tmp_path / "feel.json", feel)
    with pytest.raises(GrooveError, match="a cell of offset"):
        read_feel(tmp_path / "feel.json")


def test_a_file_that_can_be_read_but_not_written_again_is_told(tmp_path: Path) -> None:
    feel = extract(_late(tmp_path / "late.mid", ticks=50, velocity=90), FeelOptions())
    content = _quantised(tmp_path / "plain.mid").read_bytes()
    alien = tmp_path / "alien.mid"
    alien.write_bytes(content[:14] + b"XFIH\0\0\0\2ab" + content[14:])
    assert isinstance(read_midi_file(alien), Midi)
    with pytest.raises(GrooveError, match=r"alien\.mid: can be read but not written again"):
        apply(alien, feel, FeelOptions())
    assert apply(alien, feel, FeelOptions(timing=0.0, velocity=0.0)) == alien.read_bytes()


def test_a_longer_pattern_tells_its_bars_apart(tmp_path: Path) -> None:
    ticks = np.concatenate((np.arange(16) * STEP, 1920 + np.arange(16) * STEP + 24))
    played = write_drums(tmp_path / "two.mid", ticks, HAT)
    one, two = extract(played, FeelOptions(bars=1)), extract(played, FeelOptions(bars=2))
    assert {offset for offset, *_ in one.cells.values()} == {0.1}
    assert two.at(0, "closed_hat")[0] == 0
    assert two.at(16, "closed_hat")[0] == pytest.approx(0.2)


def test_the_resolution_decides_what_is_a_step(tmp_path: Path) -> None:
    swung = np.concatenate((np.arange(4) * 480, np.arange(4) * 480 + 320))
    played = write_drums(tmp_path / "swung.mid", swung, HAT)
    coarse = extract(played, FeelOptions(resolution=4))
    fine = extract(played, FeelOptions(resolution=3))
    assert coarse.bar_steps == 16 and fine.bar_steps == 12
    assert max(abs(offset) for offset, *_ in coarse.cells.values()) == pytest.approx(1 / 3)
    assert max(abs(offset) for offset, *_ in fine.cells.values()) == 0


def test_every_option_of_feel_has_a_test_above() -> None:
    assert set(parameters_of(FeelOptions)) == {"timing", "velocity", "resolution", "bars"}


def test_a_feel_is_read_as_it_was_written(performances: list[Path], tmp_path: Path) -> None:
    feel = extract(performances[1], FeelOptions(bars=2))
    write_feel(tmp_path / "feel.json", feel)
    again = read_feel(tmp_path / "feel.json")
    assert (again.resolution, again.bars, again.bar_steps) == (4, 2, feel.bar_steps)
    assert dict(again.cells) == dict(feel.cells)


def test_what_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    plain = _quantised(tmp_path / "plain.mid")
    waltz = write_drums(tmp_path / "waltz.mid", np.arange(12) * 240, HAT, metres=((0, 3, 4),))
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"MThd")
    text = tmp_path / "text.json"
    text.write_text('{"format": 7, "kind": "feel"}')
    for attempt, words in (
        (lambda: apply(waltz, extract(plain, FeelOptions()), FeelOptions()), "same metre"),
        (lambda: extract(broken, FeelOptions()), "truncated"),
        (lambda: read_feel(text), "workbench groove extract"),
        (lambda: read_feel(tmp_path / "none.json"), "no readable feel"),
    ):
        with pytest.raises(GrooveError, match=words) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    with pytest.raises(OptionsError, match=r"timing: 1\.5 is outside"):
        FeelOptions(timing=1.5)


def test_reading_and_applying_change_no_user_file(performances: list[Path]) -> None:
    before = [path.read_bytes() for path in performances]
    for path in performances:
        assert isinstance(read_midi_file(path), Midi)
        apply(path, extract(path, FeelOptions()), FeelOptions())
    assert [path.read_bytes() for path in performances] == before
