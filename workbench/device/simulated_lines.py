"""The older way to speak to a simulated board: one line of JSON in, one out.

The commands are those of `pico/lib/robot/lines`, and the `original` program those of boards that
were never deployed to: no streaming, and a whole song on a heap that has no room for one. The
lines ask the board for the same things as frames do.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from workbench.device import wire
from workbench.device.answers import RESULTS, BoardState
from workbench.device.duties import Duties
from workbench.errors import DeviceError

LOWEST_PITCH = 53  # F3
# Semitones above F of the keys of an octave, counted in half white keys; -1 is no key.
_SEMITONES = (0, 1, 2, 3, 4, 5, 6, -1, 7, 8, 9, 10, 11, -1)
_REACH = ((0, 2), (4, 6), (8, 10), (12, 14), (1, 3), (5, 7), (9, 11))
_OF_LETTER = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NOTE = re.compile(r"([A-G])([#sb]?)(-?\d)")
_PATIENCE_MS = 3_600_000  # who speaks by lines is silent while music plays
_START_MS, _TRAVEL_MS = 50, 1200  # from a command to its first duty
_OBJECT_BYTES = 124  # of heap a duty, as objects of MicroPython (measured on a 32-bit word)
_STEP = 10  # percent, of a volume's direction
_ORIGINAL = (
    "status",
    "list_songs",
    "play_performance",
    "play_performance_with_pathing",
    "key_down",
    "key_up",
    "press_key",
    "move_cart",
    "set_volume",
    "home_all",
)
_ADDED = (
    "start_streaming_performance",
    "load_duty_batch",
    "unload_duty_batch",
    "play_duty_batch",
    "streaming_status",
    "stop",
    "pause",
    "resume",
)

Answer = dict[str, Any]


class RefusalError(Exception):
    """A command that cannot be done; the text tells why."""


class Doing(Protocol):
    """A board, as lines see it."""

    def do(self, kind: int, *values: int | bytes) -> int:
        """Do what a request asks for; return its result."""

    def told(self) -> BoardState:
        """Return how it is."""

    def start(self, wait_ms: int, song_ms: int) -> None:
        """Let a song position sound in so many ms, though the cart still moves."""

    def wait_for_host(self, ms: float) -> None:
        """Play so long without a word of the host."""


class Lines:
    """Answers lines for one board."""

    def __init__(self, board: Doing, *, is_original: bool = False) -> None:
        """Answer for a board.

        Args:
            board: It.
            is_original: Whether it runs the program that boards had before this one.
        """
        self._board = board
        self._is_original = is_original
        self._volume = 50
        self._ends: dict[int, int] = {}
        self._total = self._loaded = self._first_ms = 0

    def answer(self, line: bytes) -> bytes:
        """Return the answer to a line, a line itself."""
        try:
            command = json.loads(line)
            if not isinstance(command, dict):
                raise RefusalError("not a command")
            told = self._answered(command, len(line))
        except RefusalError as refusal:
            told = {"success": False, "error": str(refusal)}
        except (ValueError, TypeError, KeyError, DeviceError) as error:
            told = {"success": False, "error": f"not a command that can be done ({error})"}
        return json.dumps(told).encode() + b"\n"

    def _answered(self, command: Mapping[str, Any], length: int) -> Answer:
        name = str(command.get("type", command.get("command", "")))
        known = _ORIGINAL if self._is_original else _ORIGINAL + _ADDED
        if name not in known:
            raise RefusalError(f"unknown command {name!r}")
        if self._is_original:
            self._refuse_large(command, length)
        act: Callable[[Mapping[str, Any]], Answer | None] = getattr(self, f"_do_{name}")
        return {"success": True} | (act(command) or {})

    def _refuse_large(self, command: Mapping[str, Any], length: int) -> None:
        needed = length + _OBJECT_BYTES * len(command.get("duties", ()))
        if needed > self._board.told().free:
            raise RefusalError(f"memory allocation failed, allocating {length} bytes")

    def _ask(self, kind: int, *values: int | bytes) -> None:
        result = self._board.do(kind, *values)
        if result != wire.OK:
            raise RefusalError(RESULTS[result])

    # --- looks

    def _do_status(self, _: Mapping[str, Any]) -> Answer:
        state = self._board.told()
        sides = [state.fingers >> 2 * finger & 3 for finger in range(wire.FINGERS)]
        return {
            "position": state.cart if state.has(wire.HAS_HOMED) else -1,
            "volume_percent": self._volume,
            "memory": state.free,
            "fingers": {
                "states": [None if not side else side - 1 for side in sides],
                "all_home": not any(sides),
                "active_count": sum(map(bool, sides)),
            },
        }

    def _do_list_songs(self, _: Mapping[str, Any]) -> Answer:
        return {"songs": []}

    def _do_streaming_status(self, _: Mapping[str, Any]) -> Answer:
        state = self._board.told()
        waiting = [number for number, end in self._ends.items() if end > state.executed]
        return {
            "streaming_active": state.state == wire.PLAYING,
            "current_batch_id": waiting[0] if waiting else None,
            "total_batches": self._total,
            "loaded_batches": list(self._ends),
            "memory_free": state.free,
        }

    # --- songs

    def _do_play_performance(self, _: Mapping[str, Any]) -> Answer:
        raise RefusalError("there is no song on the board; send play_performance_with_pathing")

    def _do_play_performance_with_pathing(self, command: Mapping[str, Any]) -> None:
        if not command.get("duties"):
            raise RefusalError("no duties")
        self._open(0)
        try:
            self._put(command["duties"], command.get("path", ()))
        except RefusalError:
            self._board.do(wire.STOP)
            raise
        self._ask(wire.DATA, self._board.told().next, b"")
        self._go()

    def _do_start_streaming_performance(self, command: Mapping[str, Any]) -> None:
        self._open(int(command.get("total_batches", 0)))

    def _do_load_duty_batch(self, command: Mapping[str, Any]) -> None:
        if self._board.told().state == wire.READY:
            self._open(self._total)
        self._put(command["duties"], command.get("path_segment", ()))
        self._ends[int(command.get("batch_id", self._loaded))] = self._board.told().next
        self._loaded += 1
        if self._loaded == self._total:
            self._ask(wire.DATA, self._board.told().next, b"")

    def _do_unload_duty_batch(self, command: Mapping[str, Any]) -> None:
        number = self._known(command)
        if self._board.told().executed < self._ends[number]:
            raise RefusalError("it is still to be played")
        del self._ends[number]

    def _do_play_duty_batch(self, command: Mapping[str, Any]) -> None:
        self._known(command)
        self._go()

    def _do_stop(self, _: Mapping[str, Any]) -> None:
        self._ask(wire.STOP)

    def _do_pause(self, _: Mapping[str, Any]) -> None:
        self._ask(wire.PAUSE)

    def _do_resume(self, _: Mapping[str, Any]) -> None:
        if self._board.told().state != wire.PAUSED:
            raise RefusalError(RESULTS[wire.REFUSED])
        self._go()

    def _known(self, command: Mapping[str, Any]) -> int:
        number = int(command.get("batch_id", -1))
        if number not in self._ends:
            raise RefusalError("no such batch")
        return number

    def _open(self, total: int) -> None:
        self._ask(wire.BEGIN, 1, self._board.told().next, 0)
        self._board.wait_for_host(_PATIENCE_MS)
        self._ends, self._total, self._loaded = {}, total, 0

    def _put(self, duties: Sequence[Mapping[str, Any]], path: Sequence[int]) -> None:
        state = self._board.told()
        if len(duties) > state.credits:
            raise RefusalError("no room for so many duties; send fewer")
        if state.next == state.executed:
            self._first_ms = int(duties[0]["start_ms"])
        records = _records(duties, path, state.cart)
        for at in range(0, len(records), wire.DATA_MOST * wire.DUTY_BYTES):
            piece = records[at : at + wire.DATA_MOST * wire.DUTY_BYTES]
            self._ask(wire.DATA, self._board.told().next, piece)

    def _go(self) -> None:
        state = self._board.told()
        if state.state == wire.PLAYING:
            return
        if state.state not in (wire.PAUSED, wire.FILLING):
            raise RefusalError(RESULTS[wire.REFUSED])
        wait = _TRAVEL_MS if state.has(wire.IS_MOVING) else _START_MS
        position = state.song if state.state == wire.PAUSED else self._first_ms
        self._board.wait_for_host(_PATIENCE_MS)
        self._board.start(wait, position)

    # --- parts

    def _do_key_down(self, command: Mapping[str, Any]) -> None:
        side = int(command["position"])
        if side not in (0, 1):
            raise RefusalError(RESULTS[wire.FIELD])
        self._finger(command, side + 1)

    def _do_key_up(self, command: Mapping[str, Any]) -> None:
        self._finger(command, 0)

    def _do_press_key(self, command: Mapping[str, Any]) -> None:
        self._do_key_down(command)
        self._do_key_up(command)

    def _finger(self, command: Mapping[str, Any], side: int) -> None:
        finger = int(command["finger"])
        if not 0 <= finger < wire.FINGERS:
            raise RefusalError(RESULTS[wire.FIELD])
        self._ask(wire.MANUAL, wire.FINGER, finger, side)

    def _do_move_cart(self, command: Mapping[str, Any]) -> Answer:
        state = self._board.told()
        goal = state.cart + int(command.get("direction", 0))
        if state.has(wire.HAS_HOMED) and not 0 <= goal < wire.POSITIONS:
            raise RefusalError("the rail ends there")
        self._ask(wire.MANUAL, wire.CART, max(0, goal) & 255, 0)
        return {"position": goal}

    def _do_set_volume(self, command: Mapping[str, Any]) -> Answer:
        volume = self._volume + _STEP * int(command.get("direction", 0))
        volume = int(command.get("volume_percent", min(max(volume, 0), 100)))
        if not 0 <= volume <= 100:
            raise RefusalError(RESULTS[wire.FIELD])
        is_playing = self._board.told().state == wire.PLAYING
        self._ask(wire.VOLUME, 2 * volume, wire.KEEP if is_playing else volume)
        self._volume = volume
        return {"volume_percent": volume}

    def _do_home_all(self, _: Mapping[str, Any]) -> None:
        state = self._board.told()
        if not state.has(wire.HAS_HOMED):
            self._ask(wire.MANUAL, wire.HOME, 0, 0)
        elif state.state == wire.PLAYING:
            raise RefusalError(RESULTS[wire.REFUSED])
        else:
            self._ask(wire.MANUAL, wire.RELEASE, 0, 0)
            self._ask(wire.VOLUME, state.gain, 0)


def _records(duties: Sequence[Mapping[str, Any]], path: Sequence[int], cart: int) -> bytes:
    """Return the 10 bytes of each duty; the cart goes where the path says when it is silent."""
    carts, fingers = [], []
    for at, duty in enumerate(duties):
        pitches = _pitches(duty.get("chord"))
        step = min(at if pitches else at + 1, len(path) - 1)
        carts.append(int(path[step]) if path else cart)
        fingers.append(_fingers(pitches, carts[-1]))
    made = Duties.of(
        start_ms=[int(duty["start_ms"]) for duty in duties],
        duration_ms=[int(duty["duration_ms"]) for duty in duties],
        fingers=fingers,
        cart=carts,
        volume=[_volume(duty.get("volume_percent")) for duty in duties],
    )
    return made.to_bytes()


def _pitches(chord: Any) -> set[int]:
    """Return the MIDI pitches of a chord: null, `C4_E4`, or anything that holds numbers."""
    if chord is None:
        return set()
    if isinstance(chord, str):
        shift = {"": 0, "#": 1, "s": 1, "b": -1}
        found = _NOTE.findall(chord)
        return {_OF_LETTER[n] + shift[sign] + 12 * (int(octave) + 1) for n, sign, octave in found}
    if isinstance(chord, Mapping):
        chord = list(chord.values())
    if isinstance(chord, Sequence):
        return set().union(*(_pitches(each) for each in chord)) if chord else set()
    return {int(chord)}


def _fingers(pitches: set[int], cart: int) -> int:
    """Return the fingers that play some pitches; the first key that a finger reaches wins."""
    fingers = 0
    for finger, keys in enumerate(_REACH):
        for side, key in enumerate(keys, 1):
            octave, place = divmod(2 * cart + key, len(_SEMITONES))
            semitone = _SEMITONES[place]
            is_free = not fingers >> 2 * finger & 3
            if semitone >= 0 and is_free and LOWEST_PITCH + 12 * octave + semitone in pitches:
                fingers |= side << 2 * finger
    return fingers


def _volume(percent: Any) -> int:
    """Return a volume: whole numbers are percent, floats to 1 are shares, None keeps it."""
    if percent is None:
        return wire.KEEP
    if isinstance(percent, float) and percent <= 1:
        return int(percent * 100)
    return int(percent)
