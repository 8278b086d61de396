"""Options of the way to the board; the command line and the notebook's parameters follow them."""

from dataclasses import dataclass
from typing import Literal

from workbench import options


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How the board is reached.

    Attributes:
        baudrate: Of a serial port, bits a second; USB takes no notice [1200..4000000].
        first_wait_seconds: About how long to wait before a lost link is opened again, seconds;
            doubles each time [0.001..].
        most_wait_seconds: The longest wait between two tries, seconds [0.001..].
        jitter: Share of a wait that is drawn at random [0..1].
        answer_seconds: How long the board may take to answer before it is asked again, seconds;
            more on links that turn out slower [0.005..60].
        silence_seconds: How long the board may be silent before the performance is given up,
            seconds [0.1..].
    """

    baudrate: int = 115_200
    first_wait_seconds: float = 0.1
    most_wait_seconds: float = 2.0
    jitter: float = 0.25
    answer_seconds: float = 0.15
    silence_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        if self.most_wait_seconds < self.first_wait_seconds:
            options.refuse(
                [f"most_wait_seconds: {self.most_wait_seconds:g} is less than the first"]
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederOptions:
    """How far ahead of the music the board is kept, and in what pieces.

    Attributes:
        batch_size: Duties a frame at most; fewer while the board's memory is short [1..255].
        buffer_size: Batches kept on the board at most; 0 is as many as its ring holds [0..].
        lookahead_ms: Music on the board up to which it is filled, milliseconds [1..].
        low_ms: Music on the board below which it is filled again, milliseconds [0..].
        safety_margin: How many times the size of a batch the board's free memory must be
            [1..100].
    """

    batch_size: int = 50
    buffer_size: int = 0
    lookahead_ms: int = 8000
    low_ms: int = 5000
    safety_margin: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        if self.low_ms > self.lookahead_ms:
            options.refuse([f"low_ms: {self.low_ms} is more than lookahead_ms {self.lookahead_ms}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayOptions:
    """How a performance goes, and what is done when the board falters.

    Attributes:
        recovery: After a reboot the song goes on at the duty that is next, or where it would be
            by now.
        restarts: Reboots in a row, with no music between them, before the performance stops
            [0..1000].
        start_seconds: From START being sent to the first duty, seconds; more on slow links
            [0.02..60].
        sync_seconds: Between two looks at the board, its heartbeat too, seconds [0.02..1].
        gain: Of all volumes, percent [0..200].
        config: Hash of the configuration that the board must have; 0 is any [0..1073741823].
    """

    recovery: Literal["resume", "catch_up"] = "resume"
    restarts: int = 5
    start_seconds: float = 0.2
    sync_seconds: float = 0.25
    gain: int = 100
    config: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """What board is simulated.

    Attributes:
        ring: Duties that it holds [4..65535].
        log: Executed duties that it remembers [22..65535].
        heap_bytes: Of its heap [1000..].
        program_bytes: Of its heap that program and buffers take [0..].
        latency_ms: From a request to its answer, milliseconds [0..1000].
        late_ms: Mean of how late a duty is, drawn, milliseconds [0..100].
        drift_ppm: How much faster its clock runs, millionths [-500..500].
        boot_ms: From a reboot to its first word, milliseconds [0..60000].
        homing_ms: That homing takes, milliseconds [0..60000].
        clear_ms: Fingers home before the cart sets off, milliseconds [0..1000].
        arrival_ms: How long before the cart arrives fingers may be pressed, milliseconds [0..200].
        silence_ms: Without a frame, until it pauses by itself, milliseconds [100..60000].
        limit_ms: How late a duty is pressed at most, milliseconds [1..10000].
        config: Hash of its configuration [0..1073741823].
        program: What it runs: this one's, or what boards had before, by lines of JSON alone.
        seed: Of what is drawn [0..].
    """

    ring: int = 256
    log: int = 128
    heap_bytes: int = 90_000
    program_bytes: int = 40_000
    latency_ms: float = 0.3
    late_ms: float = 0.05
    drift_ppm: float = 30.0
    boot_ms: float = 700.0
    homing_ms: float = 1200.0
    clear_ms: float = 100.0
    arrival_ms: float = 40.0
    silence_ms: float = 2300.0
    limit_ms: float = 100.0
    config: int = 0
    program: Literal["frames", "original"] = "frames"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
