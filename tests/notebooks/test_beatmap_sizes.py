"""What params files of the map writer say of themselves, held against the networks they ask for."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from workbench.beatmap.writer import drum_charts
from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.model_options import TrainOptions
from workbench.beatmap.writer.network import MapNetwork, NetworkShape
from workbench.beatmap.writer.options import ChartWindowOptions, MelSpec
from workbench.runs.batch import plan
from workbench.runs.places import root

TOP = root(Path(__file__).parent)
SIZES = sorted((TOP / "params" / "beatmap_train").glob("*.yaml"))


def values_of(path):
    """Return all parameters of a run."""
    (run,) = plan(path, TOP)
    return run.values


def of_kind(kind, values):
    """Return the options of one kind that a notebook makes of its parameters."""
    names = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in names})


def test_there_is_a_file_for_each_size():
    assert {path.stem for path in SIZES} == {"tiny", "small", "medium", "medium_conformer", "large"}


@pytest.mark.parametrize("path", SIZES, ids=lambda path: path.stem)
def test_a_file_tells_its_true_count_of_parameters(path):
    values = values_of(path)
    spec = of_kind(MelSpec, values)
    names = {field.name for field in fields(NetworkShape)}
    asked = {name: value for name, value in values.items() if name in names}
    counts = []
    for styles in (0, 1):
        shape = NetworkShape(
            channels=spec.channels, columns_a_beat=spec.columns_a_beat, styles=styles, **asked
        )
        with torch.device("meta"):
            counts.append(MapNetwork(shape).parameter_count())
    said = re.search(r"([\d,]+) parameters, and ([\d,]+) for each style", path.read_text())
    count, style = (int(number.replace(",", "")) for number in said.groups())
    assert (count, count + style) == tuple(counts)


@pytest.mark.parametrize("path", SIZES, ids=lambda path: path.stem)
def test_a_file_asks_for_what_can_be_trained(path):
    values = values_of(path)
    options = of_kind(TrainOptions, values)
    assert options.warm_up < options.steps
    assert options.validate_every <= options.steps
    assert of_kind(DataOptions, values).batch_size >= 1
    if path.stem != "tiny":
        cut = of_kind(ChartWindowOptions, values)
        assert (cut.bars, cut.context) == (8, 1)
        assert (options.kernel == 31) == (path.stem in ("medium_conformer", "large"))


def test_the_writer_that_is_trained_on_the_spot_is_that_of_the_tiny_run():
    values = values_of(TOP / "params" / "beatmap_train" / "tiny.yaml")
    assert of_kind(ChartWindowOptions, values) == drum_charts.CUT
    assert of_kind(DataOptions, values) == drum_charts.DATA
    assert of_kind(TrainOptions, values) == drum_charts.TRAINING
    generate = values_of(TOP / "params" / "beatmap_generate" / "tiny.yaml")
    assert (generate["songs"], generate["steps"]) == (values["songs"], values["steps"])
