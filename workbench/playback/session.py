"""Sessions with a board: a thread that plays, commands that return at once, events that tell.

    with Session(lambda: SerialLink("/dev/ttyACM0")) as session:
        session.load(plan.duties)
        session.play()
        session.wait_for("idle", seconds=600)

`perform` and `perform_together` play in the caller's own thread instead, which on a simulator's
virtual time takes seconds for hours of music. Units: seconds on the link's time, milliseconds of
the song.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Self

from workbench.device import wire
from workbench.device.duties import Duties
from workbench.device.link import Dial, LastingLink, Link
from workbench.device.options import FeederOptions, LinkOptions, PlayOptions
from workbench.errors import PlaybackError, WorkbenchError
from workbench.playback.performance import Performance, State, View
from workbench.playback.playlog import PlayLog, PlayReport
from workbench.progress import Progress, Show, silent

logger = logging.getLogger(__name__)

# User's percent of each preset; the board makes the servo's duty of it.
PRESETS = {
    "silence": 0,
    "whisper": 10,
    "quiet": 20,
    "soft": 30,
    "normal": 50,
    "medium": 70,
    "loud": 85,
    "forte": 95,
    "maximum": 100,
}
_NORMAL = PRESETS["normal"]
_STEP_SECONDS = 0.01  # that a command waits at most
_VIEW_SECONDS = 0.05  # between two views
_EVENTS = 1000
_LEAD_SECONDS = 0.5  # that boards are told ahead when to begin together


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling.

    Attributes:
        seconds: When, on the link's time, since the session began.
        text: What.
    """

    seconds: float
    text: str


def preset_gain(preset: str) -> int:
    """Return the gain, percent, that makes music of normal volume as loud as a preset.

    Raises:
        PlaybackError: There is no such preset.
    """
    if preset not in PRESETS:
        raise PlaybackError(f"volume {preset!r} is none of {', '.join(PRESETS)}")
    return PRESETS[preset] * 100 // _NORMAL


class Session:
    """A board, and a thread that plays on it.

    Attributes:
        events: The last thousand.
        error: What ended the session's thread or music last, or None.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        play: PlayOptions | None = None,
        feeder: FeederOptions | None = None,
        link: LinkOptions | None = None,
        tell: Callable[[Event], None] | None = None,
    ) -> None:
        """Say how to reach the board; entering the context reaches it.

        Args:
            dial: Opens a link to it; called again whenever that is lost.
            play: How performances go.
            feeder: How the board is fed.
            link: How the board is reached, and when it is given up.
            tell: Takes each event, in the session's thread.
        """
        self.events: deque[Event] = deque(maxlen=_EVENTS)
        self.error: WorkbenchError | None = None
        self._dial, self._play, self._feeder = dial, play, feeder
        self._options = link or LinkOptions()
        self._listener = tell
        self._commands: queue.SimpleQueue[tuple[Future[None], Callable[[], None]]] = (
            queue.SimpleQueue()
        )
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._began = 0.0

    def __enter__(self) -> Self:
        """Open the link and begin.

        Raises:
            DeviceError: The port cannot be opened.
        """
        self._link = LastingLink(self._dial, self._options)
        self._began = self._link.now()
        self._performance = Performance(
            self._link,
            play=self._play,
            feeder=self._feeder,
            calls=self._options,
            tell=self._told,
        )
        self._view = self._performance.view()
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the music and close the link."""
        if self._view.state in ("playing", "paused", "filling", "recovering"):
            self.stop()
            self.wait_for("stopped", "alarm", "idle", seconds=2.0, is_needed=False)
        self._closing.set()
        self._thread.join(5.0)
        self._link.close()

    # --- commands; each returns at once, its future tells when it was taken in

    def load(self, duties: Duties) -> Future[None]:
        """Take a song; what plays is stopped."""
        return self._post(lambda: self._performance.load(duties))

    def play(self, *, at: float | None = None) -> Future[None]:
        """Let music begin or go on; `at` is a time of the link."""
        return self._post(lambda: self._performance.play(at=at))

    def pause(self) -> Future[None]:
        """Let the music stand still where it is; before it began, fill the board."""
        return self._post(self._performance.pause)

    def stop(self) -> Future[None]:
        """End the music and go back to the beginning."""
        return self._post(self._performance.stop)

    def seek(self, index: int) -> Future[None]:
        """Go on at a duty, playing or paused as before."""
        return self._post(lambda: self._performance.seek(index))

    def seek_ms(self, ms: float) -> Future[None]:
        """Go on at the duty that sounds at a position of the song."""
        return self._post(
            lambda: self._performance.seek(self._performance.duties.index_at(ms)),
        )

    def home(self) -> Future[None]:
        """Bring all home; ends an alarm."""
        return self._post(self._performance.home)

    def press(self, finger: int, side: int) -> Future[None]:
        """Move a finger by hand: 0 home, 1 left, 2 right."""
        return self._post(lambda: self._performance.move(wire.FINGER, finger, side))

    def release(self) -> Future[None]:
        """Bring all fingers home by hand."""
        return self._post(lambda: self._performance.move(wire.RELEASE))

    def move_cart(self, position: int) -> Future[None]:
        """Move the cart by hand, to a position 0..11."""
        return self._post(lambda: self._performance.move(wire.CART, position))

    def gain(self, percent: int) -> Future[None]:
        """Set how loud all is, 0..200 percent of what the song says."""
        return self._post(lambda: self._performance.gain(percent))

    def preset(self, name: str) -> Future[None]:
        """Set how loud all is by one of the nine presets.

        Raises:
            PlaybackError: There is no such preset.
        """
        return self.gain(preset_gain(name))

    def emergency_stop(self) -> None:
        """Stop the robot now: the bytes are sent before this returns."""
        self._performance.emergency_stop()

    # --- looks

    @property
    def view(self) -> View:
        """How it stands, at most a twentieth of a second ago."""
        return self._view

    @property
    def log(self) -> PlayLog:
        """Of what was played since the song was loaded."""
        return self._performance.log

    def report(self) -> PlayReport:
        """Return how it went so far."""
        return self._performance.log.report()

    def now(self) -> float:
        """Return the time of the link, seconds."""
        return self._link.now()

    def wait_for(self, *states: State, seconds: float = 10.0, is_needed: bool = True) -> View:
        """Wait until the session is in one of some states.

        Args:
            states: Any of them.
            seconds: To wait at most.
            is_needed: Whether it is an error when it does not come about.

        Raises:
            PlaybackError: It did not come about in time, or the session ended on an error.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while self._view.state not in states:
                left = end - time.monotonic()
                if left <= 0 or not self._thread.is_alive():
                    if is_needed:
                        raise self.error or PlaybackError(
                            f"the session is {self._view.state} and did not come to"
                            f" {' or '.join(states)} in {seconds:g} s"
                        )
                    break
                self._changed.wait(min(left, 0.2))
        return self._view

    # --- the thread

    def _post(self, command: Callable[[], None]) -> Future[None]:
        done: Future[None] = Future()
        self._commands.put((done, command))
        return done

    def _run(self) -> None:
        shown_at = -1.0
        while not self._closing.is_set():
            self._obey()
            try:
                self._performance.step(_STEP_SECONDS)
            except WorkbenchError as error:
                self.error = error
                self._told(str(error))
                self._performance.give_up(str(error))
            now = self._link.now()
            if now - shown_at >= _VIEW_SECONDS or self._performance.state != self._view.state:
                shown_at = now
                self._look()

    def _obey(self) -> None:
        while not self._commands.empty():
            done, command = self._commands.get()
            try:
                command()
            except WorkbenchError as error:
                self._told(str(error))
                done.set_exception(error)
            else:
                self.error = None
                done.set_result(None)
            self._look()

    def _look(self) -> None:
        view = self._performance.view()
        with self._changed:
            self._view = replace(view, is_up=view.is_up and self._link.is_up)
            self._changed.notify_all()

    def _told(self, text: str) -> None:
        event = Event(self._link.now() - self._began, text)
        self.events.append(event)
        logger.info("%s: %s", self._link.name, text)
        if self._listener is not None:
            self._listener(event)


def perform(
    link: Link,
    duties: Duties,
    *,
    play: PlayOptions | None = None,
    feeder: FeederOptions | None = None,
    calls: LinkOptions | None = None,
    show: Show = silent,
) -> PlayLog:
    """Play a song from beginning to end, in this thread.

    Args:
        link: To the board.
        duties: Of the song.
        play: How the performance goes.
        feeder: How the board is fed.
        calls: How long answers may take.
        show: Takes the progress.

    Returns:
        What was played.

    Raises:
        PlaybackError: The board cannot be brought to play, or there was an alarm.
        DeviceError: The board refuses a duty.
    """
    performance = Performance(link, play=play, feeder=feeder, calls=calls)
    performance.load(duties)
    performance.play()
    begun = shown = link.now()
    while not performance.is_over:
        performance.step(0.1)
        if link.now() - shown >= 1.0:
            shown = link.now()
            show(_progress(performance.view(), shown - begun))
    if performance.state == "alarm":
        raise PlaybackError(f"{link.name}: {performance.text}; look at the robot, then home it")
    return performance.log


def perform_together(performances: Sequence[Performance], *, lead: float = _LEAD_SECONDS) -> None:
    """Play on several boards at once, in this thread: their songs begin at the same moment.

    Args:
        performances: Each with its song loaded; their links run on one time.
        lead: From all boards being filled to the first duty, seconds.

    Raises:
        PlaybackError: A board cannot be brought to play.
        DeviceError: A board refuses a duty.
    """
    for performance in performances:
        performance.pause()
    while not all(performance.is_ready for performance in performances):
        _step_all(performances)
    begin = max(performance.now() for performance in performances) + lead
    for performance in performances:
        performance.play(at=begin)
    while not all(performance.is_over for performance in performances):
        _step_all(performances)


def _step_all(performances: Sequence[Performance]) -> None:
    for performance in performances:
        performance.step(0.02 / len(performances))


def _progress(view: View, seconds: float) -> Progress:
    numbers = {
        "late ms": view.late_ms,
        "ahead s": round((view.buffered_ms - view.position_ms) / 1000, 1),
        "heap free": view.heap_free,
    }
    return Progress(
        stage=view.state,
        done=view.index,
        total=view.duties,
        unit="duties",
        seconds=seconds,
        fresh=view.index,
        numbers=numbers,
    )
