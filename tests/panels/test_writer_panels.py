"""What a notebook shows of a writer of maps, of one that learns drum songs for a few steps."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from workbench.beatmap.maps.objects import Objects
from workbench.beatmap.maps.places import map_places
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.pictures import charts_over_sound
from workbench.beatmap.statistics import chart_notes
from workbench.beatmap.writer import drum_charts
from workbench.beatmap.writer.composing import compose, export
from workbench.beatmap.writer.data import ChartData
from workbench.beatmap.writer.evaluation import evaluate_charts
from workbench.beatmap.writer.evaluation_maps import map_pairs
from workbench.beatmap.writer.model_options import GenerateOptions
from workbench.beatmap.writer.options import MelSpec
from workbench.beatmap.writer.training import train
from workbench.demo.drum_songs import DrumSongOptions
from workbench.panels import writer as panel

SPEC = MelSpec(n_mels=24, n_fft=1024, hop_length=256)
DATA = replace(drum_charts.DATA, batch_size=8, validation=0.4)
STEPS = replace(
    drum_charts.TRAINING,
    steps=5,
    warm_up=1,
    validate_every=2,
    look_windows=4,
    width=16,
    heads=2,
    hidden=32,
    encoder_layers=1,
    decoder_layers=1,
)


@pytest.fixture(scope="module")
def drums(tmp_path_factory):
    made = DrumSongOptions(songs=12, beats=16)
    return drum_charts.drum_charts(tmp_path_factory.mktemp("drums"), made, SPEC)


@pytest.fixture(scope="module")
def data(drums):
    return ChartData(*drums, DATA, drum_charts.CUT)


@pytest.fixture(scope="module")
def learnt(data, tmp_path_factory):
    """Return what training gave, and the panel that went with it."""
    live = panel.LiveTraining(data, STEPS.steps)
    assert "no steps yet" in live.curves.widget.value
    assert live.widget.children[1].layout.display == "none"
    folder = tmp_path_factory.mktemp("learning")
    trained = train(data, SPEC, folder, STEPS, live.show, cut=drum_charts.CUT, callbacks=[live])
    return trained, live


@pytest.fixture(scope="module")
def composed(learnt, tmp_path_factory):
    """Return a song with what was written for it, its zip, and the pairs with the human's."""
    song = drum_charts.drum_song(tmp_path_factory.mktemp("song"), 1, beats=32)
    options = GenerateOptions(bpm=song.bpm, temperature=1.0, top_p=1.0, difficulty="Hard,Expert")
    written = compose(song.audio, learnt[0].writer(), options)
    zipped = song.audio.with_name("map.zip")
    export(written, zipped, "v3")
    lead = written.song.lead_silence
    return written, zipped, map_pairs(zipped, song.human, shift=lead).charts, song


def picture_of(png):
    with Pillow.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L")).astype(float)


def test_every_step_and_every_look_of_a_training_is_in_its_panel(learnt):
    trained, live = learnt
    assert live.still() == "training: 5 of 5 steps"
    assert live.step == trained.history[-1].step == 4
    caption = repr(live.curves.picture())
    assert caption.startswith("losses of 5 steps, 2 looks")
    value = live.curves.widget.value
    assert "onset F1" in value
    assert f"{trained.history[-1].nats_per_note:.4g}" in value


def test_a_window_that_is_written_is_shown_as_soon_as_it_is(learnt):
    _, live = learnt
    image = live.widget.children[1]
    assert image.layout.display is None
    assert picture_of(image.value).std() > 10
    assert live.written is not None


def test_the_window_that_is_shown_is_held_out_and_the_fullest(data, learnt):
    _, live = learnt
    held = data.corpus.part["validation"]
    most = data.corpus.windows.lengths[held].max()
    number = int(live._batch["window"][0])
    assert number in held
    assert data.corpus.windows.lengths[number] == most
    human = live._notes(panel._human(live._batch))
    chart = int(data.corpus.windows.chart[number])
    encoded = data.corpus.encoded
    first = float(data.corpus.windows.bar[number]) * 4
    assert len(human) > 0
    assert ((human.beat >= first) & (human.beat < first + 8)).all()
    tokens = encoded.tokens[encoded.offsets[chart] : encoded.offsets[chart + 1]]
    notes, _ = panel.decode(tokens, data.vocabulary)
    inside = notes.take((notes.beat >= first) & (notes.beat < first + 8))
    assert np.array_equal(inside.beat, human.beat)
    assert np.array_equal(inside.color, human.color)


def test_a_training_that_holds_nothing_out_has_curves_alone(data, tmp_path):
    all_of_it = ChartData.__new__(ChartData)
    all_of_it.__dict__.update(data.__dict__)
    part = {**data.corpus.part, "validation": np.array([], np.int64)}
    all_of_it.corpus = replace(data.corpus, part=part)
    live = panel.LiveTraining(all_of_it)
    assert live._batch is None
    assert live.still() == "nothing was shown"


def test_parts_are_counted_as_they_are_dealt(data):
    rows = {row[0]: row[1:] for row in panel.parts_table(data).rows}
    assert sum(row[0] for row in rows.values()) == 12
    assert rows["looked at"][2] == len(data.corpus.part["validation"]) > 0
    assert rows["kept for the end"] == (0, 0, 0)


def test_looks_are_told_a_row_each(learnt):
    trained, _ = learnt
    table = panel.looks_table(trained.history)
    assert [row[0] for row in table.rows] == [2, 4]
    assert all(len(row) == len(table.head) for row in table.rows)
    last = trained.history[-1]
    assert table.rows[-1][1] == round(last.nats_per_note, 2)
    assert table.rows[-1][3] == round(last.listened["onset_f1_50ms"], 3)


def test_a_card_tells_what_the_writer_is(learnt):
    trained, _ = learnt
    told = dict(panel.card_table(trained.card).rows)
    count = sum(weight.numel() for weight in trained.weights.values())
    assert told["parameters"] == f"{count:,}"
    assert told["steps"] == "5"
    assert told["encoder"] == "Transformer, 1 layers"
    conformer = replace(trained.card, shape=replace(trained.card.shape, kernel=31))
    assert dict(panel.card_table(conformer).rows)["encoder"].startswith("Conformer, 31 columns")


def test_what_is_written_stands_beside_the_human(composed):
    written, _, pairs, _ = composed
    table = panel.charts_table(written, pairs)
    assert table.head == ("what", "Hard, written", "Expert, written", "Standard Expert, human")
    notes = next(row for row in table.rows if row[0] == "notes")
    counts = [len(written.charts[name]) for name in ("Hard", "Expert")]
    assert list(notes[1:]) == [*counts, len(pairs[0].wanted.notes)]
    assert panel.charts_table(written).head == table.head[:3]
    scores = dict(panel.scores_table(evaluate_charts(pairs)).rows)
    f1 = evaluate_charts(pairs).micro.numbers()["onset_f1_50ms"]
    assert scores["onset F1 at 50 ms"] == round(f1, 3)


def test_a_song_and_its_files_are_told(composed):
    written, zipped, _, song = composed
    told = dict(panel.song_table(written).rows)
    assert told["beats a minute"] == f"{song.bpm:.2f}"
    assert told["title"] == "Drums 1"
    files = dict(panel.files_table(zipped).rows)
    assert {"Info.dat", "song.egg"} <= set(files)
    assert files["song.egg"] == len(written.song.egg)
    assert panel.faults(zipped) == 0


def test_a_map_with_a_fault_is_told_to_have_one(composed):
    song = composed[3]
    assert panel.faults(song.human) > 0  # the demo's maps have no cover


def test_the_humans_notes_are_where_they_sound_once_silence_is_in_front(composed):
    written, zipped, pairs, _ = composed
    shown = panel.viewer(written, SPEC, pairs, offered=zipped)
    assert [chart["name"] for chart in shown.charts] == [
        "Hard, written",
        "Expert, written",
        "Standard Expert, human",
    ]
    assert shown.download == zipped.read_bytes()
    assert shown.download_name == "map.zip"
    assert shown.audio == written.song.egg
    human = np.frombuffer(shown.charts[2]["notes"], "<f4").reshape(-1, 6)[:, 0]
    seconds = written.song.time_map.seconds_at(human.astype(np.float64))
    lead = written.song.lead_silence
    assert lead >= 1.5
    assert seconds == pytest.approx(pairs[0].wanted_seconds() + lead, abs=1e-3)


def test_a_stretch_is_drawn_once_for_each_chart(drums, data):
    data_store = drums[0]
    chart = data.corpus.charts[0]
    features = data.cache.features(chart.feature_key)
    none, notes = Objects.none().notes, chart_notes(data_store, chart.song, chart.number)
    one, two = (
        charts_over_sound(features, SPEC, chart.beatmap.time_map, charts, first_beat=4.0, beats=8.0)
        for charts in ({"all": notes}, {"all": notes, "none": none})
    )
    within = int(((notes.beat >= 4) & (notes.beat < 12)).sum())
    assert repr(two).startswith(f"beats 4 to 12 with notes: {within} all, 0 none")
    assert [len(picture.figure.axes) for picture in (one, two)] == [1, 2]
    drawn = [
        sum(len(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "None")
        for axes in two.figure.axes
    ]
    assert drawn == [within, 0]
    assert (
        one.digest
        != charts_over_sound(
            features, SPEC, chart.beatmap.time_map, {"all": none}, first_beat=4.0, beats=8.0
        ).digest
    )


def test_the_maps_of_a_drum_song_say_where_its_drums_are(tmp_path):
    song = drum_charts.drum_song(tmp_path, 3, beats=16)
    (place,) = map_places(song.human)
    with place.open() as files:
        level = read_level(files)
    (beatmap,) = level.beatmaps
    assert beatmap.time_map.bpm[0] == song.bpm
    assert song.audio.read_bytes() == (song.human / "song.egg").read_bytes()
    again = drum_charts.drum_song(tmp_path, 3, beats=16)
    assert again == song


def test_drum_charts_are_made_once(tmp_path):
    made = DrumSongOptions(songs=4, beats=8)
    store, cache = drum_charts.drum_charts(tmp_path, made, SPEC)
    assert len(store.songs) == len(cache) == 4
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.is_file()}
    again, _ = drum_charts.drum_charts(tmp_path, made, SPEC)
    assert [song.key for song in again.songs] == [song.key for song in store.songs]
    songs = [path for path in files if "songs" in path.parts or path.suffix == ".parquet"]
    assert len(songs) > 12
    assert all(path.stat().st_mtime_ns == files[path] for path in songs)
