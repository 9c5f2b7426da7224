"""Saying no while more comes than the event loop can read: for a fraction of what reading costs.

Under more requests than one process can serve, most of its time would go into reading what it then
refuses, and everybody would wait behind that. So what is too much is told so by a look at its
first bytes, before it is parsed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

STANDING_S_MAX: Final = 0.01
"""A turn of the event loop this short leaves no queue behind it."""
BURST_S_MAX: Final = 0.5
"""So long the sockets may bring more than that: many phones send on the same second."""
IDLE_S_MIN: Final = 0.25
"""After so long without a request nothing can be waiting."""
GROUP_COUNT_MIN: Final = 4
"""So many of each group are let in in every turn, whatever the others bring."""

HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length: "
_BEARER: Final = b"\r\nauthorization: bearer "
_KEEP_ALIVE: Final = b"\r\nconnection: keep-alive\r\n"
_COMPANY_CHARS: Final = 22
"""Of a token, after its kind: see tokens.py."""


class Pace:
    """Whether the event loop keeps up with what the sockets bring.

    A turn is the time in which the loop reads sockets and does nothing else. Long ones are
    normal for a while. If for half a second none was short, what waits is a standing queue: then
    each turn is cut short, so that nobody waits long. The idea is CoDel's: Nichols, Jacobson
    (2012), "Controlling queue delay", ACM Queue 10(5).
    """

    def __init__(self, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._clock_s = clock_s
        self._began_s: float | None = None
        """Of the turn; None between two."""
        self._ended_s = -IDLE_S_MIN
        self._short_s = clock_s()
        """When a turn was short last."""
        self._let_in: Counter[bytes] = Counter()
        """Of this turn, by group, after its time was over."""

    def is_behind(self) -> bool:
        """Tell whether this turn has taken all it may. To be asked at each request."""
        now_s = self._clock_s()
        if self._began_s is None:
            self._began_s = now_s
            if now_s - self._ended_s > IDLE_S_MIN:
                self._short_s = now_s
            asyncio.get_running_loop().call_soon(self._end)
            return False
        is_standing = now_s - self._short_s > BURST_S_MAX
        return now_s - self._began_s > (STANDING_S_MAX if is_standing else BURST_S_MAX)

    def lets_in(self, group: bytes) -> bool:
        """Tell whether one more of the group is let in although the turn is over."""
        self._let_in[group] += 1
        return self._let_in[group] <= GROUP_COUNT_MIN

    def _end(self) -> None:
        if self._began_s is None:
            return
        self._ended_s = self._clock_s()
        if self._ended_s - self._began_s <= STANDING_S_MAX:
            self._short_s = self._ended_s
        self._began_s = None
        self._let_in.clear()


class Glance(NamedTuple):
    """What the first bytes of a request tell of it."""

    whole_bytes: int
    """Head and body."""
    company: bytes
    """The company's part of its bearer token, as it is written there."""


def length_of(data: bytes) -> int | None:
    """Return how many bytes the request has that begins here; None where that is not clear."""
    end = data.find(HEAD_END)
    if end < 0:
        return None
    head = data[: end + 2].lower()
    if b"\r\ntransfer-encoding" in head:
        return None
    return _whole(head)


def glance(data: bytes, request_line: bytes) -> Glance | None:
    """Look at a request; None unless it is as plain as phones send it.

    Parameters
    ----------
    data
        What came of it, from its first byte on.
    request_line
        With its end of line: another one is not plain.
    """
    if not data.startswith(request_line):
        return None
    end = data.find(HEAD_END)
    head = data[: end + 2].lower()
    whole_bytes = _whole(head)
    bearer = head.find(_BEARER)
    if (
        end < 0
        or whole_bytes is None
        or bearer < 0
        or head.count(b"\r\nauthorization") != 1
        or b"\r\ntransfer-encoding" in head
        or b"\r\nexpect" in head
        or b"\r\nupgrade" in head
        or (b"\r\nconnection" in head and _KEEP_ALIVE not in head)
    ):
        return None
    _, _, rest = data[bearer + len(_BEARER) : end].partition(b"_")
    return Glance(whole_bytes, rest[:_COMPANY_CHARS])


def _whole(head: bytes) -> int | None:
    """Return how long a request is whose head, in lower case and with one end of line, this is."""
    told = head.count(b"\r\ncontent-length")
    if not told:
        return len(head) + 2
    place = head.find(_LENGTH)
    if told > 1 or place < 0:
        return None
    digits = head[place + len(_LENGTH) : head.index(b"\r", place + 2)]
    return len(head) + 2 + int(digits) if digits.isdigit() else None
