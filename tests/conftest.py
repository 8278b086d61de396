"""Where the data beside the checkout is; a test that needs it says so by a marker."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# The same examples in every run: what passes here passes there, and a find stays found.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

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


@pytest.fixture
def obey_permissions() -> Callable[[], None]:
    """What a child process calls before it begins, so that permissions bind even root."""

    def give_up() -> None:
        libc = ctypes.CDLL(None)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; who has none, keeps none

    return give_up
