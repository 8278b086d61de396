"""How late duties are on a real MicroPython: a queue on the board beside a host that sleeps.

    python tests/bench/playback_timing.py [--json] [--seconds 60]

Both play the same duties, 20 a second, on MicroPython's unix port with 48 KB of heap, one after the
other in one run; on a busy machine both tails are the system's. `naive` is the scheme that came
before: the host sends a batch of 50 as JSON, has it played, sleeps as long as it lasts, and again.
Lateness is from the first duty on, by the board's clock. Beside it: what is lost, the drift from
the first to the last quarter, what a duty takes on the wire, the clock's error, and how long an
emergency stop takes until the board says that it is safe.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from rows import Row, parser_of, row, tell

from workbench.device import deploy, wire
from workbench.device.board import HEAP, MicroPythonBoard
from workbench.device.caller import Caller
from workbench.device.duties import Duties
from workbench.playback.legacy import batches
from workbench.playback.performance import Performance
from workbench.playback.session import Session
from workbench.runs.measurements import TIMES

NAIVE = Path(__file__).with_name("naive_board.py")
MICROPYTHON = Path(sys.executable).with_name("micropython")
QUICK = deploy.BoardOptions(homing_speed=35_000, presses=10_000)
BATCH, EVERY_MS = 50, 50
STOPS = 5
STOP_DUTIES = 600  # half a minute, so that none ends by itself


def main() -> None:
    """Measure, print, exit 1 when a number is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    duties = song(round(arguments.seconds * 1000 / EVERY_MS))
    slow = naive(duties)
    rows = [*queue_rows(duties, slow), stop_row(song(STOP_DUTIES))]
    tell("playback", rows, as_json=arguments.json)


def song(count: int) -> Duties:
    """Return duties that hold one finger and then another."""
    return Duties.of(
        start_ms=200 + np.arange(count) * EVERY_MS,
        duration_ms=EVERY_MS,
        fingers=1 + np.arange(count) % 2,
        volume=50,
    )


def naive(duties: Duties) -> np.ndarray:
    """Return how late each duty is where the host keeps the time, milliseconds."""
    command = [MICROPYTHON, "-X", f"heapsize={HEAP}", NAIVE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as board:

        def ask(message: object) -> str:
            board.stdin.write(json.dumps(message) + "\n")
            return board.stdout.readline()

        at: list[int] = []
        for batch in batches(duties, BATCH):
            ask(batch.command)
            board.stdin.write(json.dumps({"type": "play_duty_batch"}) + "\n")
            told = batch.command
            time.sleep((told["end_time_ms"] - told["start_time_ms"]) / 1000)
            board.stdout.readline()
            at += json.loads(ask({"type": "tell"}))
        board.stdin.close()
    late = np.array(at) / 1000 - duties.start_ms
    return late - late[0]


def queue_rows(duties: Duties, slow: np.ndarray) -> list[Row]:
    """Return the rows of the queue on the board."""
    with MicroPythonBoard(QUICK) as board:
        link = board.link()
        performance = Performance(link)
        performance.load(duties)
        performance.play()
        while not performance.is_over:
            performance.step(0.02)
        report, table = performance.log.report(), performance.log.table()
        clock = performance.caller.clock
        error = float(np.median([clock_error(performance.caller, link) for _ in range(50)]))
    late = table["late_ms"].to_numpy()
    quarter = len(late) // 4
    drift = float(np.median(late[-quarter:]) - np.median(late[:quarter]))
    p99, naive_p99 = float(np.percentile(late, 99)), float(np.percentile(slow, 99))
    wrong = report.lost + report.doubled + report.reordered + report.wrong
    bytes_each = performance.caller.traffic.data_bytes / len(duties)
    drifted = float(np.median(slow[-quarter:]) - np.median(slow[:quarter]))
    return [
        row("naive: 99 of 100 duties late by at most", naive_p99, unit="ms"),
        row("naive: drift from the first to the last quarter", abs(drifted), unit="ms"),
        row("queue: half of the duties late by at most", report.late_p50_ms, unit="ms"),
        row("queue: 99 of 100 duties late by at most", p99, "<= 5", unit="ms"),
        row(
            "duties less late, 99 of 100 of them",
            naive_p99 / max(p99, 0.01),
            ">= 20",
            unit=TIMES,
            against="the naive board",
        ),
        row("queue: drift", abs(drift), "<= 1", unit="ms"),
        row("duties lost, doubled, reordered or wrong", wrong, "<= 0"),
        row("share of the duties that were executed", report.executed / len(duties), ">= 1"),
        row("bytes a duty on the wire", bytes_each, "<= 11.5", unit="bytes"),
        row(
            "memory of the board",
            int(HEAP.removesuffix("wK")),
            "<= 64",
            unit="kB",
            note=f"-X heapsize={HEAP}",
        ),
        row("least round trip", clock.round_trip * 1000, unit="ms"),
        row("clock error, to the board's millisecond", error, "<= 1", unit="ms"),
    ]


def clock_error(caller: Caller, link: object) -> float:
    """Return by how much the board's word contradicts the host's idea of its clock, ms."""
    sent = link.now()
    caller.call(wire.STATUS)
    got, told = link.now(), caller.board_seconds
    low, high = caller.clock.board_at(sent), caller.clock.board_at(got)
    outside = max(low - told, told - high, 0.0)
    return 1000 * outside


def stop_row(duties: Duties) -> Row:
    """Return how long an emergency stop takes at full stream, the middle one of some."""
    took = []
    with MicroPythonBoard(QUICK) as board, Session(board.link) as session:
        for _ in range(STOPS):
            session.load(duties)
            session.play()
            session.wait_for("playing", seconds=20)
            while session.view.index < 10:
                time.sleep(0.005)
            begun = time.monotonic()
            session.emergency_stop()
            session.wait_for("alarm", seconds=5)
            took.append(1000 * (time.monotonic() - begun))
            session.home()
            session.wait_for("idle", seconds=20)
    what = "emergency stop, until the board says it is safe"
    return row(what, float(np.median(took)), "<= 50", unit="ms", turns=took)


if __name__ == "__main__":
    main()
