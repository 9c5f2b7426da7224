"""Who is let in before anything of theirs is read: not too often, and while there is room."""

import time
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Final, Self

from server.kit.rates import Rates

UNIT_BYTES: Final = 4096
"""What one unit of a caller's allowance pays for."""


class Room:
    """How many, and how many bytes, may be worked on at once, shared by groups.

    A group may hold at most as much as is still free. So one alone gets half of the room, and two
    that come one after the other half and a quarter: nobody has to be counted beforehand, and it
    takes as many groups as the room can be halved to fill it.
    """

    def __init__(self, *, count_max: int, bytes_max: int) -> None:
        self._count_free = count_max
        self._bytes_free = bytes_max
        self._held: dict[Hashable, tuple[int, int]] = {}

    def __len__(self) -> int:
        """Return how many groups hold any."""
        return len(self._held)

    def take(self, group: Hashable, size_bytes: int) -> bool:
        """Take a place for so many bytes; return whether there was one."""
        count, held_bytes = self._held.get(group, (0, 0))
        if count >= self._count_free or held_bytes + size_bytes > self._bytes_free:
            return False
        self._count_free -= 1
        self._bytes_free -= size_bytes
        self._held[group] = (count + 1, held_bytes + size_bytes)
        return True

    def take_more(self, group: Hashable, more_bytes: int) -> bool:
        """Let a place grow, or shrink, by so many bytes; return whether it could."""
        count, held_bytes = self._held[group]
        if more_bytes > 0 and held_bytes + more_bytes > self._bytes_free:
            return False
        self._bytes_free -= more_bytes
        self._held[group] = (count, held_bytes + more_bytes)
        return True

    def give_back(self, group: Hashable, size_bytes: int) -> None:
        count, held_bytes = self._held[group]
        self._count_free += 1
        self._bytes_free += size_bytes
        if count == 1:
            del self._held[group]
        else:
            self._held[group] = (count - 1, held_bytes - size_bytes)


class Admission:
    """Lets callers in: each by their own allowance, and all of a group by the room it may take."""

    def __init__(
        self,
        rates: Rates[Hashable],
        room: Room,
        *,
        too_often: Callable[[float], Exception],
        full: Callable[[], Exception],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rates = rates
        self.room = room
        self.full = full
        self.clock_s = clock_s
        self._too_often = too_often

    def enter(self, caller: Hashable, group: Hashable, size_bytes: int) -> "Place":
        """Return a place for so many bytes, to be left at the end of its block.

        Raises
        ------
        What ``too_often`` makes of the seconds to wait, or ``full``.
        """
        if not self.room.take(group, size_bytes):
            raise self.full()
        wait_s = self.rates.wait_s(caller, self.clock_s())
        if wait_s > 0:  # asked last: what finds no room costs no allowance
            self.room.give_back(group, size_bytes)
            raise self._too_often(wait_s)
        return Place(self, caller, group, size_bytes)


class Place:
    """Room for one piece of work, given back when its block ends or at :meth:`leave`."""

    __slots__ = ("_admission", "_caller", "_group", "_left", "_size_bytes")

    def __init__(
        self, admission: Admission, caller: Hashable, group: Hashable, size_bytes: int
    ) -> None:
        self._admission = admission
        self._caller = caller
        self._group = group
        self._size_bytes = size_bytes
        self._left = False

    def holds(self, size_bytes: int) -> None:
        """Tell how large the work really is; the caller pays for more than a unit of it.

        Raises
        ------
        What the admission says where there is no room for it.
        """
        if size_bytes >= UNIT_BYTES:
            at_s = self._admission.clock_s()
            self._admission.rates.charge(self._caller, size_bytes // UNIT_BYTES, at_s)
        if not self._admission.room.take_more(self._group, size_bytes - self._size_bytes):
            raise self._admission.full()
        self._size_bytes = size_bytes

    def leave(self) -> None:
        """Give the room back; a second time does nothing."""
        if not self._left:
            self._left = True
            self._admission.room.give_back(self._group, self._size_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()
