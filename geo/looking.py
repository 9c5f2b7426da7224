"""One look at the last minutes of a running route, and what is kept of it."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from geo.assign import Wanted
from geo.clean import Cleaned
from geo.course import Course, driven_on
from geo.drive import Driven, prepare
from geo.ground import Ground, Habits
from geo.halts import Log, Look, glued, halts_of, ways_of
from geo.own_time import Order
from geo.passes import outer_radius_m
from geo.served import Stops, closed, visited
from geo.types import Floats
from geo.values import Parameters
from geo.visits import offer

# So young fixes are provisional, and at least so many.
PROVISIONAL_S: Final = 60.0
PROVISIONAL_FIXES: Final = 3
# So much before them is looked at again: longer than the shortest stay and a short way to it.
LOOK_BACK_S: Final = 120.0
LOOK_BACK_FIXES: Final = 6
LOOK_BACK_MAX_S: Final = 900.0
LOOK_BACK_FIXES_MAX: Final = 300
SILENCES_MAX: Final = 64
# So many fixes before a halt tell when it began.
WAY_FIXES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """Everything kept between refreshes: the plan, 25 bytes a vertex, and some kilobytes.

    Attributes
    ----------
    order
        Which order of the stops is believed before the plan begins.
    recent
        Shape ``(n, 4)``: time, longitude, latitude, accuracy of fixes that may be looked at again.
    settled_s
        What is older is no longer looked at.
    shared_s
        Shape ``(w, 2)``: as given last.
    silences_s
        Times without fixes among the settled, from and to.
    rebuild_due
        Something came too late to be taken in here: begin again with the whole track.
    last_fix_s, last_xy, until_s
        The last believed fix, and up to when data count as complete.
    """

    ground: Ground
    order: Order
    parameters: Parameters
    recent: Floats
    settled_s: float
    shared_s: Floats
    silences_s: tuple[tuple[float, float], ...]
    rebuild_due: bool
    habits: Habits
    log: Log
    course: Course
    stops: Stops
    present: Course
    last_fix_s: float | None
    last_xy: tuple[float, float] | None
    until_s: float


def looked(state: LiveState, cleaned: Cleaned) -> LiveState:
    time_s, ground = cleaned.time_s, state.ground
    first = int(np.searchsorted(time_s, state.settled_s, side="right"))
    middle = max(first, _provisional(time_s))
    settled_s = float(time_s[middle - 1]) if middle > first else state.settled_s
    habits = state.habits
    if middle > first:
        steps_s = np.diff(time_s[max(first - 1, 0) : middle])
        habits = habits.with_fixes(cleaned.sigma_m[first:middle], steps_s)
    driven = prepare(_typical(cleaned, habits), state.parameters)
    running = _running(state)
    log = glued(
        state.log,
        _look(state, driven, running=running),
        ground.wanted,
        sigma_m=driven.sigma_m,
        parameters=state.parameters,
    )
    stops = visited(
        log,
        ground.wanted,
        state.stops,
        running=running,
        sigma_m=driven.sigma_m,
        parameters=state.parameters,
    )
    course, present = state.course, state.course
    if ground.line is not None:
        course, present = driven_on(
            state.course,
            ground.line,
            ground.stops_m,
            driven,
            first=first,
            middle=middle,
            parameters=state.parameters,
        )
    kept = state.recent[:, 0] >= _look_back_s(time_s, middle, settled_s, log)
    return replace(
        state,
        recent=state.recent[kept],
        settled_s=settled_s,
        silences_s=_silences(state, time_s, first, middle),
        habits=habits,
        log=closed(log, stops, settled_s),
        course=course,
        stops=stops,
        present=present,
        last_fix_s=float(time_s[-1]),
        last_xy=(float(driven.xy[-1, 0]), float(driven.xy[-1, 1])),
    )


def _provisional(time_s: Floats) -> int:
    """Return the first fix that is provisional."""
    young = int(np.searchsorted(time_s, time_s[-1] - PROVISIONAL_S, side="right"))
    return max(min(young, len(time_s) - PROVISIONAL_FIXES), 0)


def _look_back_s(time_s: Floats, middle: int, settled_s: float, log: Log) -> float:
    """Return since when fixes are looked at again: two minutes, or all of a stay not over by then.

    Only as a whole a stay shows whether it was at one place or at two neighbours.
    """
    if not middle:
        return -np.inf
    usual_s = min(settled_s - LOOK_BACK_S, float(time_s[max(middle - LOOK_BACK_FIXES, 0)]))
    began_s = min((halt.from_s for halt in log.halts if halt.to_s >= usual_s), default=np.inf)
    way = max(int(np.searchsorted(time_s, began_s)) - WAY_FIXES - 2, 0)
    longest = max(middle - LOOK_BACK_FIXES_MAX, 0)
    began_s = (
        max(float(time_s[way]), float(time_s[longest]), settled_s - LOOK_BACK_MAX_S)
        if way < len(time_s)
        else usual_s
    )
    return min(usual_s, began_s)


def _typical(cleaned: Cleaned, habits: Habits) -> Cleaned:
    """Return the fixes with noise of the usual level: three minutes are too few to judge it."""
    if not habits.sigma_m.any():
        return cleaned
    scale = habits.typical_sigma_m / float(np.median(cleaned.sigma_m))
    return replace(cleaned, sigma_m=cleaned.sigma_m * scale)


def _running(state: LiveState) -> bool:
    """Tell whether positions may be recorded right now."""
    open_now = (state.shared_s[:, 0] <= state.until_s) & (state.until_s < state.shared_s[:, 1])
    return bool(open_now.any())


def _look(state: LiveState, driven: Driven, *, running: bool) -> Look:
    """Return the candidate visits among the fixes that are looked at."""
    parameters, wanted = state.parameters, state.ground.wanted
    reach_m = np.maximum(
        parameters.reach_m, outer_radius_m(np.maximum(wanted.radius_m, 2.0 * driven.sigma_m))
    )
    reach_m = (reach_m + 2.5 * driven.sigma_m)[:, np.newaxis]
    low_xy, high_xy = driven.xy.min(axis=0) - reach_m, driven.xy.max(axis=0) + reach_m
    near = np.flatnonzero(((wanted.xy >= low_xy) & (wanted.xy <= high_xy)).all(axis=1))
    part = Wanted(
        xy=wanted.xy[near],
        radius_m=wanted.radius_m[near],
        service_s=wanted.service_s[near],
        arrival_s=wanted.arrival_s[near],
    )
    visits, passes = offer(driven, part, parameters)
    time_s = driven.time_s
    return Look(
        halts=halts_of(visits, near),
        ways=ways_of(passes, near),
        from_s=float(time_s[0]),
        to_s=float(time_s[-1]),
        begins=bool(np.isfinite(state.settled_s)) and bool(time_s[0] <= state.settled_s),
        goes_on=running,
        breaks_s=time_s[1:][np.diff(driven.span) != 0],
        radius_m=float(np.hypot(parameters.stay_radius_m, 2.0 * driven.sigma_m)),
        merge_s=driven.merge_s,
        knows_s=float(time_s[min(WAY_FIXES, len(time_s) - 1)]),
        twice_s=float(time_s[-2]) if len(time_s) > 1 else -np.inf,
    )


def _silences(
    state: LiveState, time_s: Floats, first: int, middle: int
) -> tuple[tuple[float, float], ...]:
    """Return the silences among the settled fixes, with the one before the first fix."""
    before_s = np.append(-np.inf, time_s)[first:middle]
    if first == 0 and np.isfinite(state.settled_s):
        before_s[:1] = state.settled_s
    after_s = time_s[first:middle]
    silent = after_s - before_s > state.parameters.gap_s
    found = zip(before_s[silent].tolist(), after_s[silent].tolist(), strict=True)
    return (*state.silences_s, *found)[-SILENCES_MAX:]
