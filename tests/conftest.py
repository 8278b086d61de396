"""Where the data beside the checkout is; a test that needs it says so by a marker."""

import os
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "shared" / "data"


def _folder(name: str) -> Path:
    folder = DATA / name
    if folder.is_dir():
        return folder
    text = f"{folder} is missing: this test needs it"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def gmd() -> Path:
    """The Groove MIDI Dataset: train/ and validation/."""
    return _folder("gmd")


@pytest.fixture(scope="session")
def malformed() -> Path:
    """36 malformed and odd MIDI files, each with the one defect that its name tells."""
    return _folder("midi_malformed")
