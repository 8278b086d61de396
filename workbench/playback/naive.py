"""How late a song is when the host keeps the time: sends a batch, has it played, sleeps, again.

That is what came before boards had a queue and a clock of their own; it is here to be held against
them. Units: milliseconds; lateness is from the first duty on, by the host's clock.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from workbench.device.duties import Duties
from workbench.device.options import SimulatorOptions
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.playback.legacy import LineBoard, batches, homed

_BEAT_SECONDS = 0.5
_POLL_SECONDS = 0.01


def naive_lateness(
    duties: Duties, *, batch_size: int = 50, options: SimulatorOptions | None = None
) -> NDArray[np.float64]:
    """Play a song on a simulated board with the host keeping the time; return how late it was.

    The host sleeps as long as a batch lasts; what its messages and the start on the board take is
    added to each batch. The model takes no time for JSON, which boards do, and its cart stays where
    it is, as nothing here should wait for it.

    Args:
        duties: Of the song, one at least.
        batch_size: Duties a batch.
        options: What board it is.

    Returns:
        Of each duty that the board executed, float64, milliseconds.

    Raises:
        PlaybackError: The board takes no commands.
    """
    link = SimulatorLink(SimulatedBoard(options))
    board = LineBoard(link)
    homed(board)
    for batch in batches(replace(duties, cart=np.zeros_like(duties.cart)), batch_size):
        board.ask({"type": "start_streaming_performance", "total_batches": 1, "song": "song"})
        board.ask(batch.command)
        board.ask({"type": "play_duty_batch", "batch_id": batch.batch_id})
        told = batch.command
        _sleep(board, (told["end_time_ms"] - told["start_time_ms"]) / 1000)
    return lateness_of(link, duties)


def _sleep(board: LineBoard, seconds: float) -> None:
    """Let a batch be played; a board of today wants to hear of its host meanwhile."""
    end = board.now() + seconds
    while board.now() < end:
        board.wait(min(_BEAT_SECONDS, end - board.now()))
        board.ask({"type": "status"})
    while board.ask({"type": "streaming_status"})["streaming_active"]:
        board.wait(_POLL_SECONDS)


def lateness_of(link: SimulatorLink, duties: Duties) -> NDArray[np.float64]:
    """Return how much later than its first duty each executed one was, beside the song.

    Args:
        link: To a board that executed duties of the song from the first on, in order.
        duties: Of the song.
    """
    at = np.array([link.host_at(each.at) * 1000 for each in link.board.executions])
    due = duties.start_ms[: len(at)]
    late: NDArray[np.float64] = (at - at[:1]) - (due - due[:1])
    return late
