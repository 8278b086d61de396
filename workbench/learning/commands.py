"""The `workbench shards …` commands: flags in, one call of the room, a reply out."""

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from workbench.caching.fingerprint import fingerprint
from workbench.learning.options import PullOptions
from workbench.learning.pull import pulled
from workbench.progress import silent, terminal
from workbench.reply import Reply
from workbench.streaming.footer import with_rows
from workbench.streaming.listing import open_source


def pull(
    source: str,
    *,
    to: Path | None = None,
    options: Annotated[PullOptions | None, Parameter(name="*")] = None,
) -> Reply:
    """Go through the shards of a Parquet dataset as a training would, and tell how they came.

    Shards arrive ahead of the consumer and leave behind it; `--no-streaming-mode` keeps them all.

    Args:
        source: A folder, hf://user/name, a web list, or a series: …/shard_{00000..00011}.parquet.
        to: Folder for the shards; one of the cache when not given.
        options: How they come.
    """
    options = options or PullOptions()
    files = open_source(source, options=options.window(1).retries)
    if options.streaming_rows:
        files = with_rows(files, options.window(1).retries)
    folder = to or Path.home() / ".cache" / "workbench" / "shards" / fingerprint(source)[:16]
    begun = time.monotonic()
    status = pulled(files, folder, options, terminal() if options.progress else silent)
    values = {
        "source": source,
        "to": str(folder),
        "shards": status.position,
        "fetched": status.fetched,
        "fetched_bytes": status.fetched_bytes,
        "seconds": round(time.monotonic() - begun, 3),
        "wait_seconds": round(status.wait_seconds, 3),
        "window": status.window,
        "files": status.files,
        "bytes": status.size,
        "skipped": {files.files[index].name: why for index, why in status.skipped.items()},
    }
    return Reply(values=values)
