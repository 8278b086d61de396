"""Duties: what the robot does when, as columns and as the bytes that go to the board.

A duty is where the cart stands, which keys its seven fingers hold and how loud it is, from a start
for a while. On the wire and in the board's ring it is 10 bytes, little-endian `<IHHBB`: start_ms,
duration_ms, fingers, cart, volume. Units: milliseconds from the start of the song; `fingers` is
two bits a finger, finger 0 lowest: 0 home, 1 left key, 2 right key; `volume` is 0..100 percent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.device import wire
from workbench.device.wire import DUTY_BYTES, FINGERS, POSITIONS
from workbench.errors import DeviceError

KEEP_VOLUME = wire.KEEP  # the volume stays as it was
MOST_VOLUME = 100
MOST_MS = wire.LIMIT  # of an end: 12.4 days
_RECORD = np.dtype(
    [
        ("start_ms", "<u4"),
        ("duration_ms", "<u2"),
        ("fingers", "<u2"),
        ("cart", "u1"),
        ("volume", "u1"),
    ]
)
_FINGER_BITS = (1 << 2 * FINGERS) - 1
_LOW_BITS = 0x1555  # the lower bit of each finger


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Duties:
    """Duties of a song in the order of their starts; all of them can be played, by construction.

    Raises:
        DeviceError: Columns of different lengths, or a duty that no board takes; it is named.

    Attributes:
        start_ms: (n,) int64, never falling, from the start of the song.
        duration_ms: (n,) uint16, at least 1.
        fingers: (n,) uint16, two bits a finger.
        cart: (n,) uint8, position 0..11.
        volume: (n,) uint8, percent 0..100, or 255 to keep it.
    """

    start_ms: NDArray[np.int64]
    duration_ms: NDArray[np.uint16]
    fingers: NDArray[np.uint16]
    cart: NDArray[np.uint8]
    volume: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Refuse what no board takes."""
        lengths = {len(getattr(self, name)) for name in self.__slots__}
        if len(lengths) != 1:
            raise DeviceError(f"columns of {sorted(lengths)} duties; all need one length")
        ends = self.start_ms + self.duration_ms
        falls = np.diff(self.start_ms, prepend=self.start_ms[:1]) < 0
        _refuse(falls, self.start_ms, lambda v: f"starts at {v} ms, before the one ahead of it")
        beyond = (self.start_ms < 0) | (ends > MOST_MS)
        _refuse(beyond, ends, lambda v: f"ends at {v} ms; a song lasts 0 to {MOST_MS} ms")
        _refuse(self.duration_ms == 0, self.duration_ms, lambda v: f"lasts {v} ms; 1 is the least")
        wrong = (self.fingers & ~np.uint16(_FINGER_BITS)) != 0
        wrong |= (self.fingers & (self.fingers >> 1) & _LOW_BITS) != 0
        _refuse(wrong, self.fingers, lambda v: f"has fingers {v:#x}; each of 7 is 0, 1 or 2")
        _refuse(self.cart >= POSITIONS, self.cart, lambda v: f"has the cart at {v}, none of 0..11")
        loud = (self.volume > MOST_VOLUME) & (self.volume != KEEP_VOLUME)
        _refuse(loud, self.volume, lambda v: f"has volume {v}; it is 0..100, or 255 to keep it")

    def __len__(self) -> int:
        return len(self.start_ms)

    def __getitem__(self, rows: slice) -> "Duties":
        """Return some of the duties, their times as they are."""
        return Duties(**{name: getattr(self, name)[rows] for name in self.__slots__})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Duties):
            return NotImplemented
        return len(self) == len(other) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Give each duty as start_ms, duration_ms, fingers, cart, volume."""
        columns = (getattr(self, name).tolist() for name in self.__slots__)
        return zip(*columns, strict=True)

    @property
    def end_ms(self) -> int:
        """When the last duty ends; 0 without any."""
        return int((self.start_ms + self.duration_ms).max(initial=0))

    @property
    def sounding(self) -> NDArray[np.bool_]:
        """Which duties hold a key."""
        return np.asarray(self.fingers != 0)

    def index_at(self, ms: float) -> int:
        """Return the last duty that has begun by then; 0 before the first.

        Args:
            ms: From the start of the song.
        """
        return max(0, int(np.searchsorted(self.start_ms, ms, side="right")) - 1)

    def finger_states(self) -> NDArray[np.uint8]:
        """Return (n, 7): 0 home, 1 left, 2 right."""
        shifts = 2 * np.arange(FINGERS, dtype=np.uint16)
        return ((self.fingers[:, None] >> shifts) & 3).astype(np.uint8)

    def to_bytes(self, first: int = 0, last: int | None = None) -> bytes:
        """Return the records of the duties first..last - 1, 10 bytes each."""
        rows = slice(first, last)
        records = np.empty(len(self.start_ms[rows]), _RECORD)
        for name in self.__slots__:
            records[name] = getattr(self, name)[rows]
        return records.tobytes()

    @classmethod
    def from_bytes(cls, records: bytes) -> "Duties":
        """Return what some records hold.

        Raises:
            DeviceError: No whole number of records, or one that no board takes.
        """
        if len(records) % DUTY_BYTES:
            raise DeviceError(f"{len(records)} bytes of duties; a duty is {DUTY_BYTES} bytes")
        table = np.frombuffer(records, _RECORD)
        return cls.of(**{name: table[name] for name in cls.__slots__})

    @classmethod
    def of(
        cls,
        *,
        start_ms: ArrayLike,
        duration_ms: ArrayLike,
        fingers: ArrayLike,
        cart: ArrayLike = 0,
        volume: ArrayLike = KEEP_VOLUME,
    ) -> "Duties":
        """Return duties made of anything like columns of whole numbers.

        Args:
            start_ms: (n,), never falling.
            duration_ms: (n,) or one for all, 1..65535.
            fingers: (n,) or one for all, two bits a finger.
            cart: (n,) or one for all, 0..11.
            volume: (n,) or one for all, 0..100 or 255.

        Raises:
            DeviceError: A number that does not fit its column, or a duty that no board takes.
        """
        starts = np.atleast_1d(np.asarray(start_ms)).astype(np.int64)
        fit = {
            "duration_ms": _column("duration_ms", duration_ms, len(starts), np.uint16),
            "fingers": _column("fingers", fingers, len(starts), np.uint16),
            "cart": _column("cart", cart, len(starts), np.uint8),
            "volume": _column("volume", volume, len(starts), np.uint8),
        }
        return cls(start_ms=starts, **fit)


def _column(name: str, values: ArrayLike, length: int, kind: Any) -> NDArray[Any]:
    """Return values as a column of a kind.

    Raises:
        DeviceError: One of them does not fit.
    """
    wide = np.asarray(values)
    whole = np.broadcast_to(wide.astype(np.int64), wide.shape or (length,))
    bounds = np.iinfo(kind)
    outside = (whole < bounds.min) | (whole > bounds.max)
    _refuse(outside, whole, lambda v: f"has {name} {v}, none of 0..{bounds.max}")
    return whole.astype(kind)


def _refuse(wrong: NDArray[np.bool_], values: NDArray[Any], told: Callable[[int], str]) -> None:
    """Raise for the first duty that is wrong.

    Raises:
        DeviceError: There is one.
    """
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DeviceError(f"duty {first} {told(int(values[first]))}; mend the plan")
