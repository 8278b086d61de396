"""Work that is killed at a step."""

from functools import partial

import pytest
from work_in_steps import work

from workbench.errors import StreamingError
from workbench.learning.interruption import killed


def test_a_process_that_is_killed_cleans_up_nothing(tmp_path):
    shown = []
    assert killed(partial(work, tmp_path, 10**9), step=3, show=shown.append) == 3
    assert [progress.done for progress in shown] == [1, 2, 3]
    assert (tmp_path / "step 3").exists()
    assert not (tmp_path / "cleaned up").exists()
    assert not (tmp_path / "ended").exists()


def test_work_that_ends_before_it_is_killed_is_an_error(tmp_path):
    with pytest.raises(StreamingError, match=r"ended by itself after step 2 of 5 \(exit code 0\)"):
        killed(partial(work, tmp_path, 2), step=5)
    assert (tmp_path / "cleaned up").exists()
