"""Going through the shards of a source as a training would, to see how they come."""

import time
from pathlib import Path

from workbench.learning.options import PullOptions
from workbench.progress import Progress, Show, silent
from workbench.streaming.course import shard_sequence
from workbench.streaming.source import Source
from workbench.streaming.window import ShardWindow, WindowStatus


def pulled(source: Source, folder: Path, options: PullOptions, show: Show = silent) -> WindowStatus:
    """Take every shard of a source in turn, for as long as a consumer would.

    Args:
        source: The shards.
        folder: Where they come to.
        options: How.
        show: Told about each shard.

    Returns:
        What the window was at with the last shard.

    Raises:
        AccessError: The server wants another token.
        OptionsError: More shards are asked for than there are.
        SourceError: A shard stays broken.
        StreamingError: There is no room, or a shard does not come in time.
    """
    count = options.shards_of(source)
    chosen = source.first(count)
    sequence = shard_sequence(
        count, seed=options.seed, shuffled=options.shuffle, epochs=options.epochs
    )
    begun = time.monotonic()
    with ShardWindow(chosen, folder, sequence, options.window(count)) as window:
        for _ in window.shards():
            time.sleep(options.seconds_a_shard)
            show(feed_progress(window.status(), count * options.epochs, time.monotonic() - begun))
        return window.status()


def feed_progress(status: WindowStatus, shards: int, seconds: float) -> Progress:
    """Return what a window is at as progress.

    Args:
        status: Of the window.
        shards: How many the consumer takes in all.
        seconds: How long it has been at work.
    """
    return Progress(
        stage="shards",
        done=status.position,
        total=shards,
        unit="shards",
        seconds=seconds,
        fresh=status.position,
        numbers={
            "fetched": status.fetched,
            "buffer": status.buffer,
            "window": status.window,
            "files": status.files,
            "MB": round(status.size / 1e6, 1),
            "wait_share": round(status.wait_seconds / seconds, 3) if seconds else 0.0,
            "skipped": len(status.skipped),
        },
    )
