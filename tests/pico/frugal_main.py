"""The board's program with a heap that is locked while music plays: what allocates, fails.

When music is over it writes to `frugal` in the shim's folder what the heap held before, and the
most that a turn of the loop took, garbage included, while frames were loaded before the music.
"""

import gc

gc.threshold(1024)

import os  # noqa: E402

import machine  # noqa: E402
import micropython  # noqa: E402
from robot import config, wire  # noqa: E402
from robot.board import Board  # noqa: E402

board = Board(config, 0)
watchdog = machine.WDT(timeout=config.WATCHDOG_MS)
gc.collect()
gc.threshold(-1)
gc.disable()
most = turns = failures = 0
while True:
    is_playing = board.player.state == wire.PLAYING
    before = gc.mem_alloc()
    if is_playing:
        micropython.heap_lock()
    try:
        board.turn()
    except MemoryError:
        failures += 1
    if is_playing:
        micropython.heap_unlock()
        turns += 1
    else:
        most = max(most, gc.mem_alloc() - before)
    watchdog.feed()
    if board.player.flags & wire.FINISHED and turns:
        with open(os.getenv("SHIM") + "/frugal", "w") as file:
            file.write("%d %d %d" % (most, turns, failures))
        turns = 0
