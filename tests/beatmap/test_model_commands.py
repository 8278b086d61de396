"""`workbench beatmap train` and `generate`: each flag by what it changes, and what they refuse."""

import dataclasses
import io
import json
import math
import shutil
import signal
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from drum_corpora import drum_corpus
from safetensors.numpy import load_file, save_file
from sounds import file_of

from workbench.beatmap.maps.level import HeldFiles
from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.strict import oddities, strict_faults
from workbench.beatmap.writer.composing import compose
from workbench.beatmap.writer.metrics import profile_of
from workbench.beatmap.writer.metrics_onsets import onset_scores
from workbench.beatmap.writer.model import CARD, WEIGHTS, open_writer
from workbench.beatmap.writer.model_options import GenerateOptions
from workbench.cli import run
from workbench.demo.drum_songs import DrumSongOptions, make_drum_songs

TESTED: set[str] = set()
ARGUMENTS = {"song", "output", "model"}
FIELDS = {field.name for field in dataclasses.fields(GenerateOptions)}
TRAINING = {
    "n-mels": 24,
    "n-fft": 1024,
    "hop-length": 256,
    "bars": 2,
    "context": 1,
    "vocabulary": "291",
    "batch-size": 8,
    "bucket-steps": 2,
    "validation": 0.2,
    "test": 0,
    "steps": 120,
    "validate-every": 120,
    "warm-up": 5,
    "averaging": 0.9,
    "dropout": 0,
    "learning-rate": 0.01,
    "width": 32,
    "heads": 2,
    "hidden": 64,
    "encoder-layers": 1,
    "decoder-layers": 1,
    "accelerator": "cpu",
    "threads": 1,
    "log-every": 0,
}
FLAGS = [f"--{name}={value}" for name, value in TRAINING.items()]


def flag(*names):
    """Say which flags a test is the test of."""
    assert set(names) <= FIELDS | ARGUMENTS
    TESTED.update(names)
    return lambda test: test


def told_by(capsys, *tokens, code=0):
    """Run a command; return its JSON, or what it says on standard error where it fails."""
    assert run(["beatmap", *map(str, tokens), "--json"]) == code
    out, error = capsys.readouterr()
    return json.loads(out) if out else error


@dataclasses.dataclass
class Drums:
    """What the tests of this file share: a corpus, a writer of it, and a song that is in neither.

    `onsets` are the drums of the song, seconds.
    """

    root: Path
    told: dict
    progress: str
    model: Path
    song: Path
    bpm: float
    onsets: np.ndarray


@pytest.fixture(scope="module")
def drums(tmp_path_factory):
    root = drum_corpus(tmp_path_factory.mktemp("drums"), songs=12)
    model = root / "model"
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        tokens = ["train", root / "store", root / "cache", "-o", model, *FLAGS, "--json"]
        assert run(["beatmap", *map(str, tokens)]) == 0
    folder = make_drum_songs(root / "unseen", DrumSongOptions(songs=1, beats=20, seed=9))
    level = read_back(folder)
    (beatmap,) = level.beatmaps
    return Drums(
        root=root,
        told=json.loads(out.getvalue()),
        progress=err.getvalue(),
        model=model,
        song=folder / "song_000" / "song.egg",
        bpm=level.bpm,
        onsets=beatmap.time_map.seconds_at(beatmap.objects.notes.beat),
    )


def files_of(path):
    (place,) = map_places(path)
    with place.open() as found:
        return {name: found.read(name) for name in found.names()}


def read_back(path):
    return read_level(HeldFiles(files_of(path)))


@dataclasses.dataclass
class Generated:
    """A map that was written: what the command told, where it is, and what it is."""

    told: dict
    path: Path
    level: object

    @property
    def notes(self):
        return {each.difficulty: each.objects.notes for each in self.level.beatmaps}

    @property
    def expert(self):
        return self.notes["Expert"]

    def seconds(self, name="Expert"):
        (beatmap,) = (each for each in self.level.beatmaps if each.difficulty == name)
        return beatmap.time_map.seconds_at(beatmap.objects.notes.beat)


@pytest.fixture
def generate(capsys, tmp_path, drums):
    """Runs the command for a song; what it writes has passed the strict rules."""
    made = []

    def work(*flags, song=drums.song, name=None):
        path = tmp_path / (name or f"map {len(made)}.zip")
        made.append(path)
        told = told_by(capsys, "generate", song, "-o", path, "--model", drums.model, *flags)
        files = files_of(path)
        assert strict_faults(files) == ()
        return Generated(told=told, path=path, level=read_level(HeldFiles(files)))

    return work


def alike(one, two):
    return one.expert == two.expert


def test_every_flag_has_a_test():
    assert TESTED == FIELDS | ARGUMENTS


# --- training


def test_training_tells_what_was_learnt_and_leaves_a_model(drums):
    told = drums.told
    assert told["output"] == str(drums.model)
    assert told["songs"] == {"train": 8, "validation": 4, "test": 0}
    assert sum(told["windows"].values()) > 40 and told["left_out"] == {}
    assert (told["steps"], told["resumed_at"]) == (120, 0)
    assert told["parameters"] == sum(map(np.size, load_file(drums.model / WEIGHTS).values()))
    assert told["nats_per_note"] < 1.5
    assert told["onset_f1_50ms"] > 0.9 > 0.6 > told["onset_f1_shuffled_50ms"]
    assert 0 <= told["data_wait_share"] < 1 and told["steps_per_second"] > 0
    assert open_writer(drums.model).card.styles == ("demo",)
    assert sorted(each.name for each in drums.model.iterdir()) == [CARD, WEIGHTS]
    assert not list(drums.root.glob("*.learning"))


def test_training_shows_its_progress_on_standard_error_alone(drums):
    lines = drums.progress.splitlines()
    assert lines[0].startswith("training: 1/120 steps")
    assert lines[-1].startswith("training: 120/120 steps")


def test_training_without_a_store_says_so(capsys, tmp_path, drums):
    for at, code in ((tmp_path, 1), (tmp_path / "gone", 1)):
        told = told_by(capsys, "train", at, drums.root / "cache", "-o", tmp_path / "m", code=code)
        assert told.startswith(f"workbench: {at}: ") and "process" in told
    assert list(tmp_path.iterdir()) == []


def test_training_without_features_says_how_they_are_made(capsys, tmp_path, drums):
    tokens = ("train", drums.root / "store", tmp_path / "none", "-o", tmp_path / "m", "--test=0")
    told = told_by(capsys, *tokens, code=1)
    assert told.startswith("workbench: ") and "12 not_cached" in told and "warm the cache" in told
    tokens = ("train", drums.root / "store", drums.root / "cache", "-o", tmp_path / "m")
    told = told_by(capsys, *tokens, code=1)  # those of another spec are there
    assert told.startswith("workbench: ") and "12 not_cached" in told and "warm the cache" in told


def test_all_options_of_a_training_that_cannot_be_are_told_at_once(capsys, tmp_path):
    tokens = ("train", tmp_path, tmp_path, "-o", tmp_path / "m", "--steps=0", "--dropout=2")
    told = told_by(capsys, *tokens, code=2)
    assert "--steps" in told or "steps: 0" in told
    assert "dropout: 2" in told


def test_a_model_takes_no_place_of_something_else(capsys, tmp_path, drums):
    (tmp_path / "letter.txt").write_text("Dear all")
    tokens = ("train", drums.root / "store", drums.root / "cache", "-o", tmp_path, *FLAGS)
    assert "holds something else" in told_by(capsys, *tokens, code=1)
    assert [each.name for each in tmp_path.iterdir()] == ["letter.txt"]


# --- a map


@flag("song", "output", "model")
def test_a_map_is_what_was_composed_and_what_is_heard(generate, drums):
    made = generate()
    composed = compose(drums.song, open_writer(drums.model), GenerateOptions())
    told = made.told
    assert made.expert == composed.charts["Expert"]
    assert told["notes"] == {"Expert": len(made.expert)}
    assert told["lead_silence"] == pytest.approx(composed.song.lead_silence, abs=1e-4)
    assert made.level.song_time_offset == 0 and made.level.bpm == told["bpm"] == drums.bpm
    files = files_of(made.path)
    assert files["song.egg"] == composed.song.egg
    before = soundfile.read(drums.song)[0]
    after, rate = soundfile.read(io.BytesIO(files["song.egg"]))
    lead = round(composed.song.lead_silence * rate)
    assert np.abs(after[: lead - rate // 20]).max() < 1e-3
    assert len(after) / rate == pytest.approx(told["song_seconds"], abs=1e-3)
    again = after[lead:][:: rate // 22_050]
    size = min(len(before), len(again))
    assert np.corrcoef(before[:size], again[:size])[0, 1] > 0.9
    heard = onset_scores(drums.onsets + composed.song.lead_silence, made.seconds())
    assert heard["onset_f1_50ms"] > 0.9


def test_a_zip_is_opened_by_a_common_tool(generate):
    made = generate()
    with zipfile.ZipFile(made.path) as archive:
        assert archive.testzip() is None
        assert {"Info.dat", "song.egg", "ExpertStandard.dat"} <= set(archive.namelist())


@flag("output")
def test_a_name_without_zip_is_a_folder_of_the_same_files(generate):
    one, two = generate(), generate(name="map")
    assert two.path.is_dir() and files_of(one.path) == files_of(two.path)


@flag("format")
def test_formats_hold_the_same_notes(generate):
    one, *others = (generate("--format", name) for name in ("v2", "v3", "v4"))
    for made, version in zip((one, *others), (2, 3, 4), strict=True):
        assert made.told["format"] == f"v{version}"
        assert {each.document.format for each in made.level.beatmaps} == {version}
        assert alike(made, one) and made.level.song_time_offset == 0


@flag("difficulty")
def test_several_difficulties_are_written_at_once(generate, capsys, drums, tmp_path):
    made = generate("--difficulty", "Easy, Expert,ExpertPlus,Easy")
    assert set(made.notes) == {"Easy", "Expert", "ExpertPlus"} == set(made.told["nps"])
    assert {name: len(notes) for name, notes in made.notes.items()} == made.told["notes"]
    assert alike(made, generate()), "one is as it is alone"
    tokens = ("generate", drums.song, "-o", tmp_path / "x.zip", "--model", drums.model)
    told = told_by(capsys, *tokens, "--difficulty", "Expret", code=2)
    assert "'Expret' is none of Easy, Normal" in told and "did you mean 'Expert'" in told
    assert "none is named" in told_by(capsys, *tokens, "--difficulty", ",", code=2)


@flag("bpm")
def test_a_tempo_that_is_given_is_that_of_the_map(generate, drums):
    made = generate("--bpm", drums.bpm / 2)
    assert made.level.bpm == made.told["bpm"] == pytest.approx(drums.bpm / 2)


@flag("first_beat")
def test_a_first_beat_that_is_given_falls_on_a_bar_line(generate, drums):
    given = 0.35
    made = generate("--first-beat", given, "--bpm", drums.bpm)
    bars = (given + made.told["lead_silence"]) * drums.bpm / 240
    assert bars == pytest.approx(round(bars), abs=1e-3)
    plain = generate("--bpm", drums.bpm)
    assert abs(made.told["lead_silence"] - plain.told["lead_silence"]) > 0.05


@flag("nps")
@pytest.mark.parametrize("nps", [2, 4, 6])
def test_a_map_is_as_dense_as_is_asked_for(generate, nps):
    made = generate("--nps", nps)
    assert made.told["nps"]["Expert"] == pytest.approx(nps, rel=0.1)
    seconds = made.seconds()
    density = (len(seconds) - 1) / (seconds[-1] - seconds[0])
    assert density == pytest.approx(made.told["nps"]["Expert"], abs=1e-3)
    assert made.told["rounds"] <= 7


@flag("style")
def test_a_style_is_another_map_and_one_that_nobody_has_is_refused(
    generate, capsys, drums, tmp_path
):
    wide = ("--temperature=1.5", "--top-p=1")
    assert not alike(generate("--style", "demo", *wide), generate(*wide))
    tokens = ("generate", drums.song, "-o", tmp_path / "x.zip", "--model", drums.model)
    told = told_by(capsys, *tokens, "--style", "demos", code=1)
    assert "style 'demos' is none that the model knows (demo), did you mean 'demo'?" in told
    assert not (tmp_path / "x.zip").exists()


@flag("seed")
def test_a_seed_is_a_map(generate):
    one, two, other = (generate("--seed", seed) for seed in (5, 5, 6))
    assert one.path.read_bytes() == two.path.read_bytes()
    assert not alike(one, other)


@flag("temperature", "top_k", "top_p")
def test_the_likeliest_is_taken_at_no_temperature_of_one_and_of_the_least_chance(generate):
    wide = ("--temperature=1.5", "--top-p=1")
    likeliest = generate("--temperature=0")
    assert alike(likeliest, generate("--temperature=0", "--seed=1"))
    assert alike(likeliest, generate(*wide, "--top-k=1", "--seed=1"))
    assert alike(likeliest, generate("--temperature=1.5", "--top-p=0.01", "--seed=1"))
    drawn = generate(*wide, "--seed=1")
    assert not alike(likeliest, drawn)
    assert not alike(drawn, generate(*wide, "--seed=1", "--top-k=5"))
    assert not alike(drawn, generate("--temperature=1.5", "--top-p=0.9", "--seed=1"))


@flag("spacing")
def test_slots_stand_as_far_apart_as_is_asked_for(generate):
    assert np.diff(np.unique(generate().expert.beat)).min() < 0.5
    for strands in (1, 4):
        made = generate("--spacing=1", "--strands", strands)
        assert np.diff(np.unique(made.expert.beat)).min() >= 1
        assert len(made.expert) > 10


@flag("parity")
def test_hands_go_to_and_fro_the_more_the_worse_it_is_to_do_otherwise(generate):
    broken = []
    for parity in (0, 12):
        made = generate("--parity", parity, "--temperature=1.3", "--top-p=1")
        (beatmap,) = made.level.beatmaps
        found = profile_of(beatmap.objects, beatmap.time_map).numbers()
        broken.append(found["parity_errors_per_1000"] + found["resets_per_1000"])
    assert broken[1] < 0.6 * broken[0]


@flag("strands")
def test_strands_are_written_without_what_is_before_them(generate):
    wide = ("--temperature=1.5", "--top-p=1")
    one, two = generate("--strands=1", *wide), generate("--strands=2", *wide)
    assert not alike(one, two)
    beats = one.level.time_map.beats_at(one.told["song_seconds"])
    until = 8 * (math.ceil(beats / 8) // 2)  # the first of two is as it is in a go
    first, second = (each.expert.take(each.expert.beat < until) for each in (one, two))
    assert len(first) > 5 and first == second


@flag("accelerator")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so nothing is refused")
def test_a_gpu_that_is_not_there_is_refused_before_the_song_is_read(capsys, tmp_path, drums):
    tokens = ["generate", drums.song, "-o", tmp_path / "map.zip", "--model", drums.model]
    told = told_by(capsys, *tokens, "--accelerator", "gpu", code=1)
    assert "finds none here; take cpu or auto" in told and "listening" not in told
    told_by(capsys, *tokens, "--accelerator", "cpu", "--bpm", 120)


@flag("progress")
def test_progress_may_be_left_out(capsys, tmp_path, drums):
    tokens = ["generate", drums.song, "-o", tmp_path / "map.zip", "--model", drums.model]
    assert run(["beatmap", *map(str, tokens), "--bpm", "120", "--no-progress", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_what_is_silly_about_a_map_is_little(generate, drums):
    found = {each.kind for each in oddities(files_of(generate("--strands=1").path))}
    assert not found & {"hot_start", "large"}


def test_progress_is_told_on_standard_error_alone(capsys, tmp_path, drums):
    tokens = ["generate", drums.song, "-o", tmp_path / "map.zip", "--model", drums.model]
    assert run(["beatmap", *map(str, tokens)]) == 0
    out, error = capsys.readouterr()
    lines = error.splitlines()
    assert lines[0].startswith("listening: 0/1 songs")
    assert lines[-1].startswith("writing: ") and len(lines) < 8
    assert "writing" not in out and str(tmp_path / "map.zip") in out


# --- songs


@pytest.mark.parametrize(
    ("kind", "rate", "channels"), [("MP3", 22_050, 1), ("WAV", 96_000, 2), ("FLAC", 44_100, 2)]
)
def test_any_kind_of_audio_comes_to_a_map_of_its_drums(
    generate, tmp_path, drums, kind, rate, channels
):
    samples, own = soundfile.read(drums.song, dtype="float32")
    at = np.arange(int(len(samples) * rate / own)) * own / rate
    sound = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    if channels > 1:
        sound = np.stack([sound] * channels, axis=1)
    song = tmp_path / "Someone - Drums"
    song.write_bytes(file_of(sound, rate, kind))
    made = generate(song=song)
    assert (made.level.title, made.level.artist) == ("Drums", "Someone")
    heard = onset_scores(drums.onsets + made.told["lead_silence"], made.seconds())
    assert heard["onset_f1_50ms"] > 0.85


def hours(folder):
    """Write the header of three hours and a hole of that length, which takes no room."""
    path = folder / "long.wav"
    size = 3 * 3600 * 44_100 * 4
    header = file_of(np.zeros((1, 2), np.float32), 44_100)[:44]
    with path.open("wb") as file:
        file.write(header[:4] + struct.pack("<I", size + 36) + header[8:40])
        file.write(struct.pack("<I", size))
        file.truncate(44 + size)
    return path


def holding(name, content):
    def make(folder):
        path = folder / name
        path.write_bytes(content())
        return path

    return make


def noise(seconds):
    return file_of(np.random.default_rng(0).normal(0, 0.1, int(22_050 * seconds)), 22_050, "FLAC")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "gone.mp3", "is no file; name an audio file"),
        (lambda folder: folder, "is no file; name an audio file"),
        (holding("text.mp3", lambda: b"This is a text. " * 99), "want WAV, FLAC, Ogg or MP3"),
        (holding("empty.wav", bytes), "want WAV, FLAC, Ogg or MP3"),
        (holding("cut.flac", lambda: noise(9)[:20_000]), "decoder lost sync"),
        (holding("short.flac", lambda: noise(1.9)), "a map wants 2 s at least"),
        (holding("quiet.wav", lambda: file_of(np.zeros(99_999))), "silent throughout"),
        (hours, "10800 s of audio by its header, over 60 minutes; cut it to one song"),
    ],
)
def test_what_is_no_song_is_refused_in_a_line(capsys, tmp_path, drums, make, message):
    song = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    tokens = ("generate", song, "-o", tmp_path / "map.zip", "--model", drums.model)
    *progress, told = told_by(capsys, *tokens, code=1).splitlines()
    assert told.startswith(f"workbench: {song}: ") and message in told
    assert all(line.startswith("listening: ") for line in progress)
    assert sorted(tmp_path.iterdir()) == before


# --- models and places


def spoilt(drums, tmp_path, change):
    folder = tmp_path / "spoilt"
    shutil.copytree(drums.model, folder)
    change(folder)
    return folder


def card_with(**changes):
    def change(folder):
        said = json.loads((folder / CARD).read_text())
        for name, value in changes.items():
            if isinstance(value, dict):
                said[name].update(value)
            else:
                said[name] = value
        (folder / CARD).write_text(json.dumps(said))

    return change


def cut_weights(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def fewer_weights(folder):
    weights = load_file(folder / WEIGHTS)
    weights.pop(min(weights))
    save_file(weights, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (card_with(shape={"vocabulary": "extended"}), "are of another network than the card"),
        (card_with(shape={"vocabulary": "other"}), "'other' is none of those known"),
        (card_with(format=99), "is of version 99 and features"),
        (card_with(features=99), "and features 99, this program's are"),
        (card_with(mean=[0.0]), "mean has 1 numbers"),
        (card_with(more=1), "more"),
        (cut_weights, "cannot be read"),
        (fewer_weights, "are of another network than the card"),
        (lambda folder: (folder / WEIGHTS).unlink(), "cannot be read"),
        (lambda folder: (folder / CARD).write_text("{"), "cannot be used"),
        (lambda folder: (folder / CARD).write_text("[]"), "cannot be used"),
        (lambda folder: (folder / CARD).unlink(), "is no model of maps"),
        (shutil.rmtree, "is no model of maps"),
    ],
)
def test_a_model_that_is_none_is_refused_in_a_line(capsys, tmp_path, drums, change, message):
    folder = spoilt(drums, tmp_path, change)
    tokens = ("generate", drums.song, "-o", tmp_path / "map.zip", "--model", folder)
    told = told_by(capsys, *tokens, code=1)
    assert told.startswith(f"workbench: {folder}") and message in told
    assert "workbench beatmap train" in told or "train again" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "map.zip").exists()


def test_what_stands_in_the_way_is_told_before_anything_is_heard(capsys, tmp_path, drums):
    for name in ("folder.zip", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "letter.txt").write_text("Dear all")
        tokens = ("generate", drums.song, "-o", tmp_path / name, "--model", drums.model)
        told = told_by(capsys, *tokens, code=1)
        assert told.startswith(f"workbench: {tmp_path / name}: ") and told.count("\n") == 1
        assert (tmp_path / name / "letter.txt").read_text() == "Dear all"


def test_a_newer_map_takes_the_place_of_an_older_one(generate, tmp_path):
    (tmp_path / "map.zip").write_bytes(b"an older one")
    (tmp_path / "map").mkdir()
    for name in ("Info.dat", "EasyStandard.dat"):
        (tmp_path / "map" / name).write_text("{}")
    one, two = generate(name="map.zip"), generate(name="map")
    assert alike(one, two)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["map", "map.zip"]
    assert not (two.path / "EasyStandard.dat").exists()


class Interrupting(io.StringIO):
    """Sends this process the signal of Ctrl-C as soon as a word is written."""

    def __init__(self, word):
        super().__init__()
        self.word = word

    def write(self, text):
        if self.word in text:
            self.word = "\0"
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


@pytest.mark.parametrize("word", ["listening", "writing"])
def test_an_interrupted_command_leaves_nothing_half(tmp_path, drums, monkeypatch, word):
    (tmp_path / "map.zip").write_bytes(b"an older one")
    stream = Interrupting(word)
    monkeypatch.setattr(sys, "stderr", stream)
    tokens = ["generate", drums.song, "-o", tmp_path / "map.zip", "--model", drums.model]
    assert run(["beatmap", *map(str, tokens), "--json"]) == 130
    assert "workbench: stopped" in stream.getvalue()
    assert [each.name for each in tmp_path.iterdir()] == ["map.zip"]
    assert (tmp_path / "map.zip").read_bytes() == b"an older one"
