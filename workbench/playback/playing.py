"""Playing a song from beginning to end in this thread, with Ctrl-C that stops the robot.

Units: seconds of the link's time.
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workbench.device import wire
from workbench.device.duties import Duties
from workbench.device.link import Link
from workbench.device.options import FeederOptions, LinkOptions, PlayOptions
from workbench.errors import WorkbenchError
from workbench.playback.performance import Performance, State, View
from workbench.playback.playlog import PlayReport
from workbench.progress import Progress, Show, silent

logger = logging.getLogger(__name__)

_STOP_SECONDS = 2.0  # before a stop becomes an emergency stop
_CONFIRM_SECONDS = 1.0
_STEP_SECONDS = 0.05  # that Ctrl-C waits at most
_SHOW_SECONDS = 1.0
_WATCH_SECONDS = 0.25

Watch = Callable[[float, View], None]


@dataclass(slots=True)
class Interruptions:
    """How often Ctrl-C was pressed.

    Attributes:
        count: Since the block began.
    """

    count: int = 0


@contextmanager
def interruptions() -> Iterator[Interruptions]:
    """Count what Ctrl-C would break off, while the block lasts; other threads' blocks see none."""
    found = Interruptions()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return

    def count(_number: int, _frame: object) -> None:
        found.count += 1

    before = signal.signal(signal.SIGINT, count)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How playing a song ended.

    Attributes:
        report: What was played.
        state: Of the performance at the end: idle, stopped or alarm.
        text: Why, where that needs a word.
        is_interrupted: Whether Ctrl-C ended it.
        is_at_rest: Whether the board confirmed that it stands still.
    """

    report: PlayReport
    state: State
    text: str
    is_interrupted: bool
    is_at_rest: bool

    @property
    def is_done(self) -> bool:
        """Whether every duty was certainly executed once, in order, and as it should."""
        report = self.report
        is_certain = not (report.uncertain or report.passed or any(report.not_pressed.values()))
        is_all = self.state == "idle" and report.executed == report.duties
        return is_all and is_certain and report.is_whole and not self.is_interrupted


def play_song(
    link: Link,
    duties: Duties,
    *,
    play: PlayOptions | None = None,
    feeder: FeederOptions | None = None,
    calls: LinkOptions | None = None,
    homes_first: bool = False,
    log: Path | None = None,
    show: Show = silent,
    tell: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> Played:
    """Play a song from beginning to end, in this thread.

    The first Ctrl-C stops the music; the second, or one while the cart looks for its switch, is an
    emergency stop. On an error too the robot is brought to rest, and the log is written.

    Args:
        link: To the board.
        duties: Of the song.
        play: How the performance goes.
        feeder: How the board is fed.
        calls: How long answers may take.
        homes_first: Whether the robot is homed before, which ends an alarm.
        log: A Parquet file to write every executed duty into.
        show: Takes the progress.
        tell: Takes each line worth a log; they are logged when not given.
        watch: Takes each look at the performance and its time of the link, seconds.

    Raises:
        PlaybackError: The board cannot be brought to play.
        DeviceError: The board refuses a duty.
        CachingError: The log cannot be written.
    """
    performance = Performance(link, play=play, feeder=feeder, calls=calls, tell=tell)
    with interruptions() as presses:
        try:
            if homes_first:
                performance.home()
                _conduct(performance, presses, silent, watch)
            if not presses.count:
                performance.load(duties)
                performance.play()
                _conduct(performance, presses, show, watch)
        finally:
            is_at_rest = performance.is_over or _brought_to_rest(performance, presses)
            if log is not None:
                performance.log.save(log)
    report = performance.log.report()
    show(_progress(performance, report.executed, 0.0))
    return Played(
        report=report,
        state=performance.state,
        text=performance.text,
        is_interrupted=presses.count > 0,
        is_at_rest=is_at_rest,
    )


def _conduct(
    performance: Performance, presses: Interruptions, show: Show, watch: Watch | None
) -> None:
    """Step until all is over, or Ctrl-C is pressed."""
    begun = shown = watched = performance.now()
    while not (performance.is_over or presses.count):
        performance.step(_STEP_SECONDS)
        now = performance.now()
        if watch is not None and now - watched >= _WATCH_SECONDS:
            watched = now
            watch(now, performance.view())
        if now - shown >= _SHOW_SECONDS:
            shown = now
            show(_progress(performance, performance.view().index, now - begun))


def _brought_to_rest(performance: Performance, presses: Interruptions) -> bool:
    """Stop the robot; return whether the board confirms that it stands still."""
    known = performance.caller.state
    if known is None or known.state != wire.HOMING:  # that goes on over a plain stop
        count = presses.count
        performance.stop()
        end = performance.now() + _STOP_SECONDS
        while not performance.is_over and performance.now() < end and presses.count == count:
            if not _stepped(performance):
                break
        if performance.is_over and performance.state != "alarm":
            return True
    performance.emergency_stop()
    end = performance.now() + _CONFIRM_SECONDS
    while performance.state != "alarm" and performance.now() < end and _stepped(performance):
        pass
    return performance.state == "alarm"


def _stepped(performance: Performance) -> bool:
    try:
        performance.step(_STEP_SECONDS)
    except WorkbenchError as error:
        logger.warning("%s", error)
        return False
    return True


def _progress(performance: Performance, done: int, seconds: float) -> Progress:
    view = performance.view()
    numbers = {"late ms": view.late_ms, "heap free": float(view.heap_free)}
    if performance.state == "playing":
        numbers["ahead s"] = round((view.buffered_ms - view.position_ms) / 1000, 1)
    return Progress(
        stage=view.state,
        done=done,
        total=view.duties,
        unit="duties",
        seconds=seconds,
        fresh=done,
        numbers=numbers,
    )
