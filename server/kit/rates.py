"""How often each of many callers may come, in memory that does not grow with their number."""

from typing import Final, Generic, TypeVar

K = TypeVar("K")

KEYS_MAX: Final = 50_000


class Rates(Generic[K]):
    """An allowance by key that fills up steadily: the generic cell rate algorithm.

    Of each key one number is kept, the time at which its allowance is full again. Those that came
    longest ago are forgotten first, half of all at a time; who is forgotten has a full allowance,
    so ``keys_max`` has to be twice as many as come within the time that one takes to fill.
    """

    def __init__(self, *, per_s: float, burst: float, keys_max: int = KEYS_MAX) -> None:
        self._unit_s = 1 / per_s
        self._burst_s = burst / per_s
        self._half_max = max(1, keys_max // 2)
        self._newer: dict[K, float] = {}
        self._older: dict[K, float] = {}

    def __len__(self) -> int:
        """Return how many keys are held: never more than ``keys_max``."""
        return len(self._newer) + len(self._older)

    def wait_s(self, key: K, at_s: float) -> float:
        """Take one unit at ``at_s`` of a clock that never goes back, and return 0.

        Or take nothing, and return the seconds after which there is one to take.
        """
        full_at = self._newer.get(key)
        if full_at is None:
            full_at = self._older.get(key, at_s)
        if full_at < at_s:  # noqa: PLR1730 - a third faster than max()
            full_at = at_s
        full_at += self._unit_s
        over_s = full_at - at_s - self._burst_s
        if over_s > 0:
            return over_s
        self._keep(key, full_at)
        return 0.0

    def charge(self, key: K, units: float, at_s: float) -> None:
        """Take more, which turned out only later: also what is not there, up to one burst."""
        full_at = self._newer.get(key)
        if full_at is None:
            full_at = self._older.get(key, at_s)
        owed_until = max(full_at, at_s) + units * self._unit_s
        self._keep(key, min(owed_until, at_s + 2 * self._burst_s))

    def _keep(self, key: K, full_at: float) -> None:
        newer = self._newer
        if key not in newer and len(newer) >= self._half_max:
            self._older = newer
            self._newer = newer = {}
        newer[key] = full_at
