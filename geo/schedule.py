"""Time against the plan: windows, waiting and where a vehicle should be by now."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.report import WindowStatus
from geo.types import Floats

# This near along the plan a vehicle is at the stop.
AT_STOP_M: Final = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One visit against its window and its planned service; None = not known."""

    window_status: WindowStatus
    early_s: float | None
    late_s: float | None
    wait_s: float | None
    service_s: float | None
    service_delta_s: float | None


def timing(
    arrived_s: float | None,
    departed_s: float | None,
    *,
    window_from_s: float,
    window_to_s: float,
    planned_service_s: float,
) -> Timing:
    """Return how a visit kept its window; NaN = open or not planned.

    Early is who arrives before the window opens. Waiting for it is not service; who leaves
    before it opens did not wait but served early.
    """
    if arrived_s is None:
        return Timing(
            window_status="none",
            early_s=None,
            late_s=None,
            wait_s=None,
            service_s=None,
            service_delta_s=None,
        )
    early_s = max(window_from_s - arrived_s, 0.0) if np.isfinite(window_from_s) else 0.0
    late_s = max(arrived_s - window_to_s, 0.0) if np.isfinite(window_to_s) else 0.0
    status: WindowStatus = "early" if early_s > 0.0 else "late" if late_s > 0.0 else "on_time"
    windowless = not np.isfinite(window_from_s) and not np.isfinite(window_to_s)
    wait_s = service_s = delta_s = None
    if departed_s is not None:
        waited = early_s > 0.0 and departed_s > window_from_s
        wait_s = early_s if waited else 0.0
        service_s = departed_s - arrived_s - wait_s
        delta_s = service_s - planned_service_s if planned_service_s > 0.0 else None
    return Timing(
        window_status="none" if windowless else status,
        early_s=None if windowless else early_s,
        late_s=None if windowless else late_s,
        wait_s=wait_s,
        service_s=service_s,
        service_delta_s=delta_s,
    )


def schedule_deviation_s(
    now_s: float,
    along_m: float,
    *,
    stops_m: Floats,
    arrival_s: Floats,
    service_s: Floats,
    window_from_s: Floats | None = None,
) -> float | None:
    """Return how far behind the schedule a vehicle is, negative if ahead.

    Parameters
    ----------
    now_s, along_m
        The last fix and its place along the plan.
    stops_m, arrival_s, service_s
        Shape ``(m,)``: places along the plan, not decreasing; planned arrivals (NaN = none); and
        planned service (NaN = 0).
    window_from_s
        Shape ``(m,)``: nobody is served before, NaN = open; None = all are open.

    Returns
    -------
    float | None
        Seconds; None if no stop has a planned arrival.

    Notes
    -----
    At a place where the plan allows standing (a stop), any time within that is on schedule: up to
    the end of the service, which begins when the window opens, as waiting is no delay. Between
    stops the plan drives evenly.
    """
    planned = np.flatnonzero(np.isfinite(arrival_s))
    if not len(planned):
        return None
    places_m = np.repeat(stops_m[planned], 2)
    begin_s = arrival_s[planned]
    served_from_s = begin_s if window_from_s is None else np.fmax(begin_s, window_from_s[planned])
    end_s = served_from_s + np.nan_to_num(service_s[planned], nan=0.0)
    # The plan waits for nobody: a stop planned before the last one is over begins after it.
    times_s = np.maximum.accumulate(np.column_stack([begin_s, end_s]).ravel())
    latest_s = float(np.interp(along_m, places_m, times_s))
    here = np.flatnonzero(np.abs(places_m - along_m) <= AT_STOP_M)
    if len(here):
        earliest_s, latest_s = float(times_s[here[0]]), float(times_s[here[-1]])
        if now_s < earliest_s:
            return now_s - earliest_s
        return max(now_s - latest_s, 0.0)
    return now_s - latest_s


def overdue_s(
    now_s: float,
    stop: int,
    *,
    arrival_s: Floats,
    service_s: Floats,
    window_from_s: Floats,
) -> float | None:
    """Return how long ago a stop not reached yet should have been, negative if it is to come.

    Parameters
    ----------
    now_s
        The last fix.
    stop
        The stop.
    arrival_s, service_s, window_from_s
        Shape ``(m,)``: as for `schedule_deviation_s`.

    Returns
    -------
    float | None
        Seconds; None if the stop has no planned arrival. A plan that leaves no time for the
        windows before it is late by itself: that is no delay.
    """
    if np.isnan(arrival_s[stop]):
        return None
    before = np.flatnonzero(np.isfinite(arrival_s[:stop]))
    leave_s = np.fmax(arrival_s[before], window_from_s[before])
    leave_s = leave_s + np.nan_to_num(service_s[before], nan=0.0)
    return now_s - max(float(arrival_s[stop]), float(leave_s.max(initial=-np.inf)))
