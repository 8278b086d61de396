"""The `workbench beatmap …` commands that bring maps: flags in, one call of the room, a reply."""

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from workbench.beatmap.maps.sources_options import DownloadOptions, ExtractOptions
from workbench.errors import SourceError
from workbench.progress import terminal
from workbench.reply import Reply

Output = Annotated[Path, Parameter(alias="-o")]
Flat = Parameter(name="*")


def download(*, output: Output, options: Annotated[DownloadOptions | None, Flat] = None) -> Reply:
    """Bring maps of the map service into a folder, from where an earlier run stopped.

    Args:
        output: The folder; what else is there stays.
        options: Which maps, and how.
    """
    from workbench.beatmap.maps.download import download as downloaded  # noqa: PLC0415  slow

    done = downloaded(output, options or DownloadOptions(), terminal())
    return Reply(
        values=dataclasses.asdict(done), code=SourceError.exit_code if done.postponed else 0
    )


def extract(
    game: Path, *, output: Output, options: Annotated[ExtractOptions | None, Flat] = None
) -> Reply:
    """Turn the game's own levels into map folders, from where an earlier run stopped.

    Args:
        game: The folder of the game.
        output: The folder; what else is there stays.
        options: How.
    """
    from workbench.beatmap.maps.bundles import extract as extracted  # noqa: PLC0415  slow

    done = extracted(game, output, options or ExtractOptions(), terminal())
    return Reply(values=dataclasses.asdict(done), code=1 if done.refused else 0)


def charts(songs: Path, *, output: Output, part: str = "guitar") -> Reply:
    """Turn songs that people charted for Frets on Fire or Clone Hero into map folders.

    Onsets and tempo are the chart's; hands and directions follow a rule. Songs that are there
    already stay as they are.

    Args:
        songs: The folder of the songs, searched at any depth.
        output: The folder; what else is there stays.
        part: Whose chart, as `guitar` or `bass`.
    """
    from workbench.beatmap.maps.charted import write_charted_maps  # noqa: PLC0415  slow

    done = write_charted_maps(songs, output, part=part, show=terminal())
    return Reply(values=dataclasses.asdict(done), code=1 if done.refused else 0)
