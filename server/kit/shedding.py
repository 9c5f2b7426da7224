"""Saying no while more comes than the event loop can read: for a fraction of what reading costs.

Under more requests than one process can serve, most of its time would go into reading what it then
refuses, and everybody would wait behind that. So what is too much is told so by a look at its
first bytes, before it is parsed.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

STANDING_S_MAX: Final = 0.01
"""A turn of the event loop that reads no longer than this leaves no queue behind it."""
BURST_S_MAX: Final = 0.5
"""So long the sockets may bring more than that: many phones send on the same second."""
IDLE_S_MIN: Final = 0.25
"""After so long without a request nothing can be waiting."""
READING_SHARE_MIN: Final = 0.25
"""Of a turn, however long it is: else one in which very many are told no would read nothing."""
GROUP_COUNT_MIN: Final = 4
"""So many of each group are let in in every turn, whatever the others bring."""

HEAD_END: Final = b"\r\n\r\n"
DIGITS_MAX: Final = 18
# Nothing that two readers could read differently: no bare CR or LF, no folded line, no control
# character, no blank before a colon.
_PLAIN: Final = re.compile(
    rb"[\x21-\x7e ]+\r\n(?:[A-Za-z0-9-]+: ?(?:[\x21-\x7e][\x20-\x7e]*)?\r\n)*"
)
_NAMES: Final = re.compile(rb"\n([a-z0-9-]+):")
_USUAL: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"date",
        b"forwarded",
        b"host",
        b"traceparent",
        b"user-agent",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-real-ip",
        b"x-request-id",
    }
)
_NEEDED: Final = frozenset({b"authorization", b"content-length", b"host"})
_LENGTH: Final = b"\ncontent-length: "
_BEARER: Final = b"\nauthorization: bearer "
_KEEP_ALIVE: Final = b"\nconnection: keep-alive\r\n"
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
        self._asked_s = clock_s()
        """When it was asked last."""
        self._reading_s = 0.0
        """Of this turn, spent on what was let in."""
        self._is_reading = False
        self._short_s = self._asked_s
        """When a turn was short last."""
        self._rested_s: float | None = -IDLE_S_MIN
        """Since when the loop has had nothing of a turn left to do; None while it has."""
        self._let_in: Counter[bytes] = Counter()
        """Of this turn, by group, after its time was over."""

    def is_behind(self) -> bool:
        """Tell whether this turn has taken all it may. To be asked at each request.

        What is let in all the same, say so by :meth:`lets_in`.
        """
        now_s = self._clock_s()
        if self._began_s is None:
            self._begin(now_s)
            return False
        if self._is_reading:
            self._reading_s += now_s - self._asked_s
        self._asked_s = now_s
        is_standing = now_s - self._short_s > BURST_S_MAX
        spent_s = now_s - self._began_s
        is_over = spent_s > (STANDING_S_MAX if is_standing else BURST_S_MAX)
        self._is_reading = not (is_over and self._reading_s > READING_SHARE_MIN * spent_s)
        return not self._is_reading

    def lets_in(self, group: bytes) -> bool:
        """Tell whether one more of the group is let in although the turn is over."""
        self._let_in[group] += 1
        self._is_reading = self._let_in[group] <= GROUP_COUNT_MIN
        return self._is_reading

    def _begin(self, now_s: float) -> None:
        self._began_s = self._asked_s = now_s
        self._reading_s = 0.0
        self._is_reading = True
        if self._rested_s is not None and now_s - self._rested_s > IDLE_S_MIN:
            self._short_s = now_s
        self._rested_s = None
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        if self._began_s is None:
            return
        # Until the last request of the turn: what follows it is no reading.
        if self._asked_s - self._began_s <= STANDING_S_MAX:
            self._short_s = self._asked_s
        self._began_s = None
        self._let_in.clear()
        # What the turn brought is worked on now: that is no rest.
        asyncio.get_running_loop().call_soon(self._rest)

    def _rest(self) -> None:
        if self._began_s is None:
            self._rested_s = self._clock_s()


class Glance(NamedTuple):
    """What the first bytes of a request tell of it."""

    whole_bytes: int
    """Head and body."""
    company: bytes
    """The company's part of its bearer token, as it is written there and not yet proved."""


def length_of(data: bytes) -> int | None:
    """Return how many bytes the request has that begins here; None where that is not clear."""
    head = _head(data)
    if head is None:
        return None
    names = _NAMES.findall(head)
    if b"content-length" not in names:
        return None if b"transfer-encoding" in names else len(head) + 2
    body_bytes = _body_bytes(head)
    if b"transfer-encoding" in names or names.count(b"content-length") > 1 or body_bytes is None:
        return None
    return len(head) + 2 + body_bytes


def glance(data: bytes, request_line: bytes) -> Glance | None:
    """Look at a request; None unless it is as plain as phones send it.

    Parameters
    ----------
    data
        What came of it, from its first byte on.
    request_line
        With its end of line: another one is not plain.
    """
    head = _head(data) if data.startswith(request_line) else None
    if head is None:
        return None
    names = _NAMES.findall(head)
    said = frozenset(names)
    bearer = head.find(_BEARER)
    body_bytes = _body_bytes(head)
    if (
        len(said) != len(names)
        or not _NEEDED <= said <= _USUAL
        or bearer < 0
        or (b"connection" in said and _KEEP_ALIVE not in head)
        or body_bytes is None
    ):
        return None
    _, _, rest = data[bearer + len(_BEARER) : len(head)].partition(b"_")
    return Glance(len(head) + 2 + body_bytes, rest[:_COMPANY_CHARS])


def _head(data: bytes) -> bytes | None:
    """Return the head in lower case, up to the end of its last line; None if it is not plain."""
    end = data.find(HEAD_END)
    if end < 0:
        return None
    head = data[: end + 2]
    return head.lower() if _PLAIN.fullmatch(head) is not None else None


def _body_bytes(head: bytes) -> int | None:
    """Return what the head tells of the body; None where it tells nothing, or nonsense."""
    place = head.find(_LENGTH)
    if place < 0:
        return None
    digits = head[place + len(_LENGTH) : head.index(b"\r", place + 1)]
    return int(digits) if digits.isdigit() and len(digits) <= DIGITS_MAX else None
