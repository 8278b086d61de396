"""The notebooks' parameters cells against the Options they set, and the params files."""

from pathlib import Path

import pytest

from workbench.beatmap.writer.data_options import DataOptions
from workbench.beatmap.writer.model_options import GenerateOptions
from workbench.beatmap.writer.model_options import TrainOptions as MapTrainOptions
from workbench.beatmap.writer.options import CacheOptions, ChartWindowOptions, MelSpec
from workbench.demo.songs import SongCorpusOptions
from workbench.device.options import FeederOptions, PlayOptions
from workbench.groove.options import LearnOptions, SampleOptions, TokenizeOptions, TrainOptions
from workbench.learning.options import FeedOptions
from workbench.options import Parameter, parameters_of
from workbench.playback.options import PlanOptions
from workbench.runs.batch import plan
from workbench.runs.notebooks import read_notebook
from workbench.runs.parameters import read_schema
from workbench.runs.places import root
from workbench.speech.options import GatherOptions
from workbench.speech.speakers import SpeakerOptions

TOP = root(Path(__file__).parent)
OPTIONS = {
    "00_tour": (SampleOptions, GatherOptions, FeedOptions, SpeakerOptions),
    "groove_train": (TrainOptions,),
    "groove_sample": (SampleOptions,),
    "shard_feed": (TokenizeOptions, FeedOptions, LearnOptions),
    "speech_gather": (GatherOptions,),
    "beatmap_prepare": (CacheOptions, SongCorpusOptions),
    "beatmap_train": (MelSpec, ChartWindowOptions, DataOptions, MapTrainOptions),
    "beatmap_generate": (GenerateOptions,),
    "pico_playback": (PlanOptions, PlayOptions, FeederOptions),
}
# What a notebook starts from where it means to show more than the bare command does.
OWN_DEFAULTS = {
    "00_tour": {
        "bpm",
        "sample_rate",
        "steps",
        "streaming_buffer_size",
        "style",
        "temperature",
        "top_p",
        "upload_batch_size",
    },
    "groove_train": {"validate_every"},
    "speech_gather": {"upload_batch_size"},
    "shard_feed": {
        "averaging",
        "batch_rows",
        "dropout",
        "layers",
        "learning_rate",
        "patience",
        "save_every",
        "shard_rows",
        "steps",
        "streaming_buffer_size",
        "streaming_connections",
        "threads",
        "validate_every",
        "warm_up",
        "width",
    },
    "groove_sample": {"bars", "bpm", "style", "section", "top_p", "seed"},
    "beatmap_prepare": set(),
    "beatmap_train": {
        "accelerator",
        "averaging",
        "bars",
        "batch_size",
        "dropout",
        "hidden",
        "learning_rate",
        "look_windows",
        "patience",
        "smoothing",
        "steps",
        "test",
        "threads",
        "validate_every",
        "validation",
        "vocabulary",
        "warm_up",
        "width",
    },
    "beatmap_generate": {"temperature"},
    "pico_playback": set(),
}
# Paths are text in a parameters cell; empty text is none.
PATHS = {"labels", "validation", "prime"}


def parameters_that_set(name: str) -> dict[str, Parameter]:
    """Return the options that a notebook sets, those of a name that only one class has."""
    found = [parameters_of(each) for each in OPTIONS[name]]
    names = [parameter for options in found for parameter in options]
    shared = {parameter for parameter in names if names.count(parameter) > 1}
    return {
        parameter: told
        for options in found
        for parameter, told in options.items()
        if parameter not in shared
    }


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_parameter_that_sets_an_option_says_the_same_as_the_option(name: str) -> None:
    path = TOP / "notebooks" / f"{name}.ipynb"
    schema = read_schema(read_notebook(path), path)
    options = parameters_that_set(name)
    shared = set(schema) & set(options) - PATHS
    assert len(shared) >= 6
    for parameter in shared:
        told, option = schema[parameter], options[parameter]
        assert (told.kind, told.low, told.high) == (option.kind, option.low, option.high), parameter
        assert told.meaning == option.meaning, parameter
        if parameter not in OWN_DEFAULTS[name]:
            assert told.default == option.default, parameter


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_defaults_that_a_notebook_has_of_its_own_are_values_of_the_option(name: str) -> None:
    path = TOP / "notebooks" / f"{name}.ipynb"
    schema = read_schema(read_notebook(path), path)
    options = parameters_that_set(name)
    for parameter in OWN_DEFAULTS[name]:
        assert schema[parameter].default != options[parameter].default
        assert options[parameter].problem(schema[parameter].default) is None


@pytest.mark.parametrize("params", sorted((TOP / "params").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_params_file_is_valid(params: Path) -> None:
    assert plan(params, TOP)


def test_every_notebook_has_a_tiny_run() -> None:
    for notebook in (TOP / "notebooks").glob("*.ipynb"):
        assert (TOP / "params" / notebook.stem / "tiny.yaml").is_file()
