"""The older way to a board: JSON, a line a command, songs whole or in batches of chords.

For boards whose program is older than this one, and for programs that were written for them: the
commands and the options of the streamer that came before are here under their names. Units:
milliseconds of the song, seconds of waiting.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench import options
from workbench.device import wire
from workbench.device.caller import Caller
from workbench.device.duties import KEEP_VOLUME, Duties
from workbench.device.link import Dial, Link, LinkLostError
from workbench.device.options import FeederOptions, LinkOptions, PlayOptions
from workbench.errors import PlaybackError
from workbench.playback.keyboard import pitch_name, reach_of
from workbench.playback.options import RobotOptions
from workbench.playback.playlog import PlayLog
from workbench.playback.session import perform

Answer = dict[str, Any]
Ladder = Literal["streamed", "batches", "whole"]

_LINE = re.compile(rb"\{[^\n\x00]*\n")  # frames that came before it end in 0
_CONNECT_SECONDS, _READ_SECONDS = 3.0, 1.0
_TRIES, _PAUSE_SECONDS = 2, 0.1
_PROBE_SECONDS = 1.0
_POLL_SECONDS = 0.25
_LEAST_BATCH = 4
_MOST_REFUSALS = 200  # of batches in a row, each a poll apart


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamerOptions:
    """The options of the streamer that came before, under their names.

    Attributes:
        batch_size: Duties a batch [1..255].
        buffer_size: Batches kept on the board [1..64].
        lookahead_ms: Music on the board up to which it is filled, milliseconds [1..].
        memory_threshold: Duties up to which a song goes in one piece [0..10000].
        safety_margin: How many times the size of a batch the board's free memory must be
            [1..100].
        use_streaming: Whether songs above memory_threshold are streamed at all.
    """

    batch_size: int = 50
    buffer_size: int = 3
    lookahead_ms: int = 5000
    memory_threshold: int = 200
    safety_margin: float = 2.0
    use_streaming: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)

    @property
    def feeder(self) -> FeederOptions:
        """The same for boards that take frames."""
        return FeederOptions(
            batch_size=self.batch_size,
            buffer_size=self.buffer_size,
            lookahead_ms=self.lookahead_ms,
            low_ms=self.lookahead_ms // 2,
            safety_margin=self.safety_margin,
        )

    def is_streamed(self, duties: Duties) -> bool:
        """Return whether a song is streamed; else it goes in one piece."""
        return self.use_streaming and len(duties) > self.memory_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some duties, as the older way sends them.

    Attributes:
        batch_id: From 0 on.
        first: Index of its first duty.
        duties: As JSON has them: start_ms, duration_ms, chord, skid, volume_percent.
        path_segment: Where the cart stands in each duty and goes in it, one more than duties.
    """

    batch_id: int
    first: int
    duties: list[dict[str, Any]]
    path_segment: list[int]

    @property
    def command(self) -> Answer:
        """The command that loads it."""
        last = self.duties[-1]
        return {
            "type": "load_duty_batch",
            "batch_id": self.batch_id,
            "duties": self.duties,
            "path_segment": self.path_segment,
            "start_time_ms": self.duties[0]["start_ms"],
            "end_time_ms": last["start_ms"] + last["duration_ms"],
        }


class LineBoard:
    """A board that is spoken to by lines.

    Attributes:
        name: Of its link.
    """

    def __init__(self, link: Link) -> None:
        """Speak over an open link."""
        self.name = link.name
        self._link = link

    def now(self) -> float:
        """Return the time of the link, seconds."""
        return self._link.now()

    def wait(self, seconds: float) -> None:
        """Let time pass; what comes meanwhile is passed over."""
        end = self.now() + seconds
        while self.now() < end:
            self._link.read(end - self.now())

    def ask(self, command: Mapping[str, Any]) -> Answer:
        """Return the answer to a command; it is sent twice at most.

        Args:
            command: With its `type`.

        Raises:
            PlaybackError: No answer came.
        """
        answer = self.try_ask(command)
        if answer is None:
            raise PlaybackError(
                f"{self.name}: no answer to {command.get('type')!r}; is the board's program one"
                " that takes commands? deploy it: workbench pico deploy"
            )
        return answer

    def try_ask(self, command: Mapping[str, Any]) -> Answer | None:
        """Return the answer to a command, or None where none comes."""
        line = b"\n" + json.dumps(command).encode() + b"\n"
        for _ in range(_TRIES):
            while self._link.read(0):  # what is left of earlier words
                pass
            self._link.write(line)
            answer = self._answer(_CONNECT_SECONDS if len(line) > 1000 else _READ_SECONDS)
            if answer is not None:
                return answer
            self.wait(_PAUSE_SECONDS)
        return None

    def _answer(self, seconds: float) -> Answer | None:
        held, end = b"", self.now() + seconds
        while self.now() < end:
            held += self._link.read(end - self.now())
            for line in _LINE.findall(held):
                try:
                    answer = json.loads(line)
                except ValueError:  # a part of a frame that looked like a line
                    continue
                if isinstance(answer, dict):
                    return answer
        return None


def speaks(link: Link, calls: LinkOptions | None = None) -> Literal["frames", "lines"]:
    """Return what the board at the end of a link takes.

    Args:
        link: To it.
        calls: How long answers may take.

    Raises:
        PlaybackError: It answers neither.
    """
    if Caller(link, calls).call(wire.HELLO, wire.PROTOCOL, seconds=_PROBE_SECONDS) is not None:
        return "frames"
    if LineBoard(link).try_ask({"type": "status"}) is not None:
        return "lines"
    raise PlaybackError(
        f"{link.name}: answers neither frames nor lines; is its program running? deploy it:"
        " workbench pico deploy"
    )


def batches(duties: Duties, size: int, robot: RobotOptions | None = None) -> Iterator[Batch]:
    """Give the batches of a song.

    Args:
        duties: Of the song.
        size: Duties of each but the last.
        robot: Whose keys the chords are named by.
    """
    rows, path = as_dicts(duties, robot), path_of(duties)
    for number, first in enumerate(range(0, len(rows), size)):
        last = min(first + size, len(rows))
        yield Batch(
            batch_id=number,
            first=first,
            duties=rows[first:last],
            path_segment=path[first : last + 1],
        )


def as_dicts(duties: Duties, robot: RobotOptions | None = None) -> list[dict[str, Any]]:
    """Return duties as JSON has them, their fingers as chords like `C4_E4`.

    Args:
        duties: Of a song.
        robot: Whose keys the chords are named by.
    """
    robot = robot or RobotOptions()
    reach = reach_of(robot)
    pitch_at = {
        (cart, int(reach.finger[cart, pitch]), int(reach.side[cart, pitch])): pitch
        for cart in range(robot.positions)
        for pitch in range(robot.lowest_pitch, robot.highest_pitch + 1)
        if reach.finger[cart, pitch] >= 0
    }
    states = duties.finger_states()
    rows = []
    for at, (start, duration, _, cart, volume) in enumerate(duties):
        held = [(cart, finger, int(side)) for finger, side in enumerate(states[at]) if side]
        pitches = sorted(pitch_at[key] for key in held if key in pitch_at)
        rows.append(
            {
                "start_ms": start,
                "duration_ms": duration,
                "chord": "_".join(map(pitch_name, pitches)) or None,
                "skid": 0,
                "volume_percent": None if volume == KEEP_VOLUME else volume,
            }
        )
    return rows


def path_of(duties: Duties) -> list[int]:
    """Return where the cart stands in each duty, and where it goes in the last.

    A silent duty has the cart move in it: its own place is the one before.
    """
    carts = duties.cart.tolist()
    if not carts:
        return []
    path = [carts[0]]
    for at, is_sounding in enumerate(duties.sounding.tolist()):
        if is_sounding:
            path[at] = carts[at]
        path.append(carts[at])
    return path


def play_lines(
    board: LineBoard,
    duties: Duties,
    options: StreamerOptions | None = None,
    robot: RobotOptions | None = None,
) -> Ladder:
    """Play a song by lines, to its end: in batches, or in one piece where it is short.

    Args:
        board: That takes lines; it is homed first.
        duties: Of the song.
        options: How large the batches are, and from when on there are some.
        robot: Whose keys the chords are named by.

    Returns:
        How it was played.

    Raises:
        PlaybackError: The board does not take the song.
    """
    options = options or StreamerOptions()
    homed(board)
    if not options.is_streamed(duties):
        return _play_whole(board, duties, robot)
    size = options.batch_size
    answer = board.ask({"type": "start_streaming_performance", "total_batches": 0, "song": "song"})
    if not answer.get("success"):
        raise PlaybackError(
            f"{board.name}: takes no streamed songs ({answer.get('error')}), and {len(duties)}"
            f" duties are more than memory_threshold {options.memory_threshold}; deploy the"
            " board's program: workbench pico deploy"
        )
    _stream(board, duties, size, options, robot)
    return "batches"


def play_somehow(
    dial: Dial,
    duties: Duties,
    *,
    options: StreamerOptions | None = None,
    play: PlayOptions | None = None,
    calls: LinkOptions | None = None,
) -> tuple[Ladder, PlayLog | None]:
    """Play a song in the best way that a board knows.

    Args:
        dial: Opens the link to it.
        duties: Of the song.
        options: Of the streamer.
        play: How the performance goes.
        calls: How long answers may take.

    Returns:
        How it was played, and what was, where the board tells.

    Raises:
        PlaybackError: The board knows none, or none for so long a song.
        DeviceError: The link cannot be opened, or the board refuses a duty.
    """
    options = options or StreamerOptions()
    link = dial()
    try:
        if speaks(link, calls) == "lines":
            return play_lines(LineBoard(link), duties, options), None
        log = perform(link, duties, play=play, feeder=options.feeder, calls=calls)
        return "streamed", log
    except LinkLostError as error:
        raise PlaybackError(f"{error}; connect it again, then play") from error
    finally:
        link.close()


def homed(board: LineBoard) -> None:
    """Home a board that is not; the answer comes before it is.

    Raises:
        PlaybackError: It does not come home.
    """
    if board.ask({"type": "status"}).get("position", -1) >= 0:
        return
    board.ask({"type": "home_all"})
    end = board.now() + 60.0
    while board.ask({"type": "status"}).get("position", -1) < 0:
        if board.now() > end:
            raise PlaybackError(f"{board.name}: does not come home; look at its rail and switch")
        board.wait(_POLL_SECONDS)


def _play_whole(board: LineBoard, duties: Duties, robot: RobotOptions | None) -> Ladder:
    command = {
        "type": "play_performance_with_pathing",
        "song": "song",
        "duties": as_dicts(duties, robot),
        "path": path_of(duties),
    }
    answer = board.ask(command)
    if not answer.get("success", "error" not in answer):
        raise PlaybackError(
            f"{board.name}: does not take {len(duties)} duties in one piece"
            f" ({answer.get('error')}); deploy the board's program: workbench pico deploy"
        )
    board.wait(duties.end_ms / 1000 + 1.5)
    return "whole"


def _stream(
    board: LineBoard,
    duties: Duties,
    size: int,
    options: StreamerOptions,
    robot: RobotOptions | None,
) -> None:
    """Load batch after batch as there is room; the first ones, then play, then the others."""
    rows, path = as_dicts(duties, robot), path_of(duties)
    at = number = refusals = 0
    is_playing = False
    while at < len(rows):
        last = min(at + size, len(rows))
        batch = Batch(
            batch_id=number, first=at, duties=rows[at:last], path_segment=path[at : last + 1]
        )
        answer = board.ask(batch.command)
        if answer.get("success"):
            at, number, refusals = last, number + 1, 0
            size = min(options.batch_size, size + max(1, options.batch_size // 10))
        else:
            refusals += 1
            size = max(_LEAST_BATCH, size // 2) if not is_playing else size
            if refusals > _MOST_REFUSALS:
                raise PlaybackError(f"{board.name}: takes no more duties ({answer.get('error')})")
        is_full = number >= options.buffer_size or not answer.get("success")
        if not is_playing and number and (is_full or at == len(rows)):
            is_playing = bool(board.ask({"type": "play_duty_batch", "batch_id": 0}).get("success"))
        if not answer.get("success"):
            board.wait(_POLL_SECONDS)
    _heard_out(board, number, duties)


def _heard_out(board: LineBoard, number: int, duties: Duties) -> None:
    """Wait until the last batch was played, then stop."""
    end = board.now() + duties.end_ms / 1000 + 60.0
    while board.now() < end:
        status = board.ask({"type": "streaming_status"})
        if status.get("current_batch_id") is None:
            break
        board.wait(_POLL_SECONDS)
    board.wait(duties.duration_ms[-1] / 1000)
    board.ask({"type": "stop"})
