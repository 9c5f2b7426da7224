"""What "now" means for a route: what was shared, and what the plan says by then."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from geo.types import Flags, Floats
from geo.values import UNTOLD, Plan, Taps, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What "now" means for a route, and which time was shared at all.

    Attributes
    ----------
    until_s
        Data counts as complete up to here.
    over, running
        Nothing of the route can come any more; and positions may still be recorded after
        ``until_s``, or could have been when the route was cancelled then.
    cancelled
        It is over as it was cancelled at ``until_s``: what was to come by then is nobody's.
    begun_s
        Since when stops may have been served, not after ``from_s``.
    from_s, ended
        When the first shared interval began (infinity = there was none), and whether the last one
        was over before ``until_s``.
    work_done_s
        From when on nobody serves a stop, as the driver ended the shift; infinity = not known, or
        not before ``until_s``.
    delay_s
        How far behind the schedule the vehicle is, 0 if ahead or not known.
    under_way_s
        How old the latest fixes may be that are still to come.
    due_s
        Shape ``(m,)``: when each stop was due, NaN = never; -infinity = the driver calls it done.
    arrival_s, opens_s, closes_s
        Shape ``(m,)``: when each stop is planned, not before its window opens; when that is or the
        window opens; and when the window closes. NaN = the plan says nothing.
    next_began
        The driver's next route began before ``until_s``: who rests then may only pause.
    done_s
        Shape ``(m,)``: when the driver said that each is done, NaN = never.
    settled
        Shape ``(m,)``: the driver said that it is done, or that it could not be.
    """

    until_s: float
    over: bool
    running: bool
    cancelled: bool
    next_began: bool
    begun_s: float
    from_s: float
    ended: bool
    work_done_s: float
    delay_s: float
    under_way_s: float
    due_s: Floats
    arrival_s: Floats
    opens_s: Floats
    closes_s: Floats
    done_s: Floats
    settled: Flags

    @property
    def is_work_done(self) -> bool:
        return self.work_done_s < np.inf

    @classmethod
    def of(
        cls,
        plan: Plan,
        taps: Taps,
        *,
        shared_s: Floats,
        until_s: float,
        delay_s: float,
        under_way_s: float,
        over: bool = False,
        work: Work = UNTOLD,
        next_s: float = np.inf,
    ) -> Self:
        """Return the clock at ``until_s``; ``shared_s`` are disjoint intervals, ``(w, 2)``.

        While sharing goes on, so does the work, whatever ``work.done_s`` says. ``next_s`` is when
        the driver's next route begins.
        """
        work_done_s = work.done_s
        known_s = shared_s[shared_s[:, 0] <= until_s]
        shared_until_s = float(known_s[-1, 1]) if len(known_s) else -np.inf
        from_s = float(known_s[0, 0]) if len(known_s) else np.inf
        if work_done_s is None or not shared_until_s <= work_done_s <= until_s:
            work_done_s = np.inf
        arrival_s = np.where(
            np.isnan(plan.planned_arrival_s),
            np.nan,
            np.fmax(plan.planned_arrival_s, plan.window_from_s),
        )
        due_s = np.where(np.isnan(plan.planned_arrival_s), plan.window_to_s, plan.planned_arrival_s)
        done = taps.done_s <= until_s
        return cls(
            until_s=until_s,
            over=over,
            running=until_s < shared_until_s and (work.cancelled or not over),
            cancelled=work.cancelled,
            next_began=next_s < until_s,
            begun_s=from_s if work.begun_s is None else min(work.begun_s, from_s),
            from_s=from_s,
            ended=shared_until_s < until_s,
            work_done_s=work_done_s,
            delay_s=delay_s,
            under_way_s=under_way_s,
            due_s=np.where(done, -np.inf, due_s),
            arrival_s=arrival_s,
            opens_s=np.where(np.isnan(arrival_s), plan.window_from_s, arrival_s),
            closes_s=plan.window_to_s,
            done_s=taps.done_s,
            settled=done | (taps.failed_s <= until_s),
        )
