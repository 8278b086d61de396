"""A download in a process of its own: FOLDER URL WORKERS INTERVAL; it says what it came to."""

import dataclasses
import json
import sys
from pathlib import Path

from workbench.beatmap.maps.download import download
from workbench.beatmap.maps.sources_options import DownloadOptions
from workbench.progress import Progress


def tell(progress: Progress) -> None:
    """Write how many maps are here."""
    sys.stdout.write(f"{progress.done}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    folder, url, workers, interval = sys.argv[1:]
    options = DownloadOptions(
        base_url=url, workers=int(workers), interval=float(interval), retry_wait=0.02, timeout=5.0
    )
    done = download(Path(folder), options, tell)
    sys.stdout.write(json.dumps(dataclasses.asdict(done)))
