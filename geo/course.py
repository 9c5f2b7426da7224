"""The way along the planned line, and off it, while it is driven."""

from dataclasses import dataclass, replace
from math import hypot
from typing import Self

import numpy as np

from geo.deviation import corridor_widening_m, leave_m
from geo.drive import Driven
from geo.follow import Trail, distance_m, follow, nearby
from geo.pace import passing_s
from geo.progress import Line
from geo.types import Flags, Floats
from geo.values import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """How far off the corridor the vehicle is.

    Attributes
    ----------
    contacted
        It was in the corridor once: before, it is on its way to the plan.
    outside
        By hysteresis.
    since_s, last_s, fixes, travelled_m, farthest_m
        First and last fix outside, how many, the metres driven and the farthest from the line.
    xy
        The last fix.
    """

    contacted: bool = False
    outside: bool = False
    since_s: float = 0.0
    last_s: float = 0.0
    fixes: int = 0
    travelled_m: float = 0.0
    farthest_m: float = 0.0
    xy: tuple[float, float] | None = None

    def confirmed(self, *, off: bool, sigma_m: float, parameters: Parameters) -> bool:
        """Tell whether it is one to speak of, by the rules of the final report.

        Two fixes outside are the least; between houses all fixes may lie to one side for a while,
        so who goes on along the plan (not ``off``) and is not far from it has not left it.
        """
        lasted_s = self.last_s - self.since_s
        long = (
            lasted_s >= parameters.deviation_min_s or self.fixes >= parameters.deviation_min_fixes
        )
        far = self.farthest_m > 2.0 * leave_m(sigma_m, parameters)
        left = off or far or lasted_s >= parameters.deviation_beside_s
        return (
            self.contacted
            and self.outside
            and self.fixes > 1
            and self.travelled_m >= parameters.deviation_min_m
            and long
            and left
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The way along the planned line; ``passed_s`` ``(m,)`` = when each stop was passed first."""

    trail: Trail
    excursion: Excursion
    passed_s: Floats

    @classmethod
    def start(cls, stops: int) -> Self:
        """Return the course before the first fix."""
        return cls(trail=Trail.start(), excursion=Excursion(), passed_s=np.full(stops, np.nan))


def stray(
    excursion: Excursion,
    time_s: Floats,
    xy: Floats,
    linked: Flags,
    away_m: Floats,
    *,
    sigma_m: float,
    parameters: Parameters,
) -> Excursion:
    """Return how far off the corridor the vehicle is after more fixes.

    Parameters
    ----------
    excursion
        The state before them.
    time_s, xy, linked, away_m
        Shapes ``(n,)`` and ``(n, 2)``: as for `follow`, and the distances to the line; infinite
        where it is out of reach.
    sigma_m
        Noise beyond 10 m widens the corridor by twice the excess.
    parameters
        The corridor.
    """
    out_m = leave_m(sigma_m, parameters)
    in_m = parameters.corridor_return_m + corridor_widening_m(sigma_m, parameters)
    now = excursion
    rows = zip(time_s.tolist(), xy.tolist(), linked.tolist(), away_m.tolist(), strict=True)
    for fix_s, (x, y), is_linked, far_m in rows:
        moved_m = hypot(x - now.xy[0], y - now.xy[1]) if now.xy is not None and is_linked else 0.0
        outside = far_m > out_m or (now.outside and far_m > in_m)
        # Out of reach nobody measured how far: the caller may.
        known_m = min(far_m, parameters.match_reach_m)
        goes_on = outside and now.outside and is_linked
        now = Excursion(
            contacted=now.contacted or far_m <= in_m,
            outside=outside,
            since_s=now.since_s if goes_on else fix_s,
            last_s=fix_s,
            fixes=now.fixes + 1 if goes_on else 1,
            travelled_m=moved_m + (now.travelled_m if goes_on else 0.0),
            farthest_m=max(known_m, now.farthest_m if goes_on else 0.0),
            xy=(x, y),
        )
    return now


def driven_on(
    settled: Course,
    line: Line,
    stops_m: Floats,
    driven: Driven,
    *,
    first: int,
    middle: int,
    parameters: Parameters,
) -> tuple[Course, Course]:
    """Return the course after more fixes: up to the last settled one, and up to the present.

    Parameters
    ----------
    settled
        The course before the fix `first`.
    line, stops_m
        The planned line and the places of the stops along it.
    driven
        The fixes looked at, `n`.
    first, middle
        The first fix that is new, and the first that is provisional; up to `n`.
    parameters
        Reach and corridor.
    """
    sigma_m = driven.sigma_m
    xy, time_s = driven.place_xy[first:], driven.time_s[first:]
    linked = np.append(True, np.diff(driven.span) == 0)[first:]
    along_m, away_m = nearby(line, xy, reach_m=parameters.match_reach_m)
    course, now = settled, settled
    for part in (slice(0, middle - first), slice(middle - first, None)):
        course = now
        trail, way = follow(
            course.trail,
            time_s[part],
            xy[part],
            linked[part],
            (along_m[part], away_m[part]),
            sigma_m=sigma_m,
        )
        excursion = stray(
            course.excursion,
            time_s[part],
            xy[part],
            linked[part],
            away_m[part, 0],
            sigma_m=sigma_m,
            parameters=parameters,
        )
        if len(way) and course.trail.place_s is not None:
            way = np.concatenate([[(course.trail.place_s, course.trail.place_m, 1.0)], way])
        passed_s = passing_s(way[:, 0], way[:, 1], stops_m, linked=way[1:, 2] > 0.0)
        now = Course(trail=trail, excursion=excursion, passed_s=np.fmin(course.passed_s, passed_s))
    if now.excursion.outside and len(xy) and np.isinf(away_m[-1, 0]):
        farthest_m = max(now.excursion.farthest_m, distance_m(line, xy[-1]))
        now = replace(now, excursion=replace(now.excursion, farthest_m=farthest_m))
    return course, now
