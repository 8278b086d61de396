"""The shard gauge and the learning curves."""

import re
import time
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from workbench.demo.drums import DrumCorpusOptions, make_drum_corpus
from workbench.demo.serving import served
from workbench.groove.files import midi_files
from workbench.groove.learn import Learned, Look, learn
from workbench.groove.options import LearnOptions, TokenizeOptions
from workbench.groove.tokenize import tokenize
from workbench.panels import shards as panel
from workbench.progress import Progress
from workbench.streaming.options import WindowOptions
from workbench.streaming.source import Source, SourceFile
from workbench.streaming.transfer import Transfer
from workbench.streaming.window import WindowStatus


def source_of(count):
    files = (
        SourceFile(name=f"{index}.parquet", url=f"http://nowhere/{index}.parquet", size=10, rows=7)
        for index in range(count)
    )
    return Source(name="nowhere", files=tuple(files))


def loader_at(states, **seconds):
    """What a gauge follows, where its window told these states."""
    status = None if states is None else WindowStatus(states=tuple(states))
    spent = {"wait_seconds": 0.0, "busy_seconds": 0.0} | seconds
    return SimpleNamespace(stream=SimpleNamespace(status=status), **spent)


# --- what a gauge sees

LIES = ("nothing", "part", "file")
TOLD = ("absent", "fetching", "ready", "in use", "gone", "skipped", "broken")


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(LIES), st.sampled_from(TOLD)), min_size=3, max_size=3),
        min_size=1,
        max_size=6,
    )
)
def test_a_gauge_shows_what_lies_in_the_folder(tmp_path_factory, looks):
    folder = tmp_path_factory.mktemp("window")
    (folder / "a folder of the window's own").mkdir()
    source = source_of(3)
    gauge = panel.ShardGauge(source, folder)
    places = [Transfer(folder).place(file) for file in source.files]
    have_been, most = set(), 0
    for number, look in enumerate(looks, 1):
        for place, (lies, _) in zip(places, look, strict=True):
            part = place.with_name(place.name + ".part")
            for path, is_there in ((place, lies == "file"), (part, lies == "part")):
                path.write_bytes(b"0123456789") if is_there else path.unlink(missing_ok=True)
        gauge._look(loader_at([told for _, told in look]), number)
        seen = gauge.moments[-1]
        lie = [lies for lies, _ in look]
        assert seen.files == len(lie) - lie.count("nothing")
        assert seen.size == 10 * seen.files
        most = max(most, seen.files)
        for index, (lies, told) in enumerate(look):
            state = seen.states[index]
            if told in ("skipped", "broken"):
                assert state == told
                continue
            if lies == "file":
                have_been.add(index)
                assert state == ("in use" if told == "in use" else "ready")
            elif lies == "part":
                assert state == "fetching"
            else:
                assert state == ("gone" if index in have_been else "absent")
    assert (gauge.most_files, gauge.shards_seen) == (most, len(have_been))


def test_a_gauge_of_no_news_keeps_few_moments(tmp_path):
    gauge = panel.ShardGauge(source_of(2), tmp_path)
    for hundredth in range(1, 101):
        gauge._look(loader_at(None), hundredth / 100)
    assert 9 <= len(gauge.moments) <= 12


@given(
    st.lists(st.sampled_from(TOLD), min_size=1, max_size=8),
    st.lists(st.floats(0, 10), min_size=1, max_size=8),
)
def test_a_state_lasts_until_the_next_moment(states, times):
    moments = [panel.Moment(seconds=float(n), states=(s,)) for n, s in enumerate(states)]
    found = panel.state_at(moments, np.array(times))
    assert found.shape == (1, len(times))
    for column, seconds in enumerate(times):
        want = [m for m in moments if m.seconds <= seconds][-1]
        assert panel.STATES[found[0, column]] == want.states[0]


# --- how it looks

# Machado, Oliveira and Fernandes (2009), severity 1: what is seen without one kind of cone.
VISIONS = {
    "all cones": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(colour, vision):
    """Return a colour as somebody sees it, CIE L*a*b* under D65."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(vision) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ratio = np.array(to_xyz) @ linear / (0.9505, 1.0, 1.089)
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISIONS)
def test_no_two_states_look_alike_to_anybody(vision):
    assert set(panel.COLOURS) == set(panel.MARKS) == set(panel.STATES)
    assert len(set(panel.MARKS.values())) == len(panel.STATES)
    for one, other in combinations(panel.STATES, 2):
        seen = [lab(panel.COLOURS[state], VISIONS[vision]) for state in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) > 25, (one, other)


def test_the_live_gauge_has_a_cell_a_shard_and_says_how_many_of_each(tmp_path):
    source = source_of(5)
    gauge = panel.ShardGauge(source, tmp_path)
    Transfer(tmp_path).place(source.files[1]).write_bytes(b"12")
    gauge._look(loader_at(["absent"] * 5, wait_seconds=1.0, busy_seconds=3.0), 1.0)
    page = gauge.widget.value
    assert re.findall(r'title="(\d)\.parquet: (\w+)"', page) == [
        ("0", "absent"), ("1", "ready"), ("2", "absent"), ("3", "absent"), ("4", "absent"),
    ]  # fmt: skip
    assert "4 absent, 1 ready; 1 files, 0 kB; waited 25.0% of the time" in page


def test_the_still_picture_has_a_row_a_shard_and_the_disk_as_it_was(tmp_path):
    source = source_of(3)
    gauge = panel.ShardGauge(source, tmp_path)
    for index in range(3):
        Transfer(tmp_path).place(source.files[index]).write_bytes(bytes(1000))
        gauge._look(loader_at(["in use"] * 3, wait_seconds=index), index + 1.0)
    shards, disk, wait = gauge.picture().figure.axes
    image = shards.images[0].get_array()
    assert image.shape[0] == 3
    assert [panel.STATES[int(value)] for value in image[:, -1]] == ["in use"] * 3
    assert [panel.STATES[int(value)] for value in image[:, 0]] == ["absent"] * 3
    assert disk.get_title("right") == "3 files at most"
    assert wait.lines[0].get_ydata()[-1] == 2
    assert gauge.picture()._repr_png_().startswith(b"\x89PNG")


# --- curves


def told(done, loss, bits=None, total=100):
    numbers = {"loss": loss} | ({} if bits is None else {"bits_per_bar": bits})
    return Progress(
        stage="learning", done=done, total=total, unit="batches", seconds=1.0, fresh=1,
        numbers=numbers,
    )  # fmt: skip


def points_of(curves):
    lines = re.findall(r'points="([^"]*)"', curves.widget.value)
    return [[tuple(map(float, p.split(","))) for p in line.split()] for line in lines]


@settings(max_examples=30)
@given(st.lists(st.floats(0, 10), min_size=2, max_size=700))
@example([5.0] * 649 + [1.0])
def test_live_curves_end_at_the_last_step_and_stay_in_their_frame(losses):
    curves = panel.LearningCurves()
    for step, loss in enumerate(losses, 1):
        curves.show(told(step, loss, bits=50 - step // 10, total=len(losses)))
    loss, bits = points_of(curves)
    assert len(loss) <= 350
    assert loss[-1][0] == pytest.approx(370, abs=0.2)
    assert all(46 <= x <= 370.1 and 21.9 <= y <= 118.1 for x, y in loss + bits)
    assert len(bits) == 1 + len(losses) // 10
    assert curves.still() == f"learning: {len(losses)} of {len(losses)} batches"


def test_a_run_that_was_gone_on_with_overwrites_what_was_lost():
    curves = panel.LearningCurves()
    assert curves.still() == "nothing was shown"
    for step in (*range(1, 81), *range(41, 101)):
        curves.show(told(step, 1.0 / step))
    (loss,) = points_of(curves)
    assert len(loss) == 100
    assert [x for x, _ in loss] == sorted(x for x, _ in loss)


def learned(losses, *, resumed_at=0):
    looks = tuple(Look(step=step, bits_per_bar=30.0, loss=1.0) for step in (2, 4))
    return Learned(
        shape=None, weights={}, history=looks, losses=tuple(losses), resumed_at=resumed_at,
        steps=len(losses), seconds=1.0, is_first=True,
    )  # fmt: skip


@given(st.lists(st.floats(0, 10), min_size=4, max_size=20), st.integers(0, 4), st.data())
@settings(max_examples=10)
def test_the_picture_of_two_runs_tells_how_many_steps_differ(losses, cut, data):
    wrong = data.draw(st.sets(st.integers(0, len(losses) - 1)))
    other = [loss + (step in wrong) for step, loss in enumerate(losses)]
    found = panel.resumed_picture(learned(losses), learned(other, resumed_at=cut), killed_at=5)
    over, difference = found.figure.axes
    assert found.caption == f"two runs, {len(wrong)} of {len(losses)} steps differ"
    gap = difference.lines[0].get_ydata()
    assert {step for step, value in enumerate(gap) if value} == wrong
    assert over.lines[0].get_ydata() == pytest.approx(losses)


def test_a_learning_picture_has_all_steps_and_looks():
    loss, bits = panel.learning_picture(learned([4.0, 3.0, 2.0, 1.5, 1.0])).figure.axes
    assert loss.lines[0].get_ydata().tolist() == [4.0, 3.0, 2.0, 1.5, 1.0]
    assert bits.lines[0].get_xdata().tolist() == [2, 4]


def test_a_table_of_many_shards_is_short():
    assert len(panel.shards_table(source_of(6)).rows) == 7
    rows = panel.shards_table(source_of(100)).rows
    assert [row[0] for row in rows] == [
        "0.parquet", "1.parquet", "2.parquet", "3.parquet", "…", "99.parquet", "all 100",
    ]  # fmt: skip
    assert rows[-1] == ("all 100", 700, 1000)


def test_a_table_of_bits_tells_what_a_model_saves_beside_the_first():
    rows = panel.bits_table({"counts": 24.0, "neural": 22.25, "worse": 24.5}).rows
    assert rows == [("counts", 24.0, 0.0), ("neural", 22.25, 1.75), ("worse", 24.5, -0.5)]


# --- a training


def test_a_gauge_follows_a_training_from_the_first_shard_to_the_last(tmp_path):
    corpus = make_drum_corpus(tmp_path / "corpus", DrumCorpusOptions(files=120))
    small = TokenizeOptions(shard_rows=64)
    tokens = tokenize(midi_files(corpus.folder), tmp_path / "shards", small)
    rows, shards = tokens.rows("train"), len(tokens.source("train").files)
    assert shards >= 4
    options = LearnOptions(
        steps=-(-rows // 32), batch_rows=32, width=8, layers=1, heads=1, threads=1, log_every=0,
        validate_every=1000, save_every=1000, progress=False, accelerator="cpu",
    )  # fmt: skip
    window = WindowOptions(ahead=2, min_free_bytes=0, warn_free_bytes=0)
    with served(tokens.folder) as url:
        train = tokens.source("train").at(url)
        gauge = panel.ShardGauge(train, tmp_path / "run" / "train")

        def slowly(progress):
            time.sleep(0.21)  # a window tells where it is five times a second

        where = {"train": train, "window": window, "callbacks": [gauge]}
        learn(tokens, tmp_path / "run", options, slowly, **where)
    assert gauge.shards_seen == shards
    assert 2 <= gauge.most_files <= 3
    assert gauge.still() == f"{shards} of {shards} shards came"
    seen = [moment.states for moment in gauge.moments]
    assert any("in use" in states for states in seen)
    assert "gone" in seen[-1]
    assert gauge._thread is not None
    assert not gauge._thread.is_alive()
    assert 0 < gauge.wait_share < 1
