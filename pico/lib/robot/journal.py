"""What a reboot does not forget: the song, and the duty that was begun and done last.

Four scratch registers of the watchdog, which keep their content as long as there is power. The
duty is written before it moves anything and again when it has: a duty that a reboot fell into is
then known to be uncertain, and none is ever played twice.
"""

import machine
from micropython import const

_MAGIC = const(0x2D0CA57E)


class Journal:
    """The registers.

    Attributes:
        song: Number of the song that was playing at the reboot, 0 for none.
        resume: The first duty that was not begun then.
        uncertain: 1 when it is not known whether the duty before that moved anything, or 0.
    """

    def __init__(self, base):
        self._song, self._begun, self._done, self._check = (base + 4 * i for i in range(4))
        self._memory = machine.mem32
        song, begun, done, check = (self._memory[base + 4 * i] for i in range(4))
        good = song > 0 and check == song ^ _MAGIC and begun - done in (0, 1)
        self.song = song if good else 0
        self.resume = begun if good else 0
        self.uncertain = begun - done if good else 0

    def open(self, song, index):
        """Begin a song, or another place of it."""
        self._memory[self._check] = 0
        self._memory[self._song] = song
        self._memory[self._begun] = index
        self._memory[self._done] = index
        self._memory[self._check] = song ^ _MAGIC

    def begin(self, index):
        """Note that a duty begins."""
        self._memory[self._begun] = index + 1

    def done(self, index):
        """Note that a duty did all that it does."""
        self._memory[self._done] = index + 1

    def close(self):
        """Forget the song: there is nothing to go on with."""
        self._memory[self._check] = 0
