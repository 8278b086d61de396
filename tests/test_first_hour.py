"""The paths of the README's first hour, done exactly as they are written there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"\*\*(.+?)\*\*.*?```sh\n(.*?)```", re.DOTALL)


def paths():
    """Return title and commands of each path."""
    _, _, told = README.read_text(encoding="utf-8").partition("## The first hour\n")
    return BLOCK.findall(told.partition("\n## ")[0])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Do all of them, one after another, in one empty folder; give it and what they said."""
    folder = tmp_path_factory.mktemp("first hour")
    beside = str(Path(sys.executable).parent)  # as an activated environment has it
    env = os.environ | {"PATH": os.pathsep.join([beside, os.environ["PATH"]])}
    said = {}
    for title, commands in paths():
        script = ["bash", "-emc", commands]
        ended = subprocess.run(
            script, check=False, cwd=folder, env=env, capture_output=True, text=True, timeout=300
        )
        said[title] = ended.stdout + ended.stderr
        assert ended.returncode == 0, f"{title}: {said[title]}"
    return folder, said


def is_heard(path):
    samples, rate = soundfile.read(path)
    return len(samples) > 3 * rate and np.abs(samples).max() > 0.1


def test_there_are_five_paths_and_they_can_be_found():
    assert len(paths()) == 5
    assert all(commands.count("workbench ") >= 2 for _, commands in paths())


@pytest.mark.soak
def test_each_ends_in_something_to_see_or_hear(done):
    folder, said = done
    assert is_heard(folder / "new.wav")
    assert is_heard(folder / "drawn.wav")
    played = pq.read_table(folder / "played.parquet")
    assert played.num_rows > 50
    assert "none lost, doubled or reordered" in said["Play it on the robot"]
    again = said["Gather a dataset of speech"]
    assert " 0 of them now" in again
    assert re.search(r"num_rows: \d{3}", again)
    assert (folder / "map.zip").stat().st_size > 10_000
    with Image.open(folder / "map.png") as picture:
        assert min(picture.size) > 200
