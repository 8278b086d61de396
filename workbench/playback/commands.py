"""`workbench pico plan` and `play`: flags in, one call of the room, a reply out."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from workbench.device.options import FeederOptions, LinkOptions, PlayOptions
from workbench.errors import OptionsError
from workbench.playback.options import PlanOptions, RobotOptions, read_robot
from workbench.progress import Show, silent, terminal
from workbench.reply import Reply

if TYPE_CHECKING:
    from workbench.playback.plan import Plan
    from workbench.playback.playing import Played

Flat = Parameter(name="*")
_INTERRUPTED = 130
_WIDTH = 80  # of a terminal, at least


def plan(
    song: Path,
    *,
    robot: Path | None = None,
    picture: Path | None = None,
    progress: bool = True,
    options: Annotated[PlanOptions | None, Flat] = None,
) -> Reply:
    """Tell what the robot can play of a MIDI file; nothing is sent to it.

    Args:
        song: The MIDI file, of any length.
        robot: What the robot is, a YAML or JSON file; the melodica when not given.
        picture: A PNG file to draw the plan into.
        progress: Show how far it is.
        options: Which notes count, what may be changed, what is worth how much.
    """
    planned = _planned(song, robot, options, terminal() if progress else silent)
    if picture is not None:
        from workbench.playback.pictures import plan_timeline  # noqa: PLC0415  slow to import

        plan_timeline(planned).save(picture)
    report = planned.report
    text = (
        f"{song}: {report.notes_played} of {report.notes} notes are played, {report.notes_folded} "
        f"of them in another octave; {report.duties} duties, {report.duration_ms / 1000:.1f} s, "
        f"{report.moves} moves of the cart, all shifted by {report.shift} semitones"
    )
    return Reply(values={"song": str(song), **report.as_json()}, text=text)


def play(
    song: Path,
    *,
    port: str = "sim",
    robot: Path | None = None,
    log: Path | None = None,
    home: Annotated[bool, Parameter(negative="")] = False,
    progress: bool = True,
    options: Annotated[PlanOptions | None, Flat] = None,
    performance: Annotated[PlayOptions | None, Flat] = None,
    feeder: Annotated[FeederOptions | None, Flat] = None,
    link: Annotated[LinkOptions | None, Flat] = None,
) -> Reply:
    """Play a MIDI file on the robot; Ctrl-C stops it, pressed again it is an emergency stop.

    Args:
        song: The MIDI file, of any length.
        port: /dev/ttyACM0, COM3, socket://HOST:PORT, sim, which plays on a simulated board as
            fast as it goes, or micropython, which runs the board's program on this machine.
        robot: What the robot is, a YAML or JSON file; the melodica when not given.
        log: A Parquet file to write every executed duty into.
        home: Home the robot first, which ends an alarm.
        progress: Show how far it is.
        options: Which notes count, what may be changed, what is worth how much.
        performance: How the performance goes, and what is done when the board falters.
        feeder: How far ahead of the music the board is kept.
        link: How the board is reached.
    """
    from workbench.playback.playing import play_song  # noqa: PLC0415  pyarrow is slow to import
    from workbench.playback.ports import greeted, opened  # noqa: PLC0415

    if log is not None and log.is_dir():
        raise OptionsError(f"log: {log} is a folder; name a Parquet file")
    planned = _planned(song, robot, options, silent)
    is_rewritten = progress and sys.stderr.isatty()
    with opened(port, link) as way:
        greeted(way)
        played = play_song(
            way,
            planned.duties,
            play=performance,
            feeder=feeder,
            calls=link,
            homes_first=home,
            log=log,
            show=terminal() if progress else silent,
            tell=_over_progress if is_rewritten else None,
        )
    if played.report.executed < played.report.duties and is_rewritten:
        sys.stderr.write("\n")  # the progress ends in the middle of its line
    values = {"song": str(song), "port": port, "state": played.state, **asdict(played.report)}
    values["plan"] = planned.report.as_json()
    code = _INTERRUPTED if played.is_interrupted else int(not played.is_done)
    return Reply(values=values, text=f"{song}: {_told(played)}", code=code)


def _planned(song: Path, robot: Path | None, options: PlanOptions | None, show: Show) -> "Plan":
    from workbench.playback.planner import plan_song  # noqa: PLC0415  numba is slow to import
    from workbench.playback.song import read_song  # noqa: PLC0415

    options = options or PlanOptions()
    described = RobotOptions() if robot is None else read_robot(robot)
    return plan_song(read_song(song, options), described, options, show)


def _over_progress(line: str) -> None:
    """Write a line to a terminal whose last one shows the progress."""
    sys.stderr.write(f"\r{line.ljust(_WIDTH)}\n")


def _told(played: "Played") -> str:
    """Return how playing ended, for people."""
    report = played.report
    found = f"{report.executed} of {report.duties} duties executed"
    names = ("lost", "doubled", "reordered", "wrong", "uncertain", "passed")
    wrong = [f"{getattr(report, name)} {name}" for name in names if getattr(report, name)]
    wrong += [f"{count} not pressed ({why})" for why, count in report.not_pressed.items() if count]
    found = ", ".join([found, *(wrong or ["none lost, doubled or reordered"])])
    found += (
        f"; late p50 {report.late_p50_ms:.2f} ms, p99 {report.late_p99_ms:.2f} ms,"
        f" most {report.late_max_ms:.2f} ms; least free heap {report.heap_min_bytes} B"
    )
    if not played.is_at_rest:
        return f"{found}; the board did not confirm the stop: look at the robot"
    if played.state == "alarm":
        return f"{found}; in alarm ({played.text}): look at the robot, then play with --home"
    if played.is_interrupted:
        return f"{found}; stopped by Ctrl-C, the robot stands still with its fingers home"
    return found
