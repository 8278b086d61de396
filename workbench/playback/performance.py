"""One song on one board, in one thread: what is wanted, what is so, and the next step between.

A performance remembers what a person wants and looks at what the board says of itself; each step
asks the board for the one thing that brings the second nearer to the first. So whatever happens to
board and link, the way back is the way there: greet, home, begin, fill, start. Units: seconds on
the link's time; milliseconds of the song.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from workbench.device import wire
from workbench.device.answers import ALARMS, RESULTS, BoardState, Greeting
from workbench.device.caller import Ask, Caller
from workbench.device.clock import GROUP
from workbench.device.duties import Duties
from workbench.device.feeder import Feeder
from workbench.device.link import Link
from workbench.device.options import FeederOptions, LinkOptions, PlayOptions
from workbench.errors import PlaybackError
from workbench.playback.playlog import PlayLog

logger = logging.getLogger(__name__)

State = Literal["idle", "homing", "filling", "playing", "paused", "recovering", "stopped", "alarm"]
Goal = Literal["rest", "stop", "pause", "play"]

_NO_SONG = Duties.of(start_ms=[], duration_ms=[], fingers=[])
_SYNC_EVERY = 2.0  # seconds between exchanges of clocks
_DRAIN_SECONDS = 1.0  # that the log may take before a seek or stop goes on without it
_AGAIN_SECONDS = 0.05  # before a request that was refused is made again
_HOMING_SECONDS = 60.0  # that homing may take
_MOVE_EVERY = 2.0  # seconds between two moves of a song clock that runs
_MOVE_LEAST_MS, _MOVE_MOST_MS = 1.5, 200.0  # that it is off, to be moved
_MOVE_ROUND_TRIP = 0.01  # seconds; on a slower link it is not known well enough


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a performance stands, for who looks at it.

    Attributes:
        state: Of the performance.
        text: Why, or what to do; empty where there is nothing to say.
        duties: Of the song.
        index: First duty not begun.
        position_ms: Of the song.
        duration_ms: Of the song.
        buffered_ms: Up to which the board holds the song.
        cart: Position 0..11, 255 not known.
        fingers: Two bits a finger.
        volume: Of the air, percent.
        gain: Of all volumes, percent.
        heap_free: Of the board, bytes.
        heap_min: The least so far, bytes.
        late_ms: The most lateness of the present pass.
        ring: Duties that the board can hold.
        held: Duties that it holds.
        batch: Duties a frame.
        repeats: Requests sent again or lost.
        broken: Damaged frames, of both ends.
        sent_bytes: On the wire.
        received_bytes: Likewise.
        round_trip_ms: The least of the last exchanges; infinite before the first.
        drift_ppm: Of the board's clock.
        reboots: While music was wanted.
        uncertain: Duties that a reboot fell into.
        is_up: Whether the board was heard of lately.
    """

    state: State
    text: str
    duties: int
    index: int
    position_ms: float
    duration_ms: int
    buffered_ms: float
    cart: int
    fingers: int
    volume: int
    gain: int
    heap_free: int
    heap_min: int
    late_ms: float
    ring: int
    held: int
    batch: int
    repeats: int
    broken: int
    sent_bytes: int
    received_bytes: int
    round_trip_ms: float
    drift_ppm: float
    reboots: int
    uncertain: int
    is_up: bool


class Performance:
    """Plays songs on a board, as long as somebody calls `step`.

    Attributes:
        state: Where it stands.
        text: Why, where that needs a word.
        duties: Of the song.
        log: Of what was played since it was loaded.
        caller: To the board.
        board: Who it is; None before it was greeted.
    """

    def __init__(
        self,
        link: Link,
        *,
        play: PlayOptions | None = None,
        feeder: FeederOptions | None = None,
        calls: LinkOptions | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Begin with no song.

        Args:
            link: To the board.
            play: How it goes.
            feeder: How the board is fed.
            calls: How long answers may take.
            tell: Takes each line worth a log: changes of state, reboots, alarms.
        """
        self.state: State = "idle"
        self.text = ""
        self.duties = _NO_SONG
        self.log = PlayLog(_NO_SONG)
        self.board: Greeting | None = None
        self._link = link
        self._calls = calls or LinkOptions()
        self.caller = Caller(link, self._calls)
        self._play = play or PlayOptions()
        self._feed_options = feeder or FeederOptions()
        self._tell = tell or (lambda line: logger.info("%s", line))
        self._goal: Goal = "rest"
        self._song = 0
        self._base = 0  # where the present or next pass begins
        self._begun_boot: int | None = None  # boot in which the song was begun
        self._boot: int | None = None
        self._seek: int | None = None
        self._is_starved = False
        self._is_recovering = False
        self._gain = self._play.gain
        self._is_gain_set = False
        self._manual: deque[tuple[int, ...]] = deque()
        self._feeder: Feeder | None = None
        self._control: Ask | None = None
        self._log_ask: Ask | None = None
        self._beat: Ask | None = None
        self._beat_at = self._sync_at = -1e9
        self._not_before = -1e9
        self._drain_by: float | None = None
        self._restarts = 0
        self._start_at: float | None = None
        self._homing_by: float | None = None
        self._is_jump_wanted = True  # where the next pass begins, a person asked for
        self._started: tuple[float, float] = (0.0, -1.0)  # when it starts or did, and where
        self._moved_at = -1e9
        self._music: tuple[float, float] = (0.0, 0.0)  # when it was heard last, and where

    # --- what a person wants

    def load(self, duties: Duties) -> None:
        """Take a song; what plays is stopped.

        Args:
            duties: Of the song.
        """
        if self._begun_boot is not None or self._goal in ("play", "pause"):
            self._goal = "stop"
            self._settled("stop")
        self.duties = duties
        self.log = PlayLog(duties)
        self._song = self._song % (wire.LIMIT - 1) + 1
        self._base, self._seek, self._begun_boot = 0, None, None
        self._feeder = self._new_feeder()
        self._set("idle")

    def play(self, *, at: float | None = None) -> None:
        """Let music begin or go on.

        Args:
            at: When it begins, on the link's time; at once, if not given.

        Raises:
            PlaybackError: There is no song, or an alarm is not ended by homing.
        """
        if not len(self.duties):
            raise PlaybackError("there is no song; load one first")
        if self.state == "alarm":
            raise PlaybackError(f"{self.text}; home the robot first")
        self._goal, self._start_at = "play", at
        self._restarts = 0

    def pause(self) -> None:
        """Let the music stand still where it is; before it began, fill the board and wait."""
        if self._goal == "play" or (self._goal == "rest" and len(self.duties)):
            self._goal = "pause"

    def stop(self) -> None:
        """End the music, and go back to the beginning of the song."""
        self._goal, self._base, self._seek = "stop", 0, None

    def seek(self, index: int) -> None:
        """Go on at another duty, playing or paused as before.

        Args:
            index: Of the duty; the nearest there is.
        """
        index = max(0, min(index, len(self.duties) - 1))
        if self._goal in ("play", "pause") and self._begun_boot is not None:
            self._seek = index
        self._base = index

    def home(self) -> None:
        """Bring fingers and cart home; ends an alarm."""
        self._manual.clear()
        self._manual.append((wire.HOME, 0, 0))
        if self.state == "alarm" or self._goal in ("play", "pause"):
            self._goal = "rest" if self.state == "alarm" else "stop"

    def move(self, action: int, a: int = 0, b: int = 0) -> None:
        """Move a part by hand, when no music plays.

        Args:
            action: One of wire's FINGER, CART, RELEASE.
            a: Finger or position.
            b: Of a finger: 0 home, 1 left, 2 right.

        Raises:
            PlaybackError: Music plays.
        """
        if self._goal == "play":
            raise PlaybackError("music plays; pause or stop it before moving parts by hand")
        if action == wire.HOME:
            self.home()
        else:
            self._manual.append((action, a, b))

    def gain(self, percent: int) -> None:
        """Set how loud all is, also what plays now.

        Args:
            percent: 0..200.
        """
        self._gain, self._is_gain_set = max(0, min(200, percent)), False

    def emergency_stop(self) -> None:
        """Stop all at once, from any thread; an alarm stays until the robot is homed."""
        self._goal = "rest"
        self._seek = None
        self.caller.shout(wire.ESTOP)
        self._manual.clear()
        self._manual.append((-1, 0, 0))

    def give_up(self, text: str) -> None:
        """Want nothing any more, as it cannot be; the next command begins anew.

        Args:
            text: Why.
        """
        self.caller.drop()
        self._control = self._log_ask = self._beat = None
        self._manual.clear()
        self.caller.heard_at = self._link.now()  # it may be silent as long again
        self._goal, self._seek = "stop", None
        self._set("stopped", text)

    # --- what is so

    def now(self) -> float:
        """Return the time of the link, seconds."""
        return self._link.now()

    @property
    def position_ms(self) -> float:
        """Where the song is now, as far as the host can tell."""
        state = self.caller.state
        if state is None or self._begun_boot != state.boot:
            return self._start_ms(self._base)
        if state.state == wire.PLAYING:
            begun, song = self._started
            heard = self.caller.heard_at, float(state.song)
            since, known = heard if state.song > song else (begun, song)
            return known + max(0.0, self._link.now() - since) * 1000
        if state.state == wire.FILLING:
            return self._start_ms(self._base)
        return float(state.song)

    @property
    def is_ready(self) -> bool:
        """Whether the board stands still and holds as much of the song as it should."""
        state = self.caller.state
        if state is None or state.state not in (wire.FILLING, wire.PAUSED):
            return False
        return self.state == "paused" and self._is_filled(state)

    @property
    def is_over(self) -> bool:
        """Whether nothing is wanted any more, and so it is."""
        state = self.caller.state
        is_homing = state is not None and state.state == wire.HOMING
        return self._goal == "rest" and not (self._control or self._manual or is_homing)

    def view(self) -> View:
        """Return how it stands now."""
        state, traffic, ring = self.caller.state, self.caller.traffic, self.board
        now = self.log.now
        position = min(self.position_ms, float(self.duties.end_ms))
        is_ours = state is not None and state.boot == self._begun_boot
        held_to = min(state.next, len(self.duties)) if state and is_ours else self._base
        at_end = held_to >= len(self.duties)
        return View(
            state=self.state,
            text=self.text,
            duties=len(self.duties),
            index=state.executed if state and is_ours else self._base,
            position_ms=position,
            duration_ms=self.duties.end_ms,
            buffered_ms=float(self.duties.end_ms) if at_end else self._start_ms(held_to),
            cart=state.cart if state else 255,
            fingers=state.fingers if state else 0,
            volume=state.volume if state else 0,
            gain=self._gain,
            heap_free=state.free if state else 0,
            heap_min=self.log.heap_min,
            late_ms=state.late / 100 if state and now else 0.0,
            ring=ring.ring if ring else 0,
            held=state.next - state.executed if state and is_ours else 0,
            batch=self._feeder.batch if self._feeder else 0,
            repeats=traffic.lost,
            broken=traffic.broken + (state.broken if state else 0),
            sent_bytes=traffic.sent_bytes,
            received_bytes=traffic.received_bytes,
            round_trip_ms=self.caller.clock.round_trip * 1000,
            drift_ppm=self.caller.clock.drift * 1e6,
            reboots=self.log.reboots,
            uncertain=len(self.log.uncertain),
            is_up=self._link.now() - self.caller.heard_at < 1.0,
        )

    # --- steps

    def step(self, seconds: float = 0.02) -> None:
        """Ask for what is to be asked for, and take in what comes.

        Args:
            seconds: How long to wait for the board at most.

        Raises:
            PlaybackError: The board cannot be brought to play: it is silent, reboots again and
                again, or refuses.
            DeviceError: The board refuses a duty.
        """
        self._work()
        for answer in self.caller.poll(seconds):
            self._heard(answer.state)
        self._work()

    def _work(self) -> None:
        state = self.caller.state
        if state is not None and state.boot != self._boot:
            self._booted(state)
        self._finish_log()
        if self._finish_control() and self.caller.state is not None:
            self._steer(self.caller.state)
        elif self.caller.state is None and self._control is None:
            self._control = self.caller.ask(wire.HELLO, wire.PROTOCOL)
        self._feed()
        self._ask_log()
        self._ask_beat()

    def _heard(self, state: BoardState) -> None:
        """Take in what every answer tells."""
        least = self.log.heap_min
        self.log.heap_min = state.least if least < 0 else min(least, state.least)
        is_changing = self._control is not None and self._control.kind in _CHANGES
        now = self.log.now
        if state.boot != self._begun_boot or now is None or is_changing:
            return
        if state.state in (wire.PLAYING, wire.PAUSED) or state.has(wire.FINISHED):
            if state.executed > now.executed:
                self._restarts = 0
            self.log.reached(state.executed, state.digest)

    def _booted(self, state: BoardState) -> None:
        """The board is another than before: it has booted, or this is its first word."""
        is_first = self._boot is None
        self._boot = state.boot
        self.board = None
        self._control = self._log_ask = self._beat = None
        self._homing_by = None
        self._is_gain_set = False
        self._sync_at = -1e9
        if not is_first:
            self._tell("the board has booted")
            if self._goal in ("play", "pause"):
                self._is_recovering = True
                self.log.reboots += 1
                self._restarts += 1
                self._set("recovering")

    def _steer(self, state: BoardState) -> None:
        """Ask for the next thing between what is and what is wanted."""
        if self._link.now() < self._not_before:
            return
        if self.board is None:
            self._ask(wire.HELLO, wire.PROTOCOL)
        elif self._manual and (self._goal != "stop" or self._manual[0][0] < 0):
            self._by_hand()
        elif not self._is_gain_set:
            self._ask(wire.VOLUME, self._gain, wire.KEEP)
        elif state.state == wire.ALARMED:
            self._alarmed(state)
        elif self._goal == "stop":
            self._to_stop(state)
        elif self._goal in ("play", "pause"):
            self._to_music(state)
        elif state.state == wire.HOMING:
            self._set("homing")
        elif self.state == "homing":
            self._set("idle")

    def _by_hand(self) -> None:
        action, a, b = self._manual.popleft()
        if action < 0:
            self._ask(wire.ESTOP)
        else:
            if action == wire.HOME:
                self._begun_boot = None
                self._homing_by = None
            self._ask(wire.MANUAL, action, a, b)

    def _alarmed(self, state: BoardState) -> None:
        if self.state != "alarm":
            now = self.log.now
            if self._begun_boot is not None and now is not None and self._goal != "stop":
                self.log.reached(state.executed)
                self._base = now.executed
            self._begun_boot, self._goal = None, "rest"
            self._set("alarm", ALARMS.get(state.alarm, f"alarm {state.alarm}"))
        self._goal = "rest"

    def _to_stop(self, state: BoardState) -> None:
        if self._begun_boot != state.boot or state.state in (wire.SAFE, wire.HOMING):
            self._settled("stop")
        elif state.state == wire.PLAYING:
            self._ask(wire.PAUSE)
        elif self._is_drained(state):
            self._ask(wire.STOP)

    def _to_music(self, state: BoardState) -> None:
        if state.state == wire.SAFE:
            self._set("recovering" if self._is_recovering else "homing")
            self._ask(wire.MANUAL, wire.HOME, 0, 0)
        elif state.state == wire.HOMING:
            self._wait_for_homing()
        elif self._begun_boot != state.boot:
            self._ask(wire.BEGIN, self._song, self._base, self._play.config)
        elif state.state == wire.READY and not state.has(wire.FINISHED):
            self._tell("somebody else stopped the song")
            self._base, self._begun_boot = self._start_of_rest(), None
        elif self._seek is not None:
            self._to_place(state)
        elif state.has(wire.FINISHED):
            if self._is_drained(state):
                self._settled("rest")
                self._base = 0
        elif state.state == wire.PLAYING:
            self._keep_playing(state)
        else:
            self._to_start(state)

    def _wait_for_homing(self) -> None:
        now = self._link.now()
        self._homing_by = self._homing_by or now + _HOMING_SECONDS
        if now > self._homing_by:
            raise PlaybackError("the robot homes without end; look at its rail and its switch")
        if not self._is_recovering:
            self._set("homing")

    def _to_place(self, state: BoardState) -> None:
        """Seek: stand still first, so that it is known what was played before."""
        if state.state == wire.PLAYING:
            self._ask(wire.PAUSE)
        elif self._seek is not None and self._is_drained(state):
            self._ask(wire.SEEK, self._seek)

    def _keep_playing(self, state: BoardState) -> None:
        if self._goal == "pause":
            self._ask(wire.PAUSE)
        elif state.has(wire.UNDERRUN):
            self._is_starved = True
            self._tell("the board ran out of duties; the music waits for them")
            self._ask(wire.PAUSE)
        else:
            self._is_recovering = False
            self._set("playing")
            self._keep_time(state)

    def _keep_time(self, state: BoardState) -> None:
        """Move the board's song clock back to the host's time, where its crystal has led it off."""
        now, clock = self._link.now(), self.caller.clock
        begun, song = self._started
        is_early = now - max(begun, self._moved_at) < _MOVE_EVERY or state.song <= song
        if is_early or clock.round_trip > _MOVE_ROUND_TRIP:
            return
        said_at = clock.host_at(self.caller.board_seconds)
        off = state.song - (song + (said_at - begun) * 1000)
        if not _MOVE_LEAST_MS <= abs(off) <= _MOVE_MOST_MS:
            return
        self._moved_at = now
        step = 1 if off > 0 else -1  # a millisecond at a time is not heard
        self._control = self.caller.ask(
            wire.START, (state.millis + step) & wire.LIMIT, state.song, repeats=False
        )

    def _to_start(self, state: BoardState) -> None:
        """Fill the board while its clock stands, then start it."""
        is_paused = state.state == wire.PAUSED
        if is_paused and state.has(wire.SILENT) and state.next == state.executed:
            self._is_starved = not state.has(wire.HAS_END)
        if is_paused and state.has(wire.SILENT) and self._goal == "play":
            self._set("recovering")
        is_waiting = not is_paused or self._is_starved
        if is_waiting and self._goal == "play" and not self._is_recovering:
            self._set("filling")
        if self._goal == "pause":
            self._is_recovering = False
            self._set("paused")
            return
        if is_waiting and not self._is_filled(state):
            return
        now = self._link.now()
        if self._start_at is not None and self._start_at - now > 2 * self._play.start_seconds:
            return
        if self.caller.clock.exchanges < GROUP and is_waiting:
            return  # it is asked for all the time
        if is_paused and not self._is_starved:
            song = state.song
        else:
            song = int(self._start_ms(state.executed))
        self._ask_start(song)

    def _is_filled(self, state: BoardState) -> bool:
        if self._feeder is None:
            return False
        position = self._start_ms(state.executed)
        return not state.has(wire.IS_MOVING) and self._feeder.is_full(state, position)

    def _ask_start(self, song: int) -> None:
        now = self._link.now()
        begin = now + max(self._play.start_seconds, 2 * self.caller.expected_seconds())
        if self._start_at is not None:
            begin = max(self._start_at, now)
        at = round(self.caller.clock.board_at(begin) * 1000) & wire.LIMIT
        self._started = begin, float(song)
        # not said again as it is: by then its time would be past
        self._control = self.caller.ask(wire.START, at, song, repeats=False)

    # --- asking

    def _ask(self, kind: int, *values: int) -> None:
        self._control = self.caller.ask(kind, *values)

    def _finish_control(self) -> bool:
        """Take in the answer to the last thing asked for; return whether another may be asked."""
        ask = self._control
        if ask is None:
            return True
        if ask.is_open:
            self._check_silence()
            return False
        self._control = None
        if ask.answer is None:  # what became of it, the board's state tells
            self._control = self.caller.ask(wire.STATUS)
            return False
        if ask.answer.is_ok:
            self._done(ask, ask.answer.state)
        else:
            self._refused(ask, ask.answer.result)
        return self._control is None

    def _done(self, ask: Ask, state: BoardState) -> None:
        if ask.kind == wire.HELLO and ask.answer is not None:
            self._greeted(ask.answer.greeting(), state)
        elif ask.kind in (wire.BEGIN, wire.SEEK):
            base = int(ask.values[1 if ask.kind == wire.BEGIN else 0])
            if self._feeder is not None:
                self._feeder.begin(base)
            self.log.begin(base, state.boot, is_wanted=self._is_jump_wanted)
            self._begun_boot, self._is_starved, self._drain_by = state.boot, False, None
            if self._seek == base:
                self._seek = None
            self._is_jump_wanted = True
        elif ask.kind == wire.START:
            self._is_starved, self._start_at = False, None
        elif ask.kind == wire.PAUSE:
            self._drain_by = None
            if self._goal == "pause":
                self._set("paused")
        elif ask.kind == wire.STOP:
            self._settled("stop")
        elif ask.kind == wire.VOLUME:
            self._is_gain_set = ask.values[0] == self._gain

    def _refused(self, ask: Ask, result: int) -> None:
        why = RESULTS.get(result, f"result {result}")
        if result == wire.CONFIG:
            raise PlaybackError(f"{why}: workbench pico deploy")
        if result in (wire.KIND, wire.LENGTH):
            raise PlaybackError(f"request {ask.kind}: {why}")
        if ask.kind == wire.MANUAL:
            self._tell(f"refused: {why}")
        if ask.kind in (wire.BEGIN, wire.SEEK) and result == wire.FIELD:
            raise PlaybackError(f"request {ask.kind} {ask.values}: {why}")
        self._not_before = self._link.now() + _AGAIN_SECONDS

    def _greeted(self, board: Greeting, state: BoardState) -> None:
        """Know who the board is, and after a reboot where to go on."""
        if board.protocol != wire.PROTOCOL:
            raise PlaybackError(
                f"the board speaks protocol {board.protocol}, this program {wire.PROTOCOL};"
                " deploy the board's program again: workbench pico deploy"
            )
        self.board = board
        self._feeder = self._new_feeder()
        if not self._is_recovering or self._begun_boot in (None, state.boot):
            return
        now = self.log.now
        if now is None:
            return
        if self._restarts > self._play.restarts:
            self._goal = "rest"
            raise PlaybackError(
                f"the board rebooted {self._restarts} times with no music between; look at its"
                " power supply, then play again"
            )
        if board.song == self._song:
            if board.uncertain:
                self.log.uncertain.add(board.resume - 1)
            resume = board.resume
        else:  # it lost power and remembers nothing: what it played last is not known
            resume = now.executed
            self.log.uncertain.add(resume)
        self.log.reached(resume)
        self._is_jump_wanted = self._seek is not None
        if self._seek is not None:
            self._base, self._seek = self._seek, None
            return
        self._base = resume
        if self._play.recovery == "catch_up":
            heard, position = self._music
            by_now = position + (self._link.now() - heard) * 1000
            late = min(self.duties.index_at(by_now) + 1, len(self.duties) - 1)
            if late > self._base:
                self.log.jumped(late - self._base)
                self._base = late
        self._tell(f"goes on at duty {self._base} after a reboot")

    # --- besides

    def _feed(self) -> None:
        state = self.caller.state
        if self._feeder is None or state is None or state.boot != self._begun_boot:
            return
        is_changing = self._control is not None and self._control.kind in _CHANGES
        if is_changing or self._goal not in ("play", "pause") or self._seek is not None:
            return
        if state.state == wire.PLAYING and state.has(wire.UNDERRUN):
            return  # what came now would be late; it is paused first
        if state.state in (wire.FILLING, wire.PLAYING, wire.PAUSED):
            if state.state == wire.PLAYING:
                self._music = self._link.now(), self.position_ms
            self._feeder.feed(self.caller, state, self.position_ms)

    def _ask_log(self) -> None:
        state, now = self.caller.state, self.log.now
        if self._log_ask is not None or self._control is not None or state is None or now is None:
            return
        if state.boot != self._begun_boot or self.board is None:
            return
        waiting = now.executed - now.logged
        is_standing = state.state != wire.PLAYING
        if waiting >= wire.LOG_MOST or (waiting and is_standing):
            self._log_ask = self.caller.ask(wire.LOG, now.logged, repeats=False)

    def _finish_log(self) -> None:
        ask = self._log_ask
        if ask is None or ask.is_open:
            return
        self._log_ask = None
        if ask.answer is not None and ask.answer.is_ok and self.log.now is not None:
            first, entries = ask.answer.log()
            if len(entries):
                self.log.logged(first, entries)

    def _is_drained(self, state: BoardState) -> bool:
        """Return whether the log of what was played is here, or takes too long to come."""
        now = self.log.now
        if now is None or now.logged >= state.executed:
            return True
        self._drain_by = self._drain_by or self._link.now() + _DRAIN_SECONDS
        return self._link.now() > self._drain_by

    def _ask_beat(self) -> None:
        """Look at the board now and then; that tells it too that the host is alive."""
        if self._beat is not None:
            if self._beat.is_open:
                self._check_silence()
                return
            self._beat = None
        if self._control is not None or self.caller.state is None:
            return
        now = self._link.now()
        wait = max(self._play.sync_seconds, min(1.0, 4 * self.caller.expected_seconds()))
        is_new = self.caller.clock.exchanges < GROUP
        if is_new or now - self._sync_at >= _SYNC_EVERY:
            self._sync_at = self._beat_at = now
            self._beat = self.caller.ask(wire.SYNC, bytes(8), repeats=False)
        elif now - max(self._beat_at, self.caller.heard_at) >= wait:
            self._beat_at = now
            self._beat = self.caller.ask(wire.STATUS, repeats=False)

    def _check_silence(self) -> None:
        silent = self._link.now() - self.caller.heard_at
        if silent > self._calls.silence_seconds:
            self._control = self._beat = None
            self._goal = "rest"
            self._set("stopped", "the board is silent")
            raise PlaybackError(
                f"{self._link.name}: the board was silent for {silent:.0f} s; is it plugged in,"
                " and does its program run? try: workbench pico status"
            )

    def _new_feeder(self) -> Feeder | None:
        if self.board is None:
            return None
        return Feeder(
            self.duties,
            self._feed_options,
            data_most=self.board.data_most,
            ring=self.board.ring,
        )

    def _start_of_rest(self) -> int:
        now = self.log.now
        return now.executed if now is not None else self._base

    def _start_ms(self, index: int) -> float:
        if index >= len(self.duties):
            return float(self.duties.end_ms)
        return float(self.duties.start_ms[index])

    def _settled(self, how: Goal) -> None:
        self._goal = "rest"
        self._seek, self._is_starved, self._is_recovering = None, False, False
        self._drain_by, self._begun_boot, self._start_at = None, None, None
        if how == "rest":
            self._set("idle")
        elif self.state != "stopped":  # else its text stays
            self._set("stopped")

    def _set(self, state: State, text: str = "") -> None:
        if (state, text) != (self.state, self.text):
            self.state, self.text = state, text
            self._tell(f"{state}: {text}" if text else state)


_CHANGES = (wire.BEGIN, wire.SEEK, wire.STOP, wire.ESTOP, wire.MANUAL)
