"""A queue in which many take turns: whoever brings a lot waits behind their own."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Turns(Generic[K, V]):
    """A line for each key. One item of each is taken before the next of any."""

    def __init__(self) -> None:
        self._lines: OrderedDict[K, deque[V]] = OrderedDict()
        """Whose turn is next stands first; no line is empty."""

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[V]:
        for line in self._lines.values():
            yield from line

    def first(self, key: K) -> V | None:
        """Return what the key would be served next."""
        line = self._lines.get(key)
        return None if line is None else line[0]

    def put(self, key: K, item: V) -> None:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = deque()
        line.append(item)

    def take(self) -> V:
        """Take one of the key whose turn it is.

        Raises
        ------
        StopIteration
            There is none.
        """
        key = next(iter(self._lines))
        line = self._lines[key]
        item = line.popleft()
        if line:
            self._lines.move_to_end(key)
        else:
            del self._lines[key]
        return item

    def take_those(self, is_over: Callable[[V], bool]) -> list[V]:
        """Take whatever is over, wherever it stands."""
        over: list[V] = []
        for key, line in list(self._lines.items()):
            left: deque[V] = deque()
            for item in line:  # asked once: a moment later the answer may be another
                (over if is_over(item) else left).append(item)
            if left:
                self._lines[key] = left
            else:
                del self._lines[key]
        return over
