"""Sixteen styles in drum tablature, and six invented drummers who play them.

Units: a `cell` is 1/24 of a quarter note; a `level` is a written loudness from 1 (ghost) to 9
(accent); `bpm` is quarter notes a minute. Pitches are General MIDI's and the Roland TD-11's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

CELLS = 24  # a quarter note


@dataclass(frozen=True, slots=True, kw_only=True)
class DrumStyle:
    """What drummers know about a style.

    Its tab holds one groove or more. A groove begins with a line that tells its swing: `straight`,
    or `eighths 0.60 0.68`, or `sixteenths` with the least and the greatest swing. Every line
    below is a voice (K kick, S snare, X side stick, H closed hat, O open hat, P pedal hat, R ride,
    B ride bell, C crash, T high tom, M mid tom, F floor tom) and its bar; where every second bar is
    another, it follows a `|`. The characters divide a bar evenly: 16 are the sixteenths of a 4/4
    bar, 12 its triplets. `.` is silence, 1 to 9 a level, a to i the same levels on optional hits,
    which only some pieces and bars play.

    Attributes:
        tab: The ways to play it.
        bpm: Slowest and fastest tempo.
        metre: Numerator and denominator.
        triplets: Share of beats of a fill that are triplets.
        looseness: Chance that an optional hit comes or stays away against the piece's habit.
        crashes: Chance of a crash after a fill, before the drummer's own liking.
    """

    tab: str
    bpm: tuple[int, int]
    metre: tuple[int, int] = (4, 4)
    triplets: float = 0.0
    looseness: float = 0.09
    crashes: float = 0.8

    @property
    def bar_cells(self) -> int:
        """Cells in a bar."""
        return self.metre[0] * CELLS * 4 // self.metre[1]

    @property
    def beat_cells(self) -> int:
        """Cells in a felt beat: a quarter note, or a dotted one in 6/8."""
        return CELLS * 3 // 2 if self.metre[1] == 8 else CELLS

    @property
    def beats(self) -> int:
        """Felt beats in a bar."""
        return self.bar_cells // self.beat_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Drummer:
    """The habits of one invented drummer.

    Attributes:
        late_ms: How far behind the beat all of it lies; below 0 it pushes.
        voice_late_ms: The same for single voices, on top.
        spread_ms: Standard deviation of a hit around that.
        contrast: How far loud and soft lie apart; 1 as written.
        loudness: Velocities added to all of it.
        accent: Velocities added on the beat.
        busy: Chance that an optional hit belongs to the piece.
        fills: Chance of a fill at the end of a phrase.
        crashes: Liking for crashes.
        kit: Pitches of a voice, hit softly and hit hard.
    """

    late_ms: float = 0.0
    voice_late_ms: Mapping[str, float] = field(default_factory=dict)
    spread_ms: float = 7.0
    contrast: float = 1.0
    loudness: float = 0.0
    accent: float = 4.0
    busy: float = 0.5
    fills: float = 0.6
    crashes: float = 1.0
    kit: Mapping[str, tuple[int, int]] = field(default_factory=dict)


_GM_KIT = {
    "K": (36, 36),
    "S": (38, 38),
    "X": (37, 37),
    "H": (42, 42),
    "O": (46, 46),
    "P": (44, 44),
    "R": (51, 51),
    "B": (53, 53),
    "C": (49, 49),
    "T": (50, 50),
    "M": (47, 47),
    "F": (43, 43),
}
# Roland TD-11: a loud stroke meets the rim of a drum or the edge of a cymbal.
_ROLAND_KIT = _GM_KIT | {
    "S": (38, 40),
    "H": (42, 22),
    "O": (46, 26),
    "R": (51, 59),
    "C": (49, 55),
    "T": (48, 50),
    "M": (45, 47),
    "F": (43, 58),
}

DRUMMERS: Mapping[str, Drummer] = {
    # In the centre of the beat, even, plays what is written.
    "drummer1": Drummer(voice_late_ms={"S": 3, "H": -1}, spread_ms=9, kit=_ROLAND_KIT),
    # Lies back: the snare last of all, soft ghosts, many of them.
    "drummer2": Drummer(
        late_ms=5,
        voice_late_ms={"S": 10, "X": 8, "K": 2},
        spread_ms=12,
        contrast=1.15,
        loudness=-3,
        busy=0.7,
        fills=0.5,
        kit=_ROLAND_KIT,
    ),
    # Pushes, hits hard and likes crashes.
    "drummer3": Drummer(
        late_ms=-7,
        voice_late_ms={"H": -2, "C": -3},
        spread_ms=11,
        contrast=0.95,
        loudness=12,
        accent=8,
        busy=0.45,
        fills=0.75,
        crashes=1.2,
        kit=_GM_KIT | {"K": (35, 36), "C": (57, 49), "F": (41, 41), "T": (48, 48)},
    ),
    # Light, the ride ahead of all, seldom a crash.
    "drummer4": Drummer(
        voice_late_ms={"R": -5, "B": -5, "P": 4, "K": 4},
        spread_ms=13,
        contrast=0.9,
        loudness=-8,
        accent=0,
        busy=0.6,
        fills=0.45,
        crashes=0.5,
        kit=_ROLAND_KIT | {"C": (52, 57), "F": (43, 43)},
    ),
    # Loose hands, wide timing, many fills.
    "drummer5": Drummer(
        late_ms=2,
        voice_late_ms={"S": -3, "K": 5},
        spread_ms=18,
        contrast=1.1,
        accent=6,
        fills=0.8,
        kit=_GM_KIT | {"S": (38, 40), "R": (51, 53)},
    ),
    # Close to a machine, sparse.
    "drummer6": Drummer(
        spread_ms=4,
        contrast=1.05,
        loudness=5,
        accent=2,
        busy=0.3,
        fills=0.55,
        kit=_GM_KIT | {"H": (42, 22), "M": (45, 45), "T": (48, 50)},
    ),
}

STYLES: Mapping[str, DrumStyle] = {
    "rock": DrumStyle(
        tab="""\
straight
K 7.....e.6.f...e.
S ....8..b.b..8..b
H 7.4.6.4.7.4.6.4.
O ..............e.
straight
K 7..e..6...6.....|7..e..6..e6...e.
S ....8..b.b..8...|....8..b.b..8.bb
H 7.4.6.4.7.4.6.4.
straight
K 7.....6.7.6.....
S ....9..b....9..b
R 6.5.6.5.6.5.6.5.
P ....d.......d...
straight
K 7.......7.e.....
S ....9..b.b..9..b
O 7...7...7...7...
straight
K 7......e7.....e.
S ....8..2.b..8..b
H 64546454645464e4""",
        bpm=(88, 140),
    ),
    "punk": DrumStyle(
        tab="""\
straight
K 8.....e.8.7...e.
S ....9..b....9..b
H 7.6.7.6.7.6.7.6.
straight
K 8..7.87.
S ..9...9.
H 77777777
straight
K 8...8.e.8...8.7.
S ..8...8...8...8.
R 7...7...7...7...
straight
K 8.....7.8.7.....
S ....9.......9...
O 8...8...8...8...
straight
K 8...8...8...8...
S ....9.......9..e
F 7.6.e.6.7.6.e.6.""",
        bpm=(150, 196),
    ),
    "funk": DrumStyle(
        tab="""\
straight
K 7.e...6...6..e..
S ....8..2.2.b8..2
H 6.4.6.4.6.4.6.4.
straight
K 7.6...e...6..6..
S ....8..2.2.28..2
H 6454645464546454
O ......e......d..
straight
K 7..6..e...6....e
S .b..8.2..2..8.2.
H 64.46.4464.46.4.
O ..............e.
straight
K 7.6...6..e6...e.
S .2.28..2.2.28.b2
B ..7...7...7...7.
P 4...4...4...4...""",
        bpm=(86, 116),
    ),
    "soul": DrumStyle(
        tab="""\
straight
K 7.e...6.7.e...6.
S 7..b7...7..b7..b
H 5.5.5.5.5.5.5.5.
sixteenths 0.50 0.56
K 7..6....e.7...e.
S ....8.2b.2..8..2
H 6.4.6.4.6.4.6.4.
O ......d.......d.
straight
K 7.....6.6..e....
S ....8..2.b..8.b2
R 6.4.6.4.6.4.6.4.
P ....4.......4...
straight
K 7.....6...6.....
X ....7.......7..d
H 5.4.5.4.5.4.5.4.""",
        bpm=(84, 126),
    ),
    "hiphop": DrumStyle(
        tab="""\
sixteenths 0.54 0.62
K 8..e...e..7..e..
S ....8..2.b..8..b
H 6.5.6.5.6.5.6.5.
O ..............d.
sixteenths 0.54 0.64
K 8......6..7.....|8......6.e7..6..
S ....8..b.b..8..b|....8..2....8.b2
H 65.465.465.465.4
sixteenths 0.50 0.54
K 8.....e....6..e.
S ...b..b.8..b..b.
H 6...4...6.5.4...5...4...6...4.44
sixteenths 0.56 0.64
K 8.6....e..7.e...
S ....8.22.2.28.b2
H 6.4.6.446.4.6.44""",
        bpm=(76, 98),
        crashes=0.5,
    ),
    "house": DrumStyle(
        tab="""\
straight
K 8...8...8...8...
S ....7..b.b..7..b
H 5..45..45..45..4
O ..7...7...7...7.
straight
K 8...8...8...8..e
S ....7..c....7...
H 5445544554455445
O ..d...d...d...d.
sixteenths 0.50 0.56
K 8...8...8...8...
X ...5..5...5..5..|...5..5....5..c.
R ..6...6...6...6.
H 4...4...4...4...""",
        bpm=(116, 130),
        looseness=0.03,
        crashes=0.6,
    ),
    "country": DrumStyle(
        tab="""\
straight
K 6...6...6...6...
S 3263326332633263|3263326332633266
P ..4...4...4...4.
straight
K 7.......7.....e.
X ....7.......7..b
H 5.4.5.4.5.4.5.4.
straight
K 7.....e.7.......
S ....7..2.b..7.b2
R 6.4.6.4.6.4.6.4.
P ....4.......4...""",
        bpm=(96, 132),
        crashes=0.6,
    ),
    "jazz": DrumStyle(
        tab="""\
eighths 0.60 0.68
R 6.746.74
P ..5...5.
S .bcb.cbc|bc.bb.cb
K b...b..d|b..db...
eighths 0.60 0.68
R 6.64647.|6.746.74
P ..5...5.
S b.cb.b.c|.bcb.c.d
K b..db...|b...b..d
eighths 0.60 0.68
O 6..46..4
H ..6...6.
K 4...4...
S .bb..b.b|.b.bb..c
X ......5.|..b...5.
eighths 0.60 0.68
R 6.746.74
P ..5...5.
X ......6.
S .b.b.b.c|bb.b.c..
K 3.3.3.3.""",
        bpm=(110, 220),
        triplets=0.8,
        looseness=0.3,
        crashes=0.35,
    ),
    "shuffle": DrumStyle(
        tab="""\
eighths 0.60 0.68
K 7..e7..e
S .bb.8.b.|..8...8b
H 63636363
eighths 0.60 0.68
K 7...7..d
S 22822282
R 64646464
P ..4...4.
straight
K 7....6.....e
S .2..2.82..2.
H 6.46.46.46.4
eighths 0.60 0.68
K 7..e6..6
S .b8b.b8b
R 6.746.74
P ..5...5.""",
        bpm=(92, 138),
        triplets=0.8,
    ),
    "bossa": DrumStyle(
        tab="""\
straight
K 6..45..4
X 6..6..6.|..6..6..
S .b..b..b
H 54545454
P ..3...3.
straight
K 6..45..4
X ..6..6..|6..6..6.
R 64546454
P ..4...4.
straight
K 6..45..4
X 6...6.6.|.6..6..6
H 53545354""",
        bpm=(112, 150),
        crashes=0.25,
    ),
    "samba": DrumStyle(
        tab="""\
straight
K 5..46..45..46..4
S 6.26.26.2.6.62.2|2.62.6.26.26.2.6
R 6445644564456445
P ....4.......4...
straight
K 4..47..44..47..4
S 5226252252262522
F ....e.......7...
P ..4...4...4...4.
straight
K 5..46..45..46..4
X 6..6..6...6.6...|..6.6...6..6..6.
H 5445544554455445
F ............e...""",
        bpm=(88, 116),
        looseness=0.1,
        crashes=0.4,
    ),
    "reggae": DrumStyle(
        tab="""\
sixteenths 0.50 0.60
K ........8.......
X ........7......c
H 5.4.6.4.5.4.6.44
O ..............d.
sixteenths 0.50 0.58
K 7...7...7...7...
X ........7..c..c.
H 5.465.465.465.46
straight
K 7.e...e.7.....e.
S ...b..b.8..b..bb
H 5.5.6.5.5.5.6.5.
O ......d.........
sixteenths 0.54 0.62
K ........8.....e.
S ..b...b.8..d.b..
R 5.4.6.4.5.4.6.4.""",
        bpm=(66, 90),
        triplets=0.4,
        crashes=0.6,
    ),
    "waltz": DrumStyle(
        tab="""\
eighths 0.60 0.68
K 7....b|6..d..
S ...b.c|..c..b
R 6.746.|6.7464
P ..5...
straight
K 7.....|7....d
S b...b.|..b..b
X ..5.5.|..5.5.
H 5.5.5.|5.545.
P ......
straight
K 7.....e.....
S ..b.6.b.6.bb
H 6.4.5.4.5.4.
eighths 0.60 0.68
K 6..d..|..6..b
S ..b.c.|b..c.b
R 6.64.7|6.746.
P ..5.5.|..5...""",
        bpm=(96, 168),
        metre=(3, 4),
        triplets=0.5,
        looseness=0.15,
        crashes=0.4,
    ),
    "afrocuban": DrumStyle(
        tab="""\
straight
B 7.6.67|.6.7.6
K 6..e..|6....e
X ...6..|..5...
P 4..4..
straight
R 7.6.67|.6.7.6
K 6....5|...6..
F ....e.|..5..5
S ..c...|c.....
straight
H 645645
K 7....5|7..e..
S ...8.b|b..8.b
straight
B 6.6.66|.6.6.6
K 6..6..
T ...e..|....5.
F .....e|..5..e
P ...4..""",
        bpm=(140, 190),
        metre=(6, 8),
        looseness=0.12,
        crashes=0.4,
    ),
    "ballad": DrumStyle(
        tab="""\
straight
K 7.......5.e.
S ......8..b.b
H 6.4.4.6.4.4.
straight
K 7...e.....6.|7.....e...6.
S ...b..8..b.b
R 6.5.5.6.5.5.
P ......4.....
straight
K 7.........5.|7...6.....e.
X ......7.....
H 634343634343
O ..........d.""",
        bpm=(72, 102),
        metre=(6, 8),
    ),
    "five": DrumStyle(
        tab="""\
eighths 0.60 0.68
R 6.746.74.6
K 6..d..6..b|6..b..5.d.
S ...b.c.bc.|..c..b...c
P ..5...5...
eighths 0.58 0.66
R 6.746.6.74
K 7..e..7...
X ....6...6.
P ..4.4...4.
straight
K 7.....6...6.....e...
S ....8..2.b..8..2d..b
H 6.4.6.4.6.4.6.4.6.4.
straight
K 7..6....7..6....7...
S ....8..b.b..8..b.2b.
R 6.5.6.5.6.5.6.5.6.5.""",
        bpm=(104, 168),
        metre=(5, 4),
        triplets=0.3,
        looseness=0.12,
        crashes=0.6,
    ),
}
