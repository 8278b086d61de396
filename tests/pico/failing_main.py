"""The board's program with a mistake planted: its 20th duty cannot be played, once."""

import gc

gc.threshold(1024)

from robot import start  # noqa: E402
from robot.player import Player  # noqa: E402

execute = Player._execute
planted = [True]


def failing(self, now):
    """Fail once."""
    if self.executed == 20 and planted:
        planted.clear()
        raise ValueError("planted")
    execute(self, now)


Player._execute = failing
start.run()
