"""The calls into `geo`: the only place that knows how its stages are put together."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.geo.phone import Seen
from bench.geo.roads import PLANE, Road
from geo.account import keep_account
from geo.clean import Cleaned, clean
from geo.drive import Driven, prepare
from geo.plan_fact import PlanFact, plan_versus_fact
from geo.plane import Plane
from geo.progress import Line
from geo.types import Floats
from geo.values import DEFAULT, Plan, Work

AFTER_S: Final = 4.0 * 3600.0


def report(
    plan: Plan, seen: Seen, *, ended_by_driver: bool = True, parked_s: float = 0.0
) -> PlanFact:
    """Return the whole report, long after the shift: nothing is still to come.

    The recording ends as the driver ends the shift, after the last stop; or else for a reason that
    a report does not know. ``parked_s`` of sharing go by before that without a position.
    """
    shared_s, ended_s = seen.shared_s.copy(), seen.until_s + parked_s
    shared_s[-1:, 1] += parked_s
    return plan_versus_fact(
        seen.track,
        plan,
        shared_s=shared_s,
        until_s=ended_s + AFTER_S,
        work=Work(done_s=ended_s if ended_by_driver else None),
    )


def cleaned(seen: Seen, plane: Plane = PLANE) -> Cleaned:
    return clean(seen.track, plane, shared_s=seen.shared_s, until_s=seen.until_s)


def stays_of(believed: Cleaned) -> Driven:
    """Smooth and find the stays."""
    return prepare(believed, DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where along a line the believed fixes were, both ``(n,)``; NaN = off it."""

    time_s: Floats
    along_m: Floats


def places_along(driven: Driven, road: Road) -> Places:
    line = Line.of(road.xy, PLANE)
    along_m = keep_account(driven, line, PLANE, DEFAULT).along_m
    # `geo` counts metres of the ellipsoid, the generated road those of the plane.
    scale = road.length_m / line.length_m if line is not None else 1.0
    return Places(time_s=driven.time_s, along_m=np.asarray(along_m * scale))
