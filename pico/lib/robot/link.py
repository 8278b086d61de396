"""The serial line: bytes in as frames or lines, answers out.

Frames come byte by byte, as a read of more would wait for all of them. Nothing is allocated.
"""

import select
import sys

from micropython import const
from robot import fast, wire

NOTHING, BODY, LINE, BREAK, NEW_LINE = const(0), const(1), const(2), const(3), const(4)


class Link:
    """Standard input and output.

    Attributes:
        inbox: Where the body of the last frame is.
        line: Who takes lines byte by byte, or None.
    """

    def __init__(self, answer_most):
        self.inbox = wire.Inbox()
        self.inbox.is_whole = fast.is_whole
        self.line = None
        self._in, self._out = sys.stdin.buffer, sys.stdout.buffer
        self._coming, self._going = select.poll(), select.poll()
        self._coming.register(sys.stdin, select.POLLIN)
        self._going.register(sys.stdout, select.POLLOUT)
        self._one = bytearray(1)
        self._frame = bytearray(wire.stuffed_most(answer_most))
        self._is_fresh = True  # a frame or line may begin here
        self._is_line = False
        self._may_break = True

    def read(self, wait, most):
        """Take what has come.

        Args:
            wait: For how many ms to wait for the first byte.
            most: How many bytes to take at most.

        Returns:
            BODY when a whole body is in the inbox, NEW_LINE when the first line begins and nobody
            takes it yet, LINE when a line is over, BREAK when the host wants an emergency stop,
            NOTHING otherwise.
        """
        for _ in range(most):
            for _ in self._coming.ipoll(wait):
                if self._has_byte():
                    break
                raise EOFError  # nobody is there any more: only a program on a pty sees this
            else:
                return NOTHING
            wait = 0
            came = self._take(self._one[0])
            if came:
                return came
        return NOTHING

    def _has_byte(self):
        try:
            return self._in.readinto(self._one)
        except OSError:
            return 0

    def send(self, body, length):
        """Send a body; it is dropped when the host does not read, who will ask again."""
        for _ in self._going.ipoll(0):
            self._out.write(self._frame, fast.stuff(body, length, self._frame))

    def send_line(self, text):
        """Send a line of JSON, which is not for while music plays by frames."""
        self._out.write(text)
        self._out.write("\n")

    def _take(self, byte):
        if byte == wire.BREAK:
            return self._take_break()
        self._may_break = False
        if self._is_line:
            if byte == wire.LINE_END or byte == wire.END:
                self._is_fresh, self._is_line = True, False
                return LINE if byte == wire.LINE_END else NOTHING
            if self.line:
                self.line.take(byte)
            return NOTHING
        if self._is_fresh:
            if byte == wire.LINE_START:
                self._is_line = True
                if not self.line:
                    return NEW_LINE
                self.line.begin()
                return NOTHING
            if byte == wire.LINE_END or byte == 13:
                return NOTHING
        self._is_fresh = byte == wire.END
        return BODY if self.inbox.take(byte) else NOTHING

    def _take_break(self):
        """Stop where a frame may begin; elsewhere it is damage, or the first of two."""
        is_stop = self._may_break or (self._is_fresh and not self._is_line)
        self._may_break = True
        self._is_fresh = is_stop
        self._is_line = False
        self.inbox.take(wire.BREAK)
        return BREAK if is_stop else NOTHING
