"""Options of the robot and of planning; the command line and the notebook's parameters follow them.

Another robot is another file: `read_robot` makes its `RobotOptions` of YAML or JSON.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from workbench import options
from workbench.device import wire
from workbench.errors import OptionsError


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotOptions:
    """What the robot is: its keys, its fingers, its cart, and how fast they are.

    Keys are counted from the lowest one in half white keys, as the cart meets them: 14 an octave,
    where a black key lies between its white ones and nothing between E and F, nor B and C.

    Attributes:
        lowest_pitch: Lowest key, a MIDI pitch; F3 [0..127].
        highest_pitch: Highest key, a MIDI pitch; C6 [0..127].
        fingers: Left and right key of each finger with the cart at position 0, fingers in order.
        positions: Places where the cart stands [1..12].
        position_keys: From one place to the next, half white keys [1..14].
        position_steps: From one place to the next, steps of the motor [1..].
        acceleration: Of the cart, steps a second squared [1..].
        cruise: Greatest speed of the cart, steps a second [1..].
        clear_ms: For all fingers to be off the keys before the cart moves, milliseconds [0..10000].
        lift_ms: For a finger to be home before it presses again, milliseconds [1..10000].
        hold_ms: For which a key is held at least, milliseconds [1..10000].
        longest_hold_ms: For which a key is held at most, milliseconds [1..60000].
    """

    lowest_pitch: int = 53
    highest_pitch: int = 84
    fingers: str = "0,2 4,6 8,10 12,14 1,3 5,7 9,11"
    positions: int = 12
    position_keys: int = 2
    position_steps: int = 1_880
    acceleration: float = 250_000.0
    cruise: float = 35_000.0
    clear_ms: int = 100
    lift_ms: int = 80  # half of a servo's way from side to side; 77 presses in 10 s
    hold_ms: int = 50
    longest_hold_ms: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        found = []
        if self.highest_pitch < self.lowest_pitch:
            found.append(f"highest_pitch: {self.highest_pitch} is below {self.lowest_pitch}")
        if self.longest_hold_ms < self.hold_ms:
            found.append(f"longest_hold_ms: {self.longest_hold_ms} is less than hold_ms")
        options.refuse(found + self._finger_problems())

    @property
    def finger_keys(self) -> tuple[tuple[int, int], ...]:
        """Left and right key of each finger with the cart at position 0."""
        pairs = [pair.split(",") for pair in self.fingers.split()]
        return tuple((int(left), int(right)) for left, right in pairs)

    def _finger_problems(self) -> list[str]:
        try:
            pairs = self.finger_keys
        except ValueError:
            return [f"fingers: {self.fingers!r} is not like '0,2 4,6', two keys a finger"]
        keys = [key for pair in pairs for key in pair]
        if not 1 <= len(pairs) <= wire.FINGERS:
            return [f"fingers: {len(pairs)} of them; a duty has room for 1 to {wire.FINGERS}"]
        if len(set(keys)) < len(keys):
            return [f"fingers: {self.fingers!r} gives one key to two"]
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """How a song becomes duties: which notes count, what may be changed, what is worth how much.

    Attributes:
        channels: MIDI channels that are played, as `1,2,4`; all when empty.
        drums: Whether channel 10 plays; `alone` is where there is no other.
        pedal: Whether the sustain pedal holds notes.
        speed: Of the music, percent of the song's own tempo [10..400].
        transpose: Semitones by which the song is shifted before anything else [-48..48].
        search: Further shifts that are tried for the most notes.
        fold: Which notes change octave: off the keys, also out of reach.
        lead_ms: Silence ahead of the first note at least, milliseconds; 0 when the cart stands
            there already [0..60000].
        note_weight: Worth of a note that is played [0..1000].
        melody_weight: Further worth of the highest note of those that begin together [0..1000].
        hold_weight: Worth of each second that a note is held [0..1000].
        fold_share: Share of its worth that a note in another octave has [0..1].
        move_weight: Cost of each position that the cart moves [0..1000].
    """

    channels: str = ""
    drums: Literal["no", "alone", "yes"] = "alone"
    pedal: bool = True
    speed: float = 100.0
    transpose: int = 0
    search: Literal["none", "octaves", "semitones"] = "octaves"
    fold: Literal["none", "range", "reach"] = "reach"
    lead_ms: int = 1_000
    note_weight: float = 10.0
    melody_weight: float = 2.0
    hold_weight: float = 1.0
    fold_share: float = 0.5
    move_weight: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        options.check(self)
        words = [word.strip() for word in self.channels.split(",") if self.channels]
        if any(not word.isdecimal() or not 1 <= int(word) <= 16 for word in words):
            options.refuse([f"channels: {self.channels!r} is not like '1,2,4', each 1 to 16"])

    @property
    def channel_numbers(self) -> frozenset[int]:
        """The channels that are played, 1 to 16; empty is all."""
        return frozenset(int(word) for word in self.channels.split(",") if self.channels)


def read_robot(path: Path) -> RobotOptions:
    """Return the robot that a file tells, YAML or JSON; what it leaves out is the melodica's.

    Raises:
        OptionsError: The file cannot be read, or tells what cannot be; all mistakes at once.
    """
    try:
        told: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionsError(f"{path}: no readable robot ({error})") from error
    if not isinstance(told, dict) or not all(isinstance(name, str) for name in told):
        raise OptionsError(f"{path}: no robot; want lines like `positions: 12`")
    try:
        options.refuse(options.problems(options.parameters_of(RobotOptions), told))
        return RobotOptions(**told)
    except OptionsError as error:
        raise OptionsError(f"{path}: {error}") from error
