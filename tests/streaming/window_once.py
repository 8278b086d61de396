"""One process that goes through a window and says what it saw, for tests with several.

`python window_once.py JSON` with: files (name, url, size, digest), folder, sequence, options,
seconds (of work on each shard), and, where wanted, go (a file that is waited for once the window
is open; `ready` and the process id are made beside it), hold (an index that is kept leased). It
writes one JSON line: indices and SHA-256 of each shard, how many were fetched, and how many files
the folder held at most.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

from shard_servers import watched

from workbench.streaming.options import WindowOptions
from workbench.streaming.source import Source, SourceFile
from workbench.streaming.window import ShardWindow


def main() -> None:
    told = json.loads(sys.argv[1])
    source = Source(name="told", files=tuple(SourceFile(**file) for file in told["files"]))
    folder, seen = Path(told["folder"]), []
    window = ShardWindow(source, folder, told["sequence"], WindowOptions(**told["options"]))
    with watched(folder) as watch, window:
        if told.get("go"):
            go = Path(told["go"])
            go.with_name(f"ready-{os.getpid()}").touch()
            while not go.exists():
                time.sleep(0.002)
        if "hold" in told:
            with window.lease(told["hold"]) as path:
                go.with_name(f"held-{os.getpid()}").touch()
                time.sleep(told["seconds"])
                seen.append((told["hold"], hashlib.sha256(path.read_bytes()).hexdigest()))
        else:
            for index, path in window.shards():
                time.sleep(told["seconds"])
                seen.append((index, hashlib.sha256(path.read_bytes()).hexdigest()))
    fetched = window.status().fetched
    sys.stdout.write(json.dumps({"seen": seen, "fetched": fetched, "most": watch.most_files}))


if __name__ == "__main__":
    main()
