"""The `workbench pico …` commands: flags in, one call of the room, a reply out."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from workbench.playback.options import PlanOptions, RobotOptions, read_robot
from workbench.reply import Reply

Flat = Parameter(name="*")


def plan(
    song: Path,
    *,
    robot: Path | None = None,
    picture: Path | None = None,
    options: Annotated[PlanOptions | None, Flat] = None,
) -> Reply:
    """Tell what the robot can play of a MIDI file; nothing is sent to it.

    Args:
        song: The MIDI file, of any length.
        robot: What the robot is, a YAML or JSON file; the melodica when not given.
        picture: A PNG file to draw the plan into.
        options: Which notes count, what may be changed, what is worth how much.
    """
    from workbench.playback.planner import plan_song  # noqa: PLC0415  numba is slow to import
    from workbench.playback.song import read_song  # noqa: PLC0415

    options = options or PlanOptions()
    described = RobotOptions() if robot is None else read_robot(robot)
    planned = plan_song(read_song(song, options), described, options)
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
