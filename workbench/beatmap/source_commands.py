"""The `workbench beatmap …` commands that bring maps: flags in, one call of the room, a reply."""

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from workbench.beatmap.maps.sources_options import DownloadOptions, ExtractOptions
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
    return Reply(values=dataclasses.asdict(done))


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
    return Reply(values=dataclasses.asdict(done))
