"""Progress: what a state says, and how each shower shows it."""

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.progress import Progress, log_lines, silent, terminal


def at(done, total=10, **more):
    values = {"stage": "counting", "unit": "files", "seconds": 2.0, "fresh": done} | more
    return Progress(done=done, total=total, **values)


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self):
        return True

    @property
    def screen(self):
        """What a terminal would show: each line as its last rewriting."""
        lines = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for piece in line.split("\r"):
                shown = piece + shown[len(piece) :]
            lines.append(shown.rstrip())
        return lines


# --- a state


@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.just(0.0) | st.floats(1e-6, 1e6),
)
def test_rate_and_eta_agree_with_each_other(fresh, before, left, seconds):
    done = before + fresh
    state = at(done, done + left, fresh=fresh, seconds=seconds)
    assert state.is_last == (left == 0)
    if state.eta_seconds is None:
        assert state.rate == 0
    else:
        assert state.eta_seconds * state.rate == pytest.approx(left)
        assert state.rate * seconds == pytest.approx(fresh)
    assert state.line().count("\n") == 0


def test_a_resumed_run_is_timed_by_what_it_did_itself():
    state = at(90, 100, fresh=10, seconds=2.0)
    assert (state.rate, state.eta_seconds) == (5.0, 2.0)


def test_where_nobody_knows_the_total_there_is_no_eta_and_no_end():
    state = at(5, None)
    assert state.eta_seconds is None
    assert not state.is_last
    assert state.line() == "counting: 5 files, 2/s"


def test_a_line_says_where_the_work_is():
    numbers = {"events": 1_234_567, "bits": 3.14159265, "rss_mb": 80.0}
    assert at(4, numbers=numbers).line() == (
        "counting: 4/10 files, 2/s, 3 s left, events 1234567, bits 3.14159, rss_mb 80"
    )
    assert at(10).line() == "counting: 10/10 files, 5/s"
    assert at(0, seconds=0.0).line() == "counting: 0/10 files, 0/s"
    assert at(1, seconds=8.0).line() == "counting: 1/10 files, 7.5/min, 72 s left"


# --- showers


def test_log_lines_are_lines_in_the_log(caplog):
    with caplog.at_level(logging.INFO, "workbench.progress"):
        log_lines(at(4))
    assert caplog.messages == [at(4).line()]


def test_silence_is_silent(capsys, caplog):
    silent(at(4))
    assert capsys.readouterr() == ("", "")
    assert caplog.messages == []


def test_a_terminal_shows_one_line_that_is_rewritten():
    out = Terminal()
    show = terminal(out, interval_seconds=0)
    for done in (1, 5, 10):
        show(at(done, numbers={"left": 10**10 // 10**done}))
        assert out.screen[0] == at(done, numbers={"left": 10**10 // 10**done}).line()
    assert len(out.screen) == 2
    show(at(1, stage="again"))
    assert out.screen[1] == at(1, stage="again").line()


def test_a_shorter_line_leaves_nothing_of_a_longer_one():
    out = Terminal()
    show = terminal(out, interval_seconds=0)
    show(at(1, numbers={"a number of a long name": 123456}))
    show(at(2))
    assert out.screen == [at(2).line()]


def test_states_that_come_too_fast_are_left_out_but_not_the_last():
    out = Terminal()
    show = terminal(out, interval_seconds=3600)
    for done in range(1, 11):
        show(at(done))
    shown = [piece.strip() for piece in out.getvalue().split("\r")[1:]]
    assert shown == [at(1).line(), at(10).line()]


def test_a_file_gets_whole_lines_at_once(tmp_path):
    with (tmp_path / "log").open("w") as out:
        show = terminal(out, interval_seconds=0)
        for done in (1, 2, 10):
            show(at(done))
            lines = (
                (tmp_path / "log").read_text().splitlines()
            )  # it is there while the work goes on
            assert lines[-1] == at(done).line()
        assert len(lines) == 3


def test_a_file_gets_lines_ten_times_less_often_than_a_terminal():
    out = io.StringIO()
    show = terminal(out, interval_seconds=360)
    show(at(1))
    show(at(2))
    show(at(10))
    assert out.getvalue().splitlines() == [at(1).line(), at(10).line()]


def test_a_terminal_is_standard_error_when_nothing_else_is_said(capsys):
    terminal()(at(10))
    assert capsys.readouterr() == ("", at(10).line() + "\n")
