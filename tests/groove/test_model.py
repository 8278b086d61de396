"""Models on disk: opened without running anything, read as used, refused when damaged."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpora import files_of, model_rows
from performances import columns_and_streams, grids_of

import workbench
from workbench.errors import CachingError, GrooveError
from workbench.groove.labels import read_labels
from workbench.groove.model import open_model
from workbench.groove.options import SampleOptions
from workbench.groove.sample import sample
from workbench.groove.streams import bar_neighbours

PACKAGE = Path(workbench.__file__).parent
UNSAFE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
PROCESSES = PACKAGE / "streaming" / "workers.py"  # the standard library pickles what it sends


@pytest.fixture(scope="module")
def data(corpus, plain):
    skipped = {entry["file"] for entry in plain.skipped()}
    files = files_of(corpus.folder)
    names = [name for at in range(len(files)) if (name := files.name(at)) not in skipped]
    grids = grids_of([corpus.folder / name for name in names])
    return columns_and_streams(grids, read_labels(corpus.folder / "labels.csv").numbers(names))


@pytest.fixture
def copy(plain, tmp_path):
    """A model that may be damaged."""
    return Path(shutil.copytree(plain.folder, tmp_path / "copy"))


def _rewrite(folder, change):
    path = folder / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    change(description)
    path.write_text(json.dumps(description), encoding="utf-8")


def _modules_imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_nothing_of_the_package_imports_what_runs_code_when_it_reads() -> None:
    sources = list(PACKAGE.rglob("*.py"))
    assert len(sources) > 40
    assert "json" in set(_modules_imported(PACKAGE / "groove" / "model.py"))
    found = {
        (path.relative_to(PACKAGE).as_posix(), module)
        for path in sources
        if path != PROCESSES
        for module in _modules_imported(path)
        if module in UNSAFE
    }
    assert found == set()
    loads = [path for path in sources if "allow_pickle=True" in path.read_text(encoding="utf-8")]
    assert loads == []


def test_a_pickle_in_the_place_of_an_array_is_not_run(copy, tmp_path) -> None:
    trace = tmp_path / "was_run"
    array = np.array([_Trap(str(trace))], object)
    for name in ("steps.keys.npy", "steps.counts.npy"):
        np.save(copy / name, array, allow_pickle=True)
    with pytest.raises(CachingError, match=r"steps\.keys\.npy"):
        open_model(copy).stream("steps")
    assert not trace.exists()


class _Trap:
    """An object that leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def test_opening_reads_the_description_alone(copy) -> None:
    for array in copy.glob("*.npy"):
        array.unlink()
    model = open_model(copy)
    assert model.resolution == 4
    assert "funk" in model.labels["style"]
    assert set(model.streams) >= {"events", "steps", "pitch", "velocity", "timing", "bars"}
    with pytest.raises(CachingError, match=r"steps\.keys\.npy"):
        model.stream("steps")


def test_a_stream_is_opened_once_and_the_others_are_not(copy) -> None:
    for array in copy.glob("events.*"):
        array.unlink()
    model = open_model(copy)
    assert model.stream("steps") is model.stream("steps")
    assert len(sample(model, SampleOptions()).masks) == 4 * 16  # needs no events


def test_opening_and_the_first_bar_are_quick_in_a_new_process(plain) -> None:
    program = (
        "import time, sys, pathlib; from workbench.groove.model import open_model;"
        "from workbench.groove.options import SampleOptions;"
        "from workbench.groove.sample import sample;"
        "began = time.process_time();"
        "sample(open_model(pathlib.Path(sys.argv[1])), SampleOptions(bars=1)).midi;"
        "print(time.process_time() - began)"
    )
    command = [sys.executable, "-c", program, str(plain.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.2


@pytest.mark.parametrize("name", ["events", "steps", "pitch", "velocity", "timing"])
def test_all_probabilities_at_once_are_those_one_by_one(data, plain, name) -> None:
    columns, _ = data
    stream = plain.stream(name)
    values = columns.of(stream.stream)
    chosen = np.random.default_rng(3).choice(len(values["target"]), 400, replace=False)
    values = {field: column[chosen] for field, column in values.items()}
    generator = np.random.default_rng(4)
    for field, bits in stream.stream.fields[-2:]:  # every other context is a new one
        values[field][::2] = generator.integers(0, 1 << bits, len(values[field][::2]))
    for depth in (None, 0, 1):
        fields = [field for field, _ in stream.stream.fields[:depth]]
        found = stream.probabilities(values, depth=depth)
        contexts = zip(*(values[field].tolist() for field in fields), strict=True)
        contexts = list(contexts) or [()] * len(chosen)
        expected = [
            stream.distribution(context).seen[stream.index_of_target[target]]
            for context, target in zip(contexts, values["target"].tolist(), strict=True)
        ]
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["style", "drummer", "section"])
def test_labels_correct_alike_all_at_once_and_one_by_one(data, plain, kind) -> None:
    columns, _ = data
    steps, label = plain.stream("steps"), plain.stream(f"steps.{kind}")
    values = {f: column[::37] for f, column in columns.of(label.stream).items()}
    base = np.full(len(values["target"]), 0.01)
    found = label.probabilities(values, base=base)
    fields = [field for field, _ in label.stream.fields]
    contexts = zip(*(values[field].tolist() for field in fields), strict=True)
    even = np.full(len(steps.targets), 0.01)
    expected = [
        label.corrected(even, steps.targets, context, 1.0)[steps.index_of_target[target]]
        for context, target in zip(contexts, values["target"].tolist(), strict=True)
    ]
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_target_that_the_corpus_never_has_is_still_possible(plain) -> None:
    stream = plain.stream("steps")
    missing = next(mask for mask in range(512) if mask not in stream.index_of_target)
    context = {field: np.zeros(1, np.int64) for field, _ in stream.stream.fields}
    found = stream.probabilities(context | {"target": np.array([missing])})
    assert found[0] > 0
    key = (0,) * stream.stream.depth
    assert found[0] == pytest.approx(stream.distribution(key).unseen, rel=1e-12)


def test_counts_are_the_highest_level_and_every_file_that_was_left_out_is_told(data, plain) -> None:
    columns, streams = data
    for stream in streams:
        rows = model_rows(plain, stream.name)
        keys, counts = np.unique(columns.keys(stream), return_counts=True)
        assert rows == dict(zip(keys.tolist(), counts.tolist(), strict=True))
    left_out = list(plain.skipped())
    assert len(left_out) == plain.description["skipped"] > 0
    assert {entry["reason"] for entry in left_out} == set(plain.description["reasons"])


def test_bars_of_the_corpus_are_known_and_others_are_not(data, plain) -> None:
    columns, _ = data
    assert plain.knows_bars(columns.bar_digests).all()
    assert not plain.knows_bars(columns.bar_digests + np.uint64(1)).any()
    assert plain.knows_bars(np.zeros(0, np.uint64)).tolist() == []
    near = next(bar_neighbours(columns.steps["target_steps"], columns.bar_start))
    assert plain.knows_bars(near)[0]


def _without(name):
    return lambda description: description.pop(name)


def _with(**values):
    return lambda description: description.update(values)


DAMAGES = {
    "no_format": _without("format"),
    "no_counting": _without("counting"),
    "no_labels": _without("labels"),
    "no_streams": _without("streams"),
    "no_min_count": _without("min_count"),
    "counting_of_nothing": _with(counting={}),
    "unknown_option": _with(counting={"n": 4, "part": "drums", "resolution": 4, "hats": 1}),
    "wrong_option": _with(counting={"n": "four", "part": "drums", "resolution": 4}),
    "labels_of_another_kind": _with(labels=["style"]),
    "labels_without_values": _with(labels={"style": None}),
    "streams_of_another_kind": _with(streams=[]),
    "another_n": lambda d: d["counting"].update(n=2),
    "a_level_less": lambda d: d["streams"]["steps"]["levels"].pop(),
    "a_negative_row": lambda d: d["streams"]["steps"]["levels"][0].update(rows=-1),
    "a_discount_less": lambda d: d["streams"]["steps"]["levels"][0]["discounts"].pop(),
    "a_discount_in_words": lambda d: d["streams"]["steps"]["levels"][0].update(discounts="abc"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_description_is_refused_in_one_line(copy, damage) -> None:
    _rewrite(copy, damage)
    with pytest.raises(GrooveError, match="no readable groove model") as caught:
        open_model(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"model"', "null", "\udcff"])
def test_a_description_that_is_none_is_refused(copy, text) -> None:
    (copy / "model.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(GrooveError, match="workbench groove train"):
        open_model(copy)


def test_a_model_of_another_format_and_a_place_without_one_are_refused(copy, tmp_path) -> None:
    _rewrite(copy, _with(format=99))
    with pytest.raises(GrooveError, match="a model of format 99; this program reads"):
        open_model(copy)
    for place in (tmp_path / "nothing", copy / "model.json"):
        with pytest.raises(GrooveError, match="no readable groove model"):
            open_model(place)


@pytest.mark.parametrize("name", ["steps.keys.npy", "steps.counts.npy"])
@pytest.mark.parametrize("kept", [0, 60, 128, 1000, -8])
def test_a_cut_array_is_refused(copy, name, kept) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:kept])
    with pytest.raises((GrooveError, CachingError), match=r"steps|copy"):
        open_model(copy).stream("steps")


def test_arrays_of_another_length_or_type_are_refused(copy) -> None:
    keys = np.load(copy / "steps.keys.npy")
    for other in (keys[:-1], np.append(keys, keys[-1:]), keys.astype(np.float64), keys[None]):
        np.save(copy / "steps.keys.npy", other)
        with pytest.raises(GrooveError, match="damaged: steps has"):
            open_model(copy).stream("steps")


def test_a_key_with_a_target_that_is_nowhere_is_refused(copy) -> None:
    model = open_model(copy)
    level = model.description["streams"]["steps"]["levels"][1]
    keys = np.load(copy / "steps.keys.npy")
    missing = next(m for m in range(512) if m not in model.stream("steps").index_of_target)
    keys[level["start"]] = keys[level["start"]] & ~np.uint64(511) | np.uint64(missing)
    np.save(copy / "steps.keys.npy", keys)
    place = int(keys[level["start"]]) >> 9
    with pytest.raises(GrooveError, match="damaged"):
        open_model(copy).stream("steps").distribution((place,))


def test_a_stream_that_the_model_has_not_is_told_with_those_it_has(plain) -> None:
    with pytest.raises(GrooveError, match=r"no stream 'chords'.*--part drums.*events, steps"):
        plain.stream("chords")
