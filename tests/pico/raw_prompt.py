"""The raw prompt of a board, as mpremote wants it, in MicroPython on a computer.

Code that is sent is run here, with the current folder as flash. `resets` counts the resets; a file
named in `WORN` in the environment is damaged whenever it was written.
"""

import io
import os
import sys
import time

read, write = sys.stdin.buffer, sys.stdout.buffer
worn = os.getenv("WORN")


def say(text):
    """Send bytes."""
    write.write(text)


def damage():
    """Spoil the file that wears out."""
    try:
        with open(worn, "rb+") as file:
            file.seek(-1, 2)
            file.write(b"?")
    except OSError:
        pass


def run(code, names):
    """Run what was sent; tell its output and its error as the prompt does."""
    say(b"OK")
    error = b""
    try:
        exec(code, names)
    except SystemExit:
        with open("resets", "a") as file:
            file.write("r")
        time.sleep_ms(50)
        return
    except Exception as problem:
        told = io.StringIO()
        sys.print_exception(problem, told)
        error = told.getvalue().encode()
    if worn:
        damage()
    say(b"\x04" + error + b"\x04>")


class Machine:
    """What code imports as `machine`."""

    def reset(self):
        """Begin anew."""
        raise SystemExit


sys.modules["machine"] = Machine()
names = {}
code = b""
is_raw = False
while True:
    byte = read.read(1)
    if not byte:
        break
    if byte == b"\x01":
        is_raw, code = True, b""
        say(b"raw REPL; CTRL-B to exit\r\n>")
    elif byte == b"\x02":
        is_raw, code = False, b""
        say(b"\r\n>>> ")
    elif byte == b"\x03":
        code = b""
    elif not is_raw:
        continue
    elif byte == b"\x05":
        asked = read.read(2)
        say(b"R\x00")  # without the paste mode
    elif byte == b"\x04":
        if code:
            run(code, names)
        else:
            names = {}
            say(b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>")
        code = b""
    else:
        code += byte
