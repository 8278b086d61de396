"""What the board is fed next: duties ahead of the music, as its ring has room.

Data is addressed by index, so what is sent twice does no harm and what was lost is found again in
the board's own `next`. Below `low_ms` of music on the board the feeder fills it up to
`lookahead_ms`; in between it rests. A batch halves when the board is short of memory or frames
are lost, and grows again by a tenth of its full size with each that arrives. Units: duties,
milliseconds.
"""

from collections import deque
from dataclasses import dataclass

from workbench.device import wire
from workbench.device.answers import RESULTS, BoardState
from workbench.device.caller import Ask, Caller
from workbench.device.duties import Duties
from workbench.device.options import FeederOptions
from workbench.errors import DeviceError

IN_FLIGHT = 3  # DATA frames on the way, so that a slow link is never idle
_LEAST_BATCH = 4
_MOST_STARVINGS = 12
_LONGEST_REST = 1.0  # seconds


@dataclass(slots=True, eq=False)
class _Flight:
    ask: Ask
    first: int
    count: int


class Feeder:
    """Keeps one board fed with one song.

    Attributes:
        batch: Duties a frame now.
        sent: Index of the first duty that was not sent yet, or has to be again.
    """

    def __init__(
        self, duties: Duties, options: FeederOptions | None = None, *, data_most: int, ring: int
    ) -> None:
        """Begin with nothing on the board.

        Args:
            duties: Of the song.
            options: How far ahead, and in what pieces.
            data_most: Duties a frame that the board takes at most.
            ring: Duties that the board holds.
        """
        self._duties = duties
        self._options = options or FeederOptions()
        self._full = max(1, min(self._options.batch_size, data_most, ring // 2))
        kept = self._options.buffer_size * self._full
        self._room = min(ring, kept) if kept else ring
        self._starts = duties.start_ms
        self._flights: deque[_Flight] = deque()
        self._is_filling = True
        self._is_end_sent = False
        self.batch = self._full
        self.sent = 0
        self._starvings = 0  # in a row
        self._rest = 0.0  # seconds until more may be sent
        self._rests_until = 0.0

    def begin(self, base: int) -> None:
        """Go on at a duty, on a board whose ring is empty.

        Args:
            base: Index of the duty, as BEGIN or SEEK told the board.
        """
        self._flights.clear()
        self._is_filling, self._is_end_sent = True, False
        self.sent = base

    def ahead_ms(self, state: BoardState, position_ms: float) -> float:
        """Return how much music the board holds beyond a position; infinite with the song's end.

        Args:
            state: Of the board.
            position_ms: Of the song.
        """
        if state.next >= len(self._duties):
            return float("inf")
        return float(self._starts[state.next]) - position_ms

    def is_full(self, state: BoardState, position_ms: float) -> bool:
        """Return whether the board holds as much as it should before music begins."""
        held = state.next - state.executed
        return (
            state.has(wire.HAS_END)
            or held + self._least(state.next) > self._room
            or self.ahead_ms(state, position_ms) >= self._options.lookahead_ms
        )

    def feed(self, caller: Caller, state: BoardState, position_ms: float) -> None:
        """Take in what came of frames on the way, and send what is to be sent now.

        Args:
            caller: To the board.
            state: Of the board.
            position_ms: Of the song now.

        Raises:
            DeviceError: The board refuses a duty.
        """
        self._landed(state)
        if self._rest:
            self._rests_until, self._rest = caller.now() + self._rest, 0.0
        if caller.now() < self._rests_until:
            return
        most = 1 if self._is_calm(state) else IN_FLIGHT
        while len(self._flights) < most and (count := self._due(state, position_ms)) >= 0:
            records = self._duties.to_bytes(self.sent, self.sent + count)
            ask = caller.ask(wire.DATA, self.sent, duties=records, repeats=False)
            self._flights.append(_Flight(ask, self.sent, count))
            self._is_end_sent = count == 0
            self.sent += count

    def _is_calm(self, state: BoardState) -> bool:
        """Return whether little need be on the way: an emergency stop would wait behind it."""
        is_well_fed = 2 * (state.next - state.executed) >= self._room
        return state.state == wire.PLAYING and is_well_fed

    def _landed(self, state: BoardState) -> None:
        is_missing = False
        while self._flights and not self._flights[0].ask.is_open:
            flight = self._flights.popleft()
            answer = flight.ask.answer
            if answer is not None and answer.result in (wire.FIELD, wire.LENGTH):
                raise DeviceError(
                    f"the board refuses duty {answer.state.next} of {len(self._duties)}"
                    f" ({RESULTS[answer.result]}); plan the song again for this robot"
                )
            if answer is not None and answer.result == wire.OK:
                self._starvings = 0
                self._adapt(answer.state)
                continue
            is_missing = True
            if answer is None:
                self._shrink()
            elif answer.result == wire.MEMORY:
                self._starved(answer.state)
        if is_missing:
            self._flights.clear()  # what is behind a gap is not taken
            self._is_end_sent, self._is_filling = False, True
            self.sent = state.next

    def _due(self, state: BoardState, position_ms: float) -> int:
        """Return how many duties to send now; 0 for the mark of the end, -1 for nothing."""
        total = len(self._duties)
        if self.sent >= total:
            return -1 if self._is_end_sent else 0
        ahead = float(self._starts[self.sent]) - position_ms
        if ahead < self._options.low_ms:
            self._is_filling = True
        elif ahead >= self._options.lookahead_ms:
            self._is_filling = False
        on_the_way = self.sent - state.next
        held = self.sent - state.executed
        room = min(state.credits - on_the_way, self._room - held)
        batch = max(1, self.batch // 2) if self._is_calm(state) else self.batch
        count = min(batch, total - self.sent)
        return count if self._is_filling and count <= room else -1

    def _least(self, first: int) -> int:
        """Return the fewest duties worth a frame: a batch, or the rest of the song."""
        return max(1, min(self.batch, len(self._duties) - first))

    def _adapt(self, state: BoardState) -> None:
        """Grow a step, or shrink where the board's memory is less than the margin asks for."""
        grown = min(self._full, self.batch + max(1, self._full // 10))
        margin = self._options.safety_margin * wire.DUTY_BYTES
        if state.free >= margin * grown:
            self.batch = grown
        elif state.free < margin * self.batch:
            self._shrink()

    def _starved(self, state: BoardState) -> None:
        """Send less at a time, then less often; at last there is nothing more to try."""
        self._shrink()
        self._starvings += 1
        if self._starvings > _MOST_STARVINGS:
            raise DeviceError(
                f"the board is short of memory ({state.free} bytes are free) for"
                f" {self.batch} duties; restart it, or deploy a smaller ring"
            )
        self._rest = min(0.01 * 2**self._starvings, _LONGEST_REST)

    def _shrink(self) -> None:
        least = min(_LEAST_BATCH, self._full)
        if self.batch > least:
            self.batch = max(least, self.batch // 2)
