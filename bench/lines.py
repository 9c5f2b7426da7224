"""What a helper process tells: one line at a time, however long, to whoever started it."""

import os
import sys


def say(line: str) -> None:
    """Write the line whole.

    An event loop may have left standard output so that a write takes only what the pipe has room
    for, and then a line of a megabyte ends in its middle.
    """
    output = sys.stdout.fileno()
    os.set_blocking(output, True)
    left = memoryview(line.encode() + b"\n")
    while left:
        left = left[os.write(output, left) :]
