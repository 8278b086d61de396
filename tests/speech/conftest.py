"""What the tests of the speech room share."""

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def espeak() -> Callable[[str], bytes]:
    """A function that says English as WAV bytes, by espeak-ng."""
    program = shutil.which("espeak-ng")
    if program is None:
        text = "espeak-ng is missing: this test needs it"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)

    def say(text: str) -> bytes:
        command = [program, "--stdout", "-v", "en-us+f2", "-s", "130", text]
        return subprocess.run(command, check=True, capture_output=True).stdout

    return say
