"""What the map viewer gives to its page, and what it leaves where no page runs it."""

import base64
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from workbench.beatmap.maps.level import HeldFiles
from workbench.beatmap.maps.objects import Arcs, Bombs, Chains, Notes, Objects, Walls
from workbench.beatmap.maps.reading import read_level
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.audio import song_samples
from workbench.beatmap.writer.mel import mel
from workbench.beatmap.writer.options import MelSpec
from workbench.demo.songs import SongCorpusOptions, make_song_corpus
from workbench.errors import BeatmapError
from workbench.panels import map_viewer as panel
from workbench.panels.map_viewer import MapViewer, ShownChart, charts_of, told_line
from workbench.runs.notebooks import tidied

SPEC = MelSpec(n_mels=8, columns_a_beat=4)
STEADY = TimeMap.steady(120.0)
VIEW = "application/vnd.jupyter.widget-view+json"

BEAT = st.integers(0, 4000).map(lambda n: n / 16)
BPM = st.floats(40, 300)


def silence(columns=64):
    return np.full((columns, SPEC.channels), -80, np.float16)


def objects_of(**kinds):
    return replace(Objects.none(), **kinds)


def notes_at(beats):
    count = len(beats)
    cells = np.arange(count)
    return Notes.of(beats, cells % 4, cells % 3, cells % 2, cells % 9, np.zeros(count))


def viewer_of(*charts, **more):
    return MapViewer(charts, **{"time_map": STEADY, "features": silence(), "spec": SPEC} | more)


def rows(content, width):
    return np.frombuffer(content, "<f4").reshape(-1, width)


@st.composite
def some_notes(draw):
    row = st.tuples(
        BEAT,
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(0, 1),
        st.integers(0, 8),
        st.integers(-90, 90),
    )
    return Notes.of(*(list(zip(*draw(st.lists(row, max_size=40)), strict=True)) or [()] * 6))


# --- what the page gets


@settings(max_examples=40)
@given(some_notes())
def test_a_page_gets_every_note_as_it_is_in_the_order_of_beats(notes):
    shown = viewer_of(ShownChart(name="Expert", objects=objects_of(notes=notes)))
    table = rows(shown.charts[0]["notes"], 6)
    names = ("beat", "lane", "layer", "color", "direction", "angle")
    for column, name in zip(table.T, names, strict=True):
        assert np.array_equal(column, getattr(notes, name))
    assert (np.diff(table[:, 0]) >= 0).all()


@settings(max_examples=40)
@given(
    some_notes(),
    BPM,
    st.lists(st.tuples(BEAT, BPM), max_size=4),
    st.lists(st.tuples(BEAT, BPM), max_size=4),
)
def test_a_chart_of_other_times_stands_where_it_sounds(notes, bpm, own, others):
    own_map, other_map = (
        TimeMap.of_changes(bpm, [b for b, _ in changes], [t for _, t in changes])
        for changes in (own, others)
    )
    chart = ShownChart(name="Hard", objects=objects_of(notes=notes), time_map=own_map)
    shown = viewer_of(chart, time_map=other_map)
    beat = rows(shown.charts[0]["notes"], 6)[:, 0]
    wanted = own_map.seconds_at(notes.beat)
    assert other_map.seconds_at(beat) == pytest.approx(wanted, abs=2e-3, rel=1e-6)
    assert (np.diff(beat) >= 0).all()


def test_walls_arcs_and_chains_keep_their_ends_in_other_times():
    walls = Walls.of([4], [2], [-1], [0], [2], [5])
    arcs = Arcs.of([4], [1], [3], [2], [0], [1.0], [8], [0], [1], [1], [1.0], [0])
    chains = Chains.of([4], [0], [1], [0], [1], [6], [2], [2], [5], [1.0])
    objects = objects_of(walls=walls, arcs=arcs, chains=chains)
    chart = ShownChart(name="Hard", objects=objects, time_map=TimeMap.steady(60.0))
    (packed,) = viewer_of(chart).charts  # two beats of the viewer a beat of the chart
    assert rows(packed["walls"], 6).tolist() == [[8, 4, -1, 0, 2, 5]]
    assert rows(packed["arcs"], 7).tolist() == [[8, 3, 2, 1, 16, 0, 1]]
    assert rows(packed["chains"], 8).tolist() == [[8, 1, 0, 0, 12, 2, 2, 5]]


def test_what_is_outside_the_grid_stands_at_its_edge_and_is_counted():
    notes = Notes.of([0, 1, 2, 3], [-1, 4, 2500, 1], [0, 3, -2000, 1], *([0] * 4 for _ in range(3)))
    bombs = Bombs.of([0, 1], [0, 7], [0, 0])
    chart = ShownChart(name="odd", objects=objects_of(notes=notes, bombs=bombs))
    (packed,) = viewer_of(chart).charts
    assert rows(packed["notes"], 6)[:, 1:3].tolist() == [[0, 0], [3, 2], [1.5, 0], [1, 1]]
    assert rows(packed["bombs"], 3).tolist() == [[0, 0, 0], [1, 3, 0]]
    assert packed["line"].endswith("2 bombs, 4 outside the grid")


def test_what_stands_at_no_beat_is_left_out():
    notes = replace(notes_at([1, 2, 3]), beat=np.array([1, np.nan, np.inf]))
    viewer = viewer_of(ShownChart(name="odd", objects=objects_of(notes=notes)))
    assert rows(viewer.charts[0]["notes"], 6)[:, 0].tolist() == [1]
    assert viewer.picture().caption == "beats 0 to 16 with 1 notes"


@settings(max_examples=40)
@given(st.lists(st.floats(-80, 0, width=16), min_size=SPEC.n_mels, max_size=SPEC.n_mels))
def test_the_sound_is_bytes_from_silent_to_the_loudest(bands):
    features = np.array([[*bands, 1.0]], np.float16)
    (found,) = np.frombuffer(viewer_of(features=features).mel, np.uint8).reshape(1, -1)
    wanted = 255 * (1 + features[0, :-1].astype(float) / 80)
    assert np.abs(found[:-1] - wanted).max() <= 0.51
    assert found[-1] == 255


def test_onsets_are_told_beside_the_loudest_of_the_song_and_a_silent_one_has_none():
    features = silence(1000)
    assert not any(viewer_of(features=features).mel)
    features[::10, -1] = 4
    features[5, -1] = 4000  # one that is damaged hides no other
    features[::20, -1] = 2
    table = np.frombuffer(viewer_of(features=features).mel, np.uint8).reshape(1000, -1)
    assert (table[10, -1], table[20, -1], table[1, -1]) == (255, 128, 0)


def test_the_page_learns_all_that_it_draws_by():
    changes = TimeMap.of_changes(100.0, [8, 16], [150, 90])
    spec = replace(SPEC, onset=False)
    features = silence(40)[:, : spec.channels]
    viewer = viewer_of(time_map=changes, features=features, spec=spec, audio=b"OggS", bar_beats=3)
    state = viewer.get_state()
    assert state["tempo"] == changes.as_json()
    assert state["sound"] == {"columns": 40, "bands": 8, "has_onsets": False, "columns_a_beat": 4}
    assert (state["audio"], state["bar_beats"], state["seconds"]) == (b"OggS", 3, 0.0)
    assert "export default" in state["_esm"] and ".wb-map" in state["_css"]


# --- what is told


@settings(max_examples=40)
@given(some_notes())
def test_the_line_counts_notes_and_their_pace(notes):
    line = told_line(ShownChart(name="Easy", objects=objects_of(notes=notes)), STEADY)
    count, pace = re.fullmatch(r"([\d,]+) notes?, ([\d.]+) notes a second", line).groups()
    assert int(count.replace(",", "")) == len(notes)
    seconds = np.ptp(notes.beat) / 2 if len(notes) else 0
    assert float(pace) == pytest.approx(len(notes) / seconds if seconds else 0, abs=0.0051)


def test_further_measurements_follow_the_counts():
    chart = ShownChart(
        name="Hard",
        objects=objects_of(notes=notes_at([0, 2]), bombs=Bombs.of([1], [0], [0])),
        told={"onset F1 at 50 ms": 0.93124, "seed": 7, "model": "small"},
    )
    assert told_line(chart, STEADY) == (
        "2 notes, 2.00 notes a second, 1 bomb, onset F1 at 50 ms 0.9312, seed 7, model small"
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    options = SongCorpusOptions(songs=3, seconds=8, seed=9, broken=0)
    return make_song_corpus(tmp_path_factory.mktemp("demo") / "songs", options)


def test_the_charts_of_a_level_are_those_that_were_made(corpus):
    for song in corpus.songs:
        folder = corpus.maps / song.place
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        level = read_level(HeldFiles(files))
        charts = charts_of(level)
        assert len(charts) == len(song.beatmaps)
        for chart, truth in zip(charts, song.beatmaps, strict=True):
            kind = "" if truth.characteristic == "Standard" else f"{truth.characteristic} "
            assert chart.name.split(" (")[0] == kind + truth.difficulty
            assert len(chart.objects.notes) == truth.notes
        audio = files[level.audio]
        times = charts[0].time_map
        features = mel(song_samples([audio], SPEC.sample_rate), SPEC, times)
        viewer = MapViewer(charts, time_map=times, features=features, spec=SPEC, audio=audio)
        onsets = rows(viewer.charts[0]["notes"], 6)[:, 0]
        assert 0 < onsets.max() < len(features) / SPEC.columns_a_beat


# --- what is left where no page runs it


CELL = """
import numpy as np
from dataclasses import replace
from workbench.beatmap.maps.objects import Notes, Objects
from workbench.beatmap.maps.timemap import TimeMap
from workbench.beatmap.writer.options import MelSpec
from workbench.panels.map_viewer import MapViewer, ShownChart

notes = Notes.of([0, 4, 8], [0, 1, 2], [0, 1, 2], [0, 1, 0], [1, 1, 8], [0, 0, 0])
chart = ShownChart(name="Expert", objects=replace(Objects.none(), notes=notes))
spec = MelSpec(n_mels=8, columns_a_beat=4)
sound = np.full((64, 9), -80, np.float16)
times = TimeMap.steady(120.0)
MapViewer([chart], time_map=times, features=sound, spec=spec, title="Copper Engine")
"""


@pytest.fixture(scope="module")
def executed():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=120, store_widget_state=False).execute()
    return notebook


def test_a_notebook_keeps_the_words_and_the_picture_of_a_viewer(executed):
    for notebook in (executed, tidied(executed)):
        shown, picture = (output["data"] for output in notebook["cells"][0]["outputs"])
        assert (VIEW in shown) == (notebook is executed)
        assert shown["text/plain"] == "Copper Engine, Expert: 3 notes, 0.75 notes a second"
        assert re.fullmatch(
            r"beats 0 to 16 with 3 notes \(numbers [0-9a-f]{8}\)", picture["text/plain"]
        )
        assert base64.b64decode(picture["image/png"]).startswith(b"\x89PNG")


def test_a_notebook_as_a_page_shows_the_picture_in_place_of_the_viewer(executed):
    shown, picture = (output["data"] for output in executed["cells"][0]["outputs"])
    page, _ = HTMLExporter().from_notebook_node(executed)
    assert f"data:image/png;base64,{picture['image/png'][:200]}" in page
    assert shown["text/plain"] in page
    assert shown[VIEW]["model_id"] not in page


@settings(max_examples=8)
@given(st.integers(0, 2))
def test_the_picture_is_of_the_chart_that_is_shown(number):
    charts = [
        ShownChart(name=str(count), objects=objects_of(notes=notes_at(np.arange(count) / 4)))
        for count in (4, 8, 12)
    ]
    viewer = viewer_of(*charts)
    viewer.chart = number
    count = (4, 8, 12)[number]
    assert viewer.picture().caption == f"beats 0 to 16 with {count} notes"
    assert f"{count} notes" in viewer.still()


def test_the_picture_of_other_times_has_its_notes_where_they_sound():
    notes = notes_at(np.arange(8, 12))
    chart = ShownChart(name="a", objects=objects_of(notes=notes), time_map=TimeMap.steady(240.0))
    sound = viewer_of(chart).picture().figure.axes[0]
    drawn = np.concatenate([line.get_xdata() for line in sound.lines if line.get_marker() != ""])
    assert {4.0, 4.5, 5.0, 5.5} <= set(drawn.tolist())


def test_a_viewer_without_charts_tells_so():
    viewer = viewer_of(title="Copper Engine")
    assert viewer.still() == "Copper Engine: no chart"
    assert viewer.picture().caption == "beats 0 to 16 with 0 notes"


# --- what changes


def test_other_charts_take_the_place_of_those_before():
    first, second = (
        ShownChart(name=name, objects=objects_of(notes=notes_at(beats)))
        for name, beats in (("Easy", [1, 2]), ("Hard", [1, 2, 3]))
    )
    viewer = viewer_of(first, second, chart=1)
    viewer.show([replace(first, name="after 40 steps")])
    assert (viewer.chart, [chart["name"] for chart in viewer.charts]) == (0, ["after 40 steps"])
    assert viewer.still().startswith("a song, after 40 steps: 2 notes")


def test_a_file_is_offered_under_its_name():
    viewer = viewer_of()
    assert viewer.download == b""
    viewer.offer(b"PK\3\4", "Copper Engine.zip")
    assert (viewer.download, viewer.download_name) == (b"PK\3\4", "Copper Engine.zip")


@pytest.mark.parametrize("shape", [(10, 8), (10,), (10, 9, 1)])
def test_features_of_another_spec_are_refused(shape):
    with pytest.raises(BeatmapError, match=re.escape(f"{shape}; the spec says (columns, 9)")):
        viewer_of(features=np.zeros(shape, np.float16))


@pytest.mark.parametrize("chart", [-1, 1])
def test_a_chart_that_is_not_there_is_refused(chart):
    with pytest.raises(BeatmapError, match=f"chart {chart} of 1; count from 0"):
        viewer_of(ShownChart(name="Easy", objects=Objects.none()), chart=chart)


# --- its files


def test_the_files_of_the_page_are_installed_and_ask_for_no_other():
    here = Path(panel.__file__).parent
    project = tomllib.loads((here.parents[1] / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["workbench.panels"]
    for name in ("map_viewer.js", "map_viewer.css"):
        assert any((here / name) in here.glob(pattern) for pattern in patterns)
        text = (here / name).read_text("utf-8")
        assert not re.search(r"https?://|//cdn|@import|\bimport\b.*from|fetch\(", text)
