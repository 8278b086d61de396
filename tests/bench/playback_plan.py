"""Planners of the cart beside each other, on the same songs and by the same rules.

    python tests/bench/playback_plan.py [--json] [--duties 100000]

All of them get the same onsets, and none may fold or shift a note. `lenient` counts as the
original does: notes of onsets during which the cart stands, flight times as they are, fingers in
no time. `strict` is what can be done: fingers off the keys before the cart moves, a finger home
before it presses again, the next onset lost if the cart is late. The workbench's own plans are
counted by their duties. The synthetic song is 1,076 duties without gaps, 30 % of them silent, the
others 1 to 4 notes within 8 neighbouring semitones.
"""

import time
from dataclasses import dataclass

import numpy as np
from rows import Row, parser_of, row, tell

from workbench.demo.tunes import PARTS, SLOTS, compose
from workbench.playback.flight import flight_seconds
from workbench.playback.keyboard import reach_of
from workbench.playback.options import PlanOptions, RobotOptions
from workbench.playback.planner import plan_song
from workbench.playback.song import Song, song_of
from workbench.runs.measurements import TIMES

ROBOT = RobotOptions()
PLAIN = PlanOptions(search="none", fold="none")
MOST_NOTES = PlanOptions(
    search="none", fold="none", melody_weight=0.0, hold_weight=0.0, move_weight=0.0
)
OTHERS = ("original host", "greedy", "original Keystra")
LENIENT = RobotOptions(clear_ms=0, lift_ms=1, hold_ms=1)
MIDDLE = 6  # where the original begins
NOTES_BONUS, MOVE_PENALTY, TIME_PENALTY = 10.0, 1.0, 1.0


@dataclass(frozen=True)
class Onsets:
    """A song as the original sees it: onset after onset, each until the next."""

    start: np.ndarray  # ms
    span: np.ndarray  # seconds to the next
    chords: list[list[int]]
    cover: np.ndarray  # (n, positions), fingers that play a note of the chord
    song: Song


def main() -> None:
    """Measure, print tables, exit 1 when a number is not reached."""
    parser = parser_of(__doc__)
    parser.add_argument("--duties", type=int, default=100_000)
    arguments = parser.parse_args()
    songs = {"synthetic 1076": synthetic(1076, seed=7)}
    songs |= {f"tune {n}": tune(n) for n in (1, 2, 3)}
    songs |= {"walk": walk(600, seed=3)}
    tables = {name: planners(song) for name, song in songs.items()}
    rows = [*planner_rows(tables), *speed_rows(arguments.duties)]
    tell("playback", rows, as_json=arguments.json)


# --- songs: (onsets of the original's duties, their chords, notes in all, the song)


def synthetic(duties: int, *, seed: int) -> tuple[list[int], list[list[int]], int, Song]:
    """Return the song of random duties without gaps; 1,076 of them last 212.3 s."""
    generator = np.random.default_rng(seed)
    span = generator.uniform(50, 345, duties)
    span = np.rint(span * (duties * 197.3 / span.sum())).astype(int)
    start = np.concatenate(([0], np.cumsum(span)[:-1]))
    chords = []
    for _ in range(duties):
        lowest = generator.integers(53, 78)
        pitches = lowest + generator.integers(0, 8, generator.integers(1, 5))
        chords.append([] if generator.random() < 0.3 else sorted(set(pitches.tolist())))
    return song_with(start, start + span, chords)


def tune(seed: int) -> tuple[list[int], list[list[int]], int, Song]:
    """Return the bass and the chords of a tune of the demo corpus, two octaves up."""
    made = compose(
        bpm=112.0, kind="steady", metre=4, seconds=90.0, generator=np.random.default_rng(seed)
    )
    is_pitched = made.hits.part != PARTS.index("drum")
    slot, length = made.hits.slot[is_pitched], made.hits.length[is_pitched]
    on = made.tempo.seconds_at(slot / SLOTS)
    off = made.tempo.seconds_at((slot + length) / SLOTS)
    return from_notes(on, off, made.hits.pitch[is_pitched] + 24)


def walk(notes: int, *, seed: int) -> tuple[list[int], list[list[int]], int, Song]:
    """Return a melody that wanders over the whole keyboard, with rests."""
    generator = np.random.default_rng(seed)
    pitch = 69 + np.cumsum(generator.integers(-5, 6, notes))
    pitch = 53 + np.abs((pitch - 53) % 62 - 31)  # reflected at both ends
    gap = generator.choice([0.15, 0.2, 0.3, 0.6, 1.2], notes)
    on = np.concatenate(([0.0], np.cumsum(gap)[:-1]))
    return from_notes(on, on + gap * generator.choice([0.5, 0.95], notes), pitch)


def from_notes(on, off, pitch) -> tuple[list[int], list[list[int]], int, Song]:
    """Return a song of notes within the keyboard."""
    inside = (pitch >= ROBOT.lowest_pitch) & (pitch <= ROBOT.highest_pitch)
    song = song_of(seconds=on[inside], end_seconds=off[inside], pitch=pitch[inside])
    start = np.unique(song.onset_ms)
    chords = [sorted(set(song.pitch[song.onset_ms == at].tolist())) for at in start]
    ends = np.append(start[1:], song.duration_ms)
    return [*start.tolist(), int(ends[-1])], chords, sum(map(len, chords)), song


def song_with(start, end, chords) -> tuple[list[int], list[list[int]], int, Song]:
    """Return the song of chords from starts to ends."""
    rows = [(s, e, p) for s, e, chord in zip(start, end, chords, strict=True) for p in chord]
    on, off, pitch = (np.array(column) for column in zip(*rows, strict=True))
    song = song_of(seconds=on / 1000, end_seconds=off / 1000, pitch=pitch)
    return [*map(int, start), int(end[-1])], chords, len(rows), song


# --- planners


def planners(made: tuple[list[int], list[list[int]], int, Song]) -> dict[str, dict[str, int]]:
    """Return what each planner plays of a song."""
    start, chords, _, song = made
    onsets = Onsets(
        start=np.array(start[:-1]),
        span=np.diff(start) / 1000,
        chords=chords,
        cover=cover_of(chords),
        song=song,
    )
    paths = {
        "original host": original_host(onsets),
        "greedy": greedy(onsets),
        "original Keystra": keystra(onsets),
    }
    table = {name: counted(path, onsets) for name, path in paths.items()}
    for name, options in (("workbench, most notes", MOST_NOTES), ("workbench", PLAIN)):
        strict, lenient = (plan_song(song, r, options).report for r in (ROBOT, LENIENT))
        table[name] = {
            "lenient": lenient.notes_played,
            "strict": strict.notes_played,
            "moves": strict.moves,
            "infeasible": strict.infeasible_moves + lenient.infeasible_moves,
        }
    return table


def cover_of(chords: list[list[int]]) -> np.ndarray:
    """Return how many fingers play a note of each chord at each position."""
    finger = reach_of(ROBOT).finger
    cover = np.zeros((len(chords), ROBOT.positions), int)
    for onset, chord in enumerate(chords):
        for place in range(ROBOT.positions):
            cover[onset, place] = len({int(f) for f in finger[place, chord] if f >= 0})
    return cover


def original_host(onsets: Onsets) -> list[int]:
    """Return the path of the original's host, which takes milliseconds for seconds: it stays."""
    path = [MIDDLE]
    for span in onsets.span:
        reached = [p for p in range(ROBOT.positions) if 50 * abs(p - path[-1]) <= span]
        path.append(min(reached, key=lambda p: abs(p - path[-1])))
    return path


def greedy(onsets: Onsets) -> list[int]:
    """Return the path that goes for the next chord whenever the time is there."""
    path = [int(np.argmax(onsets.cover[0]))]
    flight = [flight_seconds(ROBOT, d) for d in range(ROBOT.positions)]
    for onset, span in enumerate(onsets.span):
        here = path[-1]
        best = here
        if onset + 1 < len(onsets.cover):
            follow = onsets.cover[onset + 1]
            for place in range(ROBOT.positions):
                loss = onsets.cover[onset, here]
                if flight[abs(place - here)] <= span and follow[place] - loss > follow[best]:
                    best = place
        path.append(best)
    return path


def keystra(onsets: Onsets) -> list[int]:
    """Return the best path by the original's weights, notes counting while the cart stands."""
    positions = np.arange(ROBOT.positions)
    distance = np.abs(positions[:, None] - positions)
    flight = np.array([flight_seconds(ROBOT, d) for d in range(ROBOT.positions)])[distance]
    worth, back = np.zeros(ROBOT.positions), []
    for onset, span in enumerate(onsets.span):
        quality = -np.hypot(MOVE_PENALTY * distance, TIME_PENALTY * span)
        notes = (span + 1) * NOTES_BONUS * (onsets.cover[onset][:, None] + 1)
        quality = np.where(flight > span, -np.inf, quality + np.where(distance == 0, notes, 0.0))
        through = worth[:, None] + quality
        back.append(np.argmax(through, axis=0))
        worth = through.max(axis=0)
    path = [int(np.argmax(worth))]
    for before in reversed(back):
        path.append(int(before[path[-1]]))
    return path[::-1]


def counted(path: list[int], onsets: Onsets) -> dict[str, int]:
    """Return the notes that a path plays, leniently and strictly."""
    lenient = strict = moves = infeasible = 0
    ready, pressed = 0.0, {}
    finger = reach_of(ROBOT).finger
    for onset, (at, here, there) in enumerate(zip(onsets.start, path, path[1:], strict=False)):
        if here != there:
            moves += 1
            need = ROBOT.clear_ms + 1000 * flight_seconds(ROBOT, abs(there - here))
            infeasible += need > onsets.span[onset] * 1000
            ready = max(ready, float(at)) + need
            continue
        lenient += int(onsets.cover[onset, here])
        if ready > at:
            continue
        for number in {int(f) for f in finger[here, onsets.chords[onset]] if f >= 0}:
            if at - pressed.get(number, -(10**9)) >= ROBOT.lift_ms + ROBOT.hold_ms:
                pressed[number] = at
                strict += 1
    return {"lenient": lenient, "strict": strict, "moves": moves, "infeasible": infeasible}


# --- rows


def planner_rows(tables: dict[str, dict[str, dict[str, int]]]) -> list[Row]:
    """Return the comparisons of every song."""
    rows = []
    for name, table in tables.items():
        ours = table["workbench"]
        for rule in ("lenient", "strict"):
            notes = {planner: found[rule] for planner, found in table.items()}
            best = max(OTHERS, key=notes.__getitem__)
            rows.append(
                row(
                    f"{name}, {rule}: notes that are played",
                    ours[rule] / notes[best],
                    ">= 1",
                    unit=TIMES,
                    against=best,
                    note=", ".join(f"{planner} {count}" for planner, count in notes.items()),
                )
            )
        rows.append(row(f"{name}: infeasible moves", ours["infeasible"], "<= 0"))
    return rows


def speed_rows(duties: int) -> list[Row]:
    """Return how long a large song takes to plan, kernels compiled before."""
    plan_song(synthetic(50, seed=1)[3])
    song = synthetic(round(1.2 * duties), seed=2)[3]  # a move or a loss makes one duty of several
    begin, used = time.perf_counter(), time.process_time()
    report = plan_song(song, ROBOT, PLAIN).report
    seconds, cpu = time.perf_counter() - begin, time.process_time() - used
    begin = time.perf_counter()
    searched = plan_song(song).report
    folded = time.perf_counter() - begin
    return [
        row(f"{report.duties} duties planned, {report.notes} notes", seconds, "<= 10", unit="s"),
        row("of them, of the processor", cpu, "<= 10", unit="s"),
        row("the same, octaves searched, notes folded", folded, "<= 20", unit="s"),
        row("infeasible moves", report.infeasible_moves + searched.infeasible_moves, "<= 0"),
        row("onset error", report.onset_error_ms_max, "<= 1", unit="ms"),
    ]


if __name__ == "__main__":
    main()
