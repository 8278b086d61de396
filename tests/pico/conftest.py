"""The flash of a board, compiled once."""

import pytest
from pico_board import flash


@pytest.fixture(scope="session")
def flashed(tmp_path_factory):
    return flash(tmp_path_factory.mktemp("flash"))
