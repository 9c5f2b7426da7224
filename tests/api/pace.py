"""How many cases may be generated for each operation, so that all are tried within a bound in time.

A turn is one operation as one caller. How long a case takes depends on the machine and on what
else it does, so what is left of the time is shared out anew before every turn. No turn gets fewer
than a floor: rather than try less than that, the run ends at its bound and says that it did not
finish.
"""

import sys
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

BOUND_S: Final = 600.0
PLANNED_S: Final = 540.0
"""What is shared out; the rest is for turns that take longer than those before them."""
EXAMPLES_MIN: Final = 50
SAID_EVERY: Final = 20
"""Turns."""


@dataclass(slots=True, kw_only=True)
class Pace:
    """Shares the time of one run out."""

    turns: int
    """In the whole run."""
    examples_max: int
    bound_s: float = BOUND_S
    planned_s: float = PLANNED_S
    turns_done: int = 0
    fewest: int = 0
    _covered: int = 0
    _covering_s: float = 0.0
    _cases: int = 0
    _generating_s: float = 0.0
    _sequences_s: float = 0.0
    _began_s: float = field(default_factory=monotonic)
    _ended_s: float | None = None

    def __post_init__(self) -> None:
        self.fewest = self.examples_max

    @property
    def took_s(self) -> float:
        return (self._ended_s or monotonic()) - self._began_s

    def end(self) -> None:
        """Stop the time: what follows (the controls) is short, and not shared out."""
        self._ended_s = monotonic()

    @property
    def is_over(self) -> bool:
        return self.took_s >= self.bound_s

    @property
    def turns_left(self) -> int:
        return self.turns - self.turns_done

    @property
    def examples_min(self) -> int:
        return min(EXAMPLES_MIN, self.examples_max)

    def covered(self, took_s: float) -> None:
        """Note what the cases took that cover an operation's description: they are never fewer."""
        self._covered += 1
        self._covering_s += took_s

    def sequence_done(self, took_s: float) -> None:
        self._sequences_s += took_s

    def turn_done(self, cases: int, took_s: float) -> None:
        """Note what the generated cases of a turn took; say now and then how far the run is."""
        self.turns_done += 1
        self._cases += cases
        self._generating_s += took_s
        if self.turns_done % SAID_EVERY == 0 or not self.turns_left:
            sys.stderr.write(
                f"schemathesis: {self.turns_done}/{self.turns} turns (an operation as a caller),"
                f" {self.took_s:.0f} of {self.bound_s:.0f} s, now {self.examples()} cases each\n"
            )

    def told(self) -> str:
        """Return a closing sentence: what was done in the time, or that it was too short."""
        how = "NOT FINISHED, cut off" if self.turns_left else "Finished"
        return (
            f"{how} after {self.took_s:.0f} s of at most {self.bound_s:.0f}:"
            f" {self.turns_done} of {self.turns} turns (an operation as a caller),"
            f" each allowed {self.fewest} to {self.examples_max} generated cases."
        )

    def examples(self) -> int:
        """Return how many cases the next turn may have."""
        if not self._cases or not self.turns_left:
            return self.examples_max
        # What is not generated for one operation goes on as it went.
        covering_s = self._covering_s / max(1, self._covered) * (self.turns - self._covered)
        sequences_s = self._sequences_s / self.turns_done * self.turns_left
        left_s = self.planned_s - self.took_s - covering_s - sequences_s
        share = left_s / self.turns_left / (self._generating_s / self._cases)
        found = max(self.examples_min, min(self.examples_max, int(share)))
        self.fewest = min(self.fewest, found)
        return found
