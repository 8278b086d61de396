"""What the board runs when it has power; short, as it is compiled there and that takes memory."""

import gc

gc.threshold(1024)  # what importing leaves behind goes at once, so that the heap stays whole

from robot import start  # noqa: E402

start.run()
