"""Bytes to and from the board: any port that pyserial opens, dialled again when it is lost.

A link is a pipe that may lose and damage bytes; who speaks over it says things again. `SerialLink`
is one open port: `/dev/ttyACM0`, `COM3`, `socket://HOST:PORT`, `loop://`, a pseudo-terminal.
`LastingLink` opens one, and opens it again with growing waits when it breaks. `FaultyLink` breaks
on purpose what goes through another link. Units: seconds, bytes.
"""

import errno
import io
import logging
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import serial

from workbench.device.clock import RealTime, Time
from workbench.device.options import LinkOptions
from workbench.errors import DeviceError

logger = logging.getLogger(__name__)

_READ_BYTES = 4096  # at once at most
_WRITE_SECONDS = 0.5  # that a port may refuse bytes before they are given up
_POLL_SECONDS = 0.002  # between looks at a port that cannot be waited for


class LinkLostError(DeviceError):
    """A link that was open and is gone: unplugged, closed by the other end."""


class Link(Protocol):
    """A pipe of bytes to a board, and the time it runs on."""

    name: str

    def now(self) -> float:
        """Return the time of this link, seconds."""

    def read(self, seconds: float) -> bytes:
        """Return what has come, waiting at most so long for the first byte.

        Raises:
            LinkLostError: The link is gone.
        """

    def write(self, data: bytes) -> None:
        """Send bytes; what the port does not take is lost.

        Raises:
            LinkLostError: The link is gone.
        """

    def close(self) -> None:
        """End the link; more than once does no harm."""


Dial = Callable[[], Link]


def waits(options: LinkOptions, seed: int = 0) -> Iterator[float]:
    """Give the waits between tries to open a link: doubling up to the longest, with jitter.

    Each is drawn from (1 - jitter) to 1 times first_wait, twice that, four times that, ...
    """
    rng = np.random.default_rng(seed)
    longest = options.first_wait_seconds
    while True:
        yield longest * (1 - options.jitter * float(rng.random()))
        longest = min(2 * longest, options.most_wait_seconds)


def port_problem(url: str, error: BaseException) -> str:
    """Return in clear text why a port cannot be opened, and what to do."""
    number = getattr(error, "errno", None)
    said = str(error)
    if number in (errno.EACCES, errno.EPERM) or "Permission denied" in said:
        return (
            f"{url}: not permitted; join the group that owns it (sudo usermod -a -G dialout $USER)"
            " and log in again"
        )
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in said:
        return f"{url}: is in use by another program (mpremote, a terminal, another notebook?)"
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or "No such file" in said:
        return f"{url}: there is no such port; is the board plugged in? try: workbench pico ports"
    if isinstance(error, ValueError):
        return f"{url}: is no port; give /dev/ttyACM0, COM3 or socket://HOST:PORT"
    return f"{url}: could not be opened ({error})"


class SerialLink:
    """One open port; nobody else may open it meanwhile."""

    def __init__(self, url: str, options: LinkOptions | None = None) -> None:
        """Open a port.

        Args:
            url: A port, or an address that pyserial knows.
            options: The rate.

        Raises:
            DeviceError: It cannot be opened; the text tells why and what to do.
        """
        self.name = url
        options = options or LinkOptions()
        try:
            self._port = serial.serial_for_url(
                url,
                baudrate=options.baudrate,
                timeout=0,
                write_timeout=_WRITE_SECONDS,
                exclusive=True,
            )
        except (OSError, ValueError) as error:  # serial's own errors are OSErrors
            raise DeviceError(port_problem(url, error)) from error
        self._time = RealTime()
        self._writing = threading.Lock()
        try:
            self._handle: int | None = self._port.fileno()
        except (io.UnsupportedOperation, AttributeError):
            self._handle = None

    def now(self) -> float:
        """Return the machine's time, seconds."""
        return self._time.now()

    def read(self, seconds: float) -> bytes:
        """Return what has come, waiting at most so long for the first byte.

        Raises:
            LinkLostError: The port is gone.
        """
        try:
            return self._read(max(0.0, seconds))
        except (OSError, TypeError, ValueError) as error:  # closed ports have no handle
            raise LinkLostError(f"{self.name}: was lost ({error})") from error

    def _read(self, seconds: float) -> bytes:
        if self._handle is not None:
            ready, _, _ = select.select([self._handle], [], [], seconds)
            return bytes(self._port.read(_READ_BYTES)) if ready else b""
        end = self.now() + seconds
        while not (found := bytes(self._port.read(_READ_BYTES))) and self.now() < end:
            self._time.wait(_POLL_SECONDS)
        return found

    def write(self, data: bytes) -> None:
        """Send bytes; may be called by any thread.

        Raises:
            LinkLostError: The port is gone.
        """
        try:
            with self._writing:
                self._port.write(data)
        except serial.SerialTimeoutException:
            logger.warning("%s: takes no bytes; %d or fewer were lost", self.name, len(data))
        except (OSError, TypeError, ValueError) as error:
            raise LinkLostError(f"{self.name}: was lost ({error})") from error

    def close(self) -> None:
        """End the link."""
        self._port.close()


class LastingLink:
    """A link that is opened again, with growing waits, whenever it is lost.

    While it is down nothing comes and what is written is lost.

    Attributes:
        name: Of the port.
        is_up: Whether it is open now.
        losses: How many times it was lost.
        down_since: When it was lost, on the link's time; None while it is up.
    """

    def __init__(
        self, dial: Dial, options: LinkOptions | None = None, *, time: Time | None = None
    ) -> None:
        """Open the link.

        Args:
            dial: Opens one.
            options: How long to wait between tries.
            time: What the waits run on.

        Raises:
            DeviceError: It cannot be opened this first time.
        """
        self._dial = dial
        self._options = options or LinkOptions()
        self._time = time or RealTime()
        self._link: Link | None = dial()
        self._waits = waits(self._options)
        self._next = 0.0
        self.name = self._link.name
        self.losses = 0
        self.down_since: float | None = None

    @property
    def is_up(self) -> bool:
        """Whether the link is open now."""
        return self._link is not None

    def now(self) -> float:
        """Return the time of the link, seconds."""
        return self._time.now()

    def read(self, seconds: float) -> bytes:
        """Return what has come; while the link is down, wait and try to open it."""
        link = self._link or self._opened()
        if link is None:
            self._time.wait(min(seconds, max(0.0, self._next - self.now())))
            return b""
        try:
            return link.read(seconds)
        except LinkLostError as error:
            self._lost(error)
            return b""

    def write(self, data: bytes) -> None:
        """Send bytes; while the link is down they are lost."""
        link = self._link
        if link is None:
            return
        try:
            link.write(data)
        except LinkLostError as error:
            self._lost(error)

    def close(self) -> None:
        """End the link; it is not opened again."""
        self._next = float("inf")
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _lost(self, error: LinkLostError) -> None:
        link, self._link = self._link, None
        if link is None:  # another thread met it first
            return
        link.close()
        self.losses += 1
        self.down_since = self.now()
        self._waits = waits(self._options, seed=self.losses)
        self._next = self.now() + next(self._waits)
        logger.warning("%s", error)

    def _opened(self) -> Link | None:
        """Return the link, opened again, when it is time to try and that goes well."""
        if self.now() < self._next:
            return None
        try:
            link = self._dial()
        except DeviceError as error:
            wait = next(self._waits)
            logger.info("%s; again in %.1f s", error, wait)
            self._next = self.now() + wait
            return None
        self._link, self.down_since = link, None
        logger.info("%s: is open again", self.name)
        return link


class FaultyLink:
    """A link over another that loses, damages, delays and withholds bytes, as asked.

    Attributes:
        dropped: Bytes that were lost, frames and silences apart.
        flipped: Bytes one bit of which was turned.
    """

    def __init__(
        self,
        link: Link,
        *,
        seed: int = 0,
        drop: float = 0.0,
        flip: float = 0.0,
        lose: float = 0.0,
        rate: float = 0.0,
        silences: Sequence[tuple[float, float]] = (),
    ) -> None:
        """Put faults on a link.

        Args:
            link: What the bytes go through.
            seed: Of the draws.
            drop: Share of bytes lost, each way [0..1].
            flip: Share of bytes with a turned bit, each way [0..1].
            lose: Share of writes lost whole [0..1].
            rate: Bytes a second, each way; 0 is no limit.
            silences: From and to, in the link's time, while nothing goes through.
        """
        self.name = link.name
        self.dropped = self.flipped = 0
        self._link = link
        self._rng = np.random.default_rng(seed)
        self._drop, self._flip, self._lose, self._rate = drop, flip, lose, rate
        self._silences = silences
        self._out: deque[tuple[float, bytes]] = deque()
        self._in: deque[tuple[float, bytes]] = deque()
        self._free_out = self._free_in = -float("inf")

    def now(self) -> float:
        """Return the time of the link, seconds."""
        return self._link.now()

    def write(self, data: bytes) -> None:
        """Send bytes, as far as they get through."""
        if self._is_silent() or (self._lose and self._rng.random() < self._lose):
            return
        data = self._damaged(data)
        if not self._rate:
            self._link.write(data)
            return
        for piece in _pieces(data):
            self._free_out = max(self._free_out, self.now()) + len(piece) / self._rate
            self._out.append((self._free_out, piece))

    def read(self, seconds: float) -> bytes:
        """Return what gets through, waiting at most so long."""
        end = self.now() + seconds
        while True:
            self._sent_on()
            if found := self._arrived():
                return found
            if self.now() >= end:
                return b""
            due = min([end] + [queue[0][0] for queue in (self._out, self._in) if queue])
            self._take(self._link.read(max(0.0, due - self.now())))

    def close(self) -> None:
        """End the link."""
        self._link.close()

    def _take(self, data: bytes) -> None:
        if not data or self._is_silent():
            return
        data = self._damaged(data)
        if not self._rate:
            self._in.append((self.now(), data))
            return
        for piece in _pieces(data):
            self._free_in = max(self._free_in, self.now()) + len(piece) / self._rate
            self._in.append((self._free_in, piece))

    def _sent_on(self) -> None:
        while self._out and self._out[0][0] <= self.now():
            self._link.write(self._out.popleft()[1])

    def _arrived(self) -> bytes:
        found = []
        while self._in and self._in[0][0] <= self.now():
            found.append(self._in.popleft()[1])
        return b"".join(found)

    def _is_silent(self) -> bool:
        return any(start <= self.now() < end for start, end in self._silences)

    def _damaged(self, data: bytes) -> bytes:
        if not (self._drop or self._flip):
            return data
        values = np.frombuffer(data, np.uint8).copy()
        flipped = self._rng.random(len(values)) < self._flip
        values[flipped] ^= np.uint8(1) << self._rng.integers(0, 8, int(flipped.sum()), np.uint8)
        kept = self._rng.random(len(values)) >= self._drop
        self.flipped += int(flipped.sum())
        self.dropped += int((~kept).sum())
        return values[kept].tobytes()


def _pieces(data: bytes, size: int = 16) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
