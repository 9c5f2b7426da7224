"""A plan laid out for following it, and what is usual of a phone."""

from dataclasses import dataclass, field, replace
from typing import Final, Self

import numpy as np
import shapely

from geo.assign import Wanted
from geo.plane import Plane, segment_lengths_m
from geo.progress import Line, place_stops
from geo.types import Floats, Indices
from geo.values import Plan

# Medians are read from counts of whole metres and seconds.
SIGMA_BINS: Final = 62
STEP_BINS: Final = 182


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the plan says, laid out in the plane once; ``stops_m`` are places along it, ``(m,)``."""

    plan: Plan
    plane: Plane
    line: Line | None
    wanted: Wanted
    stops_m: Floats

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Lay the plan out."""
        plane = Plane.around(plan.lon_lat)
        line = None if plan.line is None else Line.of(plane.to_xy(plan.line), plane)
        wanted = Wanted(
            xy=plane.to_xy(plan.lon_lat),
            radius_m=plan.radius_m,
            service_s=plan.service_s,
            arrival_s=plan.planned_arrival_s,
        )
        if line is not None:
            stops_m = place_stops(line, wanted.xy)
        else:
            stops_m = np.append(0.0, np.cumsum(segment_lengths_m(plan.lon_lat)))
        return cls(plan=plan, plane=plane, line=line, wanted=wanted, stops_m=stops_m)

    @property
    def length_m(self) -> float:
        """The length of the planned line, or of the straight legs."""
        return float(self.stops_m[-1] if self.line is None else self.line.length_m)

    def slim(self) -> Self:
        """Return it without what a refresh does not need: it looks at few segments at a time."""
        if self.line is None or self.plan.line is None:
            return self
        line = replace(
            self.line,
            planned_xy=self.line.xy,
            planned_m=self.line.along_m,
            tree=shapely.STRtree([]),
        )
        # Of the planned line the only further question is whether there is one.
        return replace(self, plan=replace(self.plan, line=self.plan.line[[0, -1]]), line=line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How often each noise level and step occurred; shapes ``(62,)`` and ``(182,)``."""

    sigma_m: Indices = field(default_factory=lambda: np.zeros(SIGMA_BINS, dtype=np.intp))
    step_s: Indices = field(default_factory=lambda: np.zeros(STEP_BINS, dtype=np.intp))

    @property
    def typical_sigma_m(self) -> float:
        """The median noise so far, 0 before the first settled fix."""
        return median(self.sigma_m) if self.sigma_m.any() else 0.0

    def with_fixes(self, sigma_m: Floats, step_s: Floats) -> Self:
        """Return the counts with more fixes in them."""
        return replace(
            self,
            sigma_m=self.sigma_m + _counts(sigma_m, SIGMA_BINS),
            step_s=self.step_s + _counts(step_s, STEP_BINS),
        )


def _counts(values: Floats, bins: int) -> Indices:
    whole = np.minimum(np.rint(values), bins - 1).astype(np.intp)
    return np.bincount(whole, minlength=bins)


def median(counts: Indices) -> float:
    total = np.cumsum(counts)
    return float(np.searchsorted(total, (total[-1] + 1) // 2))
