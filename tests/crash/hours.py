"""When things happened, as the proof would have it: what would take days happens in minutes.

Drivers have been on shift for hours and their phones kept what they recorded, from shortly before
an edge of an hour on. What is due to be compacted is judged by a clock that is ahead, and what was
kept long enough by a line that moves from that edge towards the present, slower than the phones.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

HOUR: Final = timedelta(hours=1)
ON_SHIFT: Final = 10 * HOUR
CONSENTED_BEFORE: Final = HOUR
BUFFER_BEGINS: Final = timedelta(minutes=5)
"""Before the edge: of this all is forgotten soon."""
BUFFERED: Final = 8 * HOUR
AHEAD: Final = 2 * HOUR
FORGETS: Final = 6
"""How many times faster than time the line moves."""
SPANS_MAX: Final = timedelta(minutes=1)
"""One row may hold positions from so long before its last."""


@dataclass(frozen=True, slots=True)
class Hours:
    """The times of one run, by when it began."""

    began: datetime

    @property
    def shift_began(self) -> datetime:
        return _edge(self.began - ON_SHIFT)

    @property
    def agreed(self) -> datetime:
        return self.shift_began - CONSENTED_BEFORE

    @property
    def first_edge(self) -> datetime:
        return self.shift_began + HOUR

    @property
    def buffer_begins(self) -> datetime:
        return self.first_edge - BUFFER_BEGINS

    def kept_since(self, now: datetime) -> datetime:
        """Return the line: rows that end before it are forgotten."""
        return self.first_edge + FORGETS * (now - self.began)


def compacting_at(now: datetime) -> datetime:
    """Return a time at which even the present hour is due to be compacted."""
    return _edge(now + AHEAD)


def surely_gone_before(line: datetime) -> datetime:
    """Return before when nothing is left, once what ends before the line was forgotten.

    Rows are of one hour each, by their last position.
    """
    return _edge(line) - SPANS_MAX


def _edge(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
