"""What uploads came to: how many, what was answered, how long it took."""

import json
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from bench.http1 import Answer

_ALL_ACCEPTED: Final = b'"duplicate":0,"refused":[]'
OK: Final = 200


def _milliseconds() -> "array[float]":
    return array("f")


@dataclass(slots=True)
class Tally:
    """Of a stretch of time, or of a whole run."""

    due: int = 0
    """Uploads whose time came."""
    answered: int = 0
    cut_off: int = 0
    """Uploads whose connection ended before the answer: what became of them is unknown."""
    overdue: int = 0
    """Uploads given up unsent: their driver's connection had too many waiting before them."""
    accepted: int = 0
    duplicate: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    stored_ms: "array[float]" = field(default_factory=_milliseconds)
    """From the moment an upload was due to its answer 200."""
    refused_ms: "array[float]" = field(default_factory=_milliseconds)
    """From sending to any other answer: what the server took to say no."""

    def count(self, answer: Answer, size: int, *, due_ms: float, sent_ms: float) -> None:
        """Count an answer. Both times are how long ago that was."""
        self.answered += 1
        self.statuses[str(answer.status)] += 1
        if answer.status != OK:
            self.refused_ms.append(sent_ms)
            return
        self.stored_ms.append(due_ms)
        if _ALL_ACCEPTED in answer.body:
            self.accepted += size
            return
        told = json.loads(answer.body)
        self.accepted += told["accepted"]
        self.duplicate += told["duplicate"]
        self.reasons.update(one["reason"] for one in told["refused"])

    def add(self, other: "Tally") -> None:
        for name in ("due", "answered", "cut_off", "overdue", "accepted", "duplicate"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.statuses += other.statuses
        self.reasons += other.reasons
        self.stored_ms += other.stored_ms
        self.refused_ms += other.refused_ms

    @property
    def stored(self) -> int:
        """Uploads answered with 200."""
        return self.statuses[str(OK)]

    @property
    def refused(self) -> int:
        return self.answered - self.stored

    def told(self) -> dict[str, Any]:
        """Return what a line of JSON can hold."""
        return {
            "due": self.due,
            "answered": self.answered,
            "stored": self.stored,
            "cut_off": self.cut_off,
            "overdue": self.overdue,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "statuses": dict(self.statuses),
            "reasons": dict(self.reasons),
            "p50_ms": percentile(self.stored_ms, 50),
            "p90_ms": percentile(self.stored_ms, 90),
            "p99_ms": percentile(self.stored_ms, 99),
            "max_ms": percentile(self.stored_ms, 100),
            "refused_p99_ms": percentile(self.refused_ms, 99),
        }


def percentile(values: "array[float]", share: float) -> float | None:
    """Return the value below which that share (in percent) lies; None of nothing."""
    if not values:
        return None
    return round(float(np.percentile(np.array(values), share, method="higher")), 1)
