"""How long a day was driven, served, waited and stood, each second once."""

from dataclasses import dataclass

import numpy as np

from geo.day import Day
from geo.intervals import merged, shared_by
from geo.report import StopFact
from geo.types import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Seconds of the shared time; what is not known is in none of them."""

    drive_s: float
    service_s: float
    wait_s: float
    idle_s: float


def hours(day: Day, stops: tuple[StopFact, ...]) -> Hours:
    """Return how the shared time was spent.

    Notes
    -----
    A halt at which several stops were served counts once: as service as soon as one of them may
    be served, as waiting before. Seconds within a visit whose beginning or end nobody saw are
    neither. What the driver said counts where nothing was recorded: it puts no drive in doubt.
    """
    halts = [stop for stop in stops if stop.evidence != "driver_tap"]
    said = [stop for stop in stops if stop.evidence == "driver_tap"]
    unseen_s = _unseen(day)
    present_s, serving_s = (
        merged(
            np.concatenate(
                [
                    shared_by(_spent(halts, waiting=waiting), day.shared_s),
                    shared_by(_spent(said, waiting=waiting), unseen_s),
                ]
            )
        )
        for waiting in (True, False)
    )
    served, account = day.served, day.account
    visits_s = np.column_stack([served.visits.from_s, served.visits.to_s])[served.used]
    elsewhere = 1.0 - _share_within(day.driven.time_s, merged(visits_s))
    return Hours(
        drive_s=float((account.moving_s * elsewhere).sum()),
        service_s=_length_s(serving_s),
        wait_s=max(_length_s(present_s) - _length_s(serving_s), 0.0),
        idle_s=float((account.idle_s * elsewhere).sum()),
    )


def _spent(stops: list[StopFact], *, waiting: bool) -> Floats:
    """Return when somebody was at one of the stops, with or without waiting, ``(k, 2)``."""
    rows = [
        (stop.arrived_s + (0.0 if waiting else stop.wait_s), stop.departed_s)
        for stop in stops
        if stop.arrived_s is not None and stop.departed_s is not None and stop.wait_s is not None
    ]
    return merged(np.array(rows, dtype=np.float64).reshape(-1, 2))


def _unseen(day: Day) -> Floats:
    """Return the shared times that no step of the account covers, ``(k, 2)``."""
    time_s = day.driven.time_s
    if not len(time_s):
        return day.shared_s
    lost = np.flatnonzero(day.driven.gap | ~day.driven.shared)
    from_s = np.concatenate([[-np.inf], time_s[lost], time_s[-1:]])
    to_s = np.concatenate([time_s[:1], time_s[lost + 1], [np.inf]])
    return shared_by(np.column_stack([from_s, to_s]), day.shared_s)


def _share_within(time_s: Floats, intervals_s: Floats) -> Floats:
    """Return which share of each step lies within disjoint intervals, ``(max(n - 1, 0),)``."""
    if not len(intervals_s):
        return np.zeros(max(len(time_s) - 1, 0))
    lengths_s = np.column_stack([np.zeros(len(intervals_s)), np.diff(intervals_s)[:, 0]])
    inside_s = np.interp(time_s, intervals_s.ravel(), np.cumsum(lengths_s.ravel()))
    return np.asarray(np.clip(np.diff(inside_s) / np.diff(time_s), 0.0, 1.0))


def _length_s(intervals_s: Floats) -> float:
    return float(np.diff(intervals_s).sum())
