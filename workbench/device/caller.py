"""Requests to the board and their answers, over a link that may lose either.

The board answers every request once and in order. So what was asked before an answered request
and is not answered itself was lost, and is known to be at once; what nothing comes after is lost
when its time is over. Some requests are then said again, others are left to who asked. Units:
seconds on the link's time.
"""

import logging
import os
from dataclasses import dataclass, field

from workbench.device import wire
from workbench.device.answers import Answer, BoardState, parsed
from workbench.device.clock import BoardClock
from workbench.device.frames import Frames
from workbench.device.link import Link
from workbench.device.options import LinkOptions

logger = logging.getLogger(__name__)

_MOST_TRIES = 3  # that the time for an answer doubles
_MOST_SECONDS = 5.0  # for an answer
_NEVER = float("inf")
_WEIGHT = 1 / 8  # of a new round trip in the means (RFC 6298)
_WEIGHT_OFF = 1 / 4
_SLOWEST_FIRST = 1 / 11_520  # seconds a byte, while no answer has come: 115200 bits a second


@dataclass(slots=True, eq=False)
class Ask:
    """A request that was made.

    Attributes:
        kind: One of wire's HELLO .. LOG.
        values: Of its payload.
        duties: Records that DATA adds.
        repeats: Whether it is said again until it is answered.
        tries: How many times it was sent.
        answer: Its answer.
        is_lost: Whether no answer will come.
    """

    kind: int
    values: tuple[int | bytes, ...] = ()
    duties: bytes = b""
    repeats: bool = True
    tries: int = 0
    answer: Answer | None = None
    is_lost: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it still waits."""
        return self.answer is None and not self.is_lost


@dataclass(slots=True, eq=False)
class _Sent:
    ask: Ask
    at: float
    due: float
    ahead: int


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What went over a link.

    Attributes:
        sent_bytes: On the wire, framing included.
        received_bytes: Likewise.
        sent_frames: Requests, repeats included.
        repeats: Requests sent again.
        lost: Requests that no answer came to.
        broken: Frames from the board that were damaged.
        data_bytes: Of the DATA frames among sent_bytes.
        boots: How often the board was found to have booted.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
    sent_frames: int = 0
    repeats: int = 0
    lost: int = 0
    broken: int = 0
    data_bytes: int = 0
    boots: int = 0


@dataclass(slots=True)
class _Pace:
    """How long answers take: seconds a byte that was on the way, and how much that varies."""

    mean: float = _SLOWEST_FIRST
    off: float = _SLOWEST_FIRST / 2
    is_measured: bool = field(default=False)

    def took(self, seconds: float, count: int) -> None:
        rate = max(0.0, seconds) / max(count, 1)
        if not self.is_measured:
            self.mean, self.off, self.is_measured = rate, rate / 2, True
            return
        self.off += _WEIGHT_OFF * (abs(rate - self.mean) - self.off)
        self.mean += _WEIGHT * (rate - self.mean)

    def needed(self, count: int) -> float:
        return count * (self.mean + 4 * self.off)


class Caller:
    """Asks a board, some requests at a time, and keeps its last state and its clock.

    Attributes:
        state: What the board last said of itself; None before its first word.
        clock: Of the board.
        traffic: What went over the link.
        heard_at: When the board's last word came.
    """

    def __init__(self, link: Link, options: LinkOptions | None = None) -> None:
        """Speak over a link.

        Args:
            link: To the board.
            options: How long an answer may take.
        """
        self.state: BoardState | None = None
        self.clock = BoardClock()
        self.traffic = Traffic()
        self.heard_at = link.now()
        self._link = link
        self._options = options or LinkOptions()
        self._inbox = Frames()
        self._open: dict[int, _Sent] = {}  # by sequence, in the order of sending
        self._sequence = int.from_bytes(os.urandom(1))  # answers to another host are not ours
        self._pace = _Pace()
        self._board_seconds = 0.0
        self._board_millis = 0

    @property
    def board_seconds(self) -> float:
        """The board's clock at its last word, seconds, wrapping never."""
        return self._board_seconds

    def now(self) -> float:
        """Return the time of the link, seconds."""
        return self._link.now()

    def expected_seconds(self, count: int = 64) -> float:
        """Return how long an answer is likely to take now, behind what is on the way.

        Args:
            count: Bytes of the request and its answer.
        """
        return self._pace.needed(count + sum(sent.ahead for sent in self._open.values()))

    def ask(
        self, kind: int, *values: int | bytes, duties: bytes = b"", repeats: bool = True
    ) -> Ask:
        """Send a request; what comes of it is told by later polls.

        Args:
            kind: One of wire's HELLO .. LOG.
            values: Of its payload.
            duties: Records that DATA adds.
            repeats: Whether it is said again until it is answered.
        """
        ask = Ask(kind, values, duties, repeats)
        self._send(ask)
        return ask

    def poll(self, seconds: float) -> list[Answer]:
        """Return what has come, waiting at most so long for a first byte.

        Args:
            seconds: The longest wait; less when a request is overdue before.
        """
        now = self._link.now()
        due = min([now + seconds, *(sent.due for sent in self._open.values())])
        received = self._link.read(max(0.0, due - now))
        found = []
        if received:
            self.traffic.received_bytes += len(received)
            for body in self._inbox.bodies(received):
                answer = parsed(body)
                if answer is not None:
                    self._took(answer, len(body))
                    found.append(answer)
            self.traffic.broken = self._inbox.broken
        self._overdue()
        return found

    def call(self, kind: int, *values: int | bytes, seconds: float = 5.0) -> Answer | None:
        """Ask and wait for the answer; None where none came in time.

        Args:
            kind: One of wire's HELLO .. LOG.
            values: Of its payload.
            seconds: To wait at most.
        """
        end = self._link.now() + seconds
        ask = self.ask(kind, *values)
        while ask.is_open and self._link.now() < end:
            self.poll(end - self._link.now())
        if ask.is_open:
            self._forget(ask)
        return ask.answer

    def shout(self, kind: int) -> None:
        """Send a BREAK and a request at once, from any thread; no answer is waited for.

        Args:
            kind: One of wire's kinds without values, as ESTOP.
        """
        # 255 is never used by `ask`, so that its answer is nobody's
        stop = bytes([wire.END, wire.BREAK, wire.BREAK])
        self._link.write(stop + wire.framed(wire.request(kind, 255)))

    def drop(self) -> None:
        """Forget all requests that wait: they are lost."""
        sents, self._open = list(self._open.values()), {}
        for sent in sents:
            sent.ask.is_lost = sent.ask.answer is None

    def _send(self, ask: Ask) -> None:
        self._sequence = (self._sequence + 1) % 255
        self._open.pop(self._sequence, None)
        frame = wire.framed(wire.request(ask.kind, self._sequence, *ask.values) + ask.duties)
        now = self._link.now()
        ahead = sum(sent.ahead for sent in self._open.values()) + len(frame)
        patience = self._options.answer_seconds + self._pace.needed(ahead)
        patience = min(patience * 2 ** min(ask.tries, _MOST_TRIES), _MOST_SECONDS)
        self._open[self._sequence] = _Sent(ask, now, now + patience, len(frame))
        self.traffic.repeats += ask.tries > 0
        ask.tries += 1
        self.traffic.sent_frames += 1
        self.traffic.sent_bytes += len(frame)
        if ask.kind == wire.DATA:
            self.traffic.data_bytes += len(frame)
        self._link.write(frame)

    def _took(self, answer: Answer, length: int) -> None:
        self.heard_at = now = self._link.now()
        if self.state is not None and answer.state.boot != self.state.boot:
            logger.warning("%s: the board has booted", self._link.name)
            self.traffic.boots += 1
            self.clock.forget()
            self.drop()
        if self.state is None or answer.state.boot != self.state.boot:
            self._board_seconds, self._board_millis = (
                answer.state.millis / 1000,
                answer.state.millis,
            )
        self.state = answer.state
        self._advance(answer.state)
        sent = self._open.get(answer.sequence)
        if answer.kind == wire.EVENT or sent is None or sent.ask.kind != answer.kind:
            return
        on_the_way = sum(each.ahead for each in self._open.values() if each.at <= sent.at)
        self._pace.took(now - sent.at, on_the_way + length)
        if answer.kind == wire.SYNC and answer.is_ok:
            self._synced(sent.at, now, answer)
        sent.ask.answer = answer
        self._settle(answer.sequence)

    def _advance(self, state: BoardState) -> None:
        self._board_seconds += wire.ticks_gap(state.millis, self._board_millis) / 1000
        self._board_millis = state.millis

    def _synced(self, sent: float, received: float, answer: Answer) -> None:
        millis, micros = answer.came()
        left = self._board_seconds + answer.state.micros * 1e-6
        came = self._board_seconds + wire.ticks_gap(millis, self._board_millis) / 1000
        self.clock.exchanged(sent, received, came + micros * 1e-6, left)

    def _settle(self, sequence: int) -> None:
        """Close an answered request; those before it that were not answered are lost."""
        answered = self._open[sequence].ask
        lost = []
        for number in list(self._open):
            sent = self._open.pop(number)
            if number == sequence:
                break
            if sent.due < _NEVER:
                lost.append(sent.ask)
        self._forget(answered)
        for ask in lost:
            self._missed(ask)

    def _overdue(self) -> None:
        now = self._link.now()
        late = [sent for sent in self._open.values() if sent.due <= now]
        for sent in late:  # its answer is still known if it comes
            sent.due, sent.ahead = _NEVER, 0
        for sent in late:
            self._missed(sent.ask)

    def _missed(self, ask: Ask) -> None:
        """Say a request again, or tell that it is lost; unless another try of it still waits."""
        waiting = (sent.ask for sent in self._open.values() if sent.due < _NEVER)
        if not ask.is_open or ask in waiting:
            return
        self.traffic.lost += 1
        if ask.repeats:
            self._send(ask)
        else:
            ask.is_lost = True

    def _forget(self, ask: Ask) -> None:
        for number in [number for number, sent in self._open.items() if sent.ask is ask]:
            del self._open[number]
