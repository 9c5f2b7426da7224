"""Days of deliveries: who was to be visited, who was, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

import numpy as np
import shapely

from bench.geo.driving import Drive, drive
from bench.geo.phone import START_S, Phone, Seen, see
from bench.geo.roads import PLANE, Road, city
from geo.types import Flags, Floats, Indices
from geo.values import Plan, Track

Kind: TypeAlias = Literal[
    "plain", "past", "elsewhere", "neighbours", "shared", "unplanned", "again", "building", "thrice"
]
KINDS: Final[dict[Kind, float]] = {
    "plain": 0.42,
    "past": 0.10,  # driven past without a halt
    "elsewhere": 0.06,  # never near
    "neighbours": 0.14,  # two customers, two halts, 25 to 60 m apart
    "shared": 0.10,  # two customers, one halt
    "unplanned": 0.08,  # a halt nobody planned
    "again": 0.10,  # one customer on the way out and on the way back
}
PLACES: Final = 14
DWELL_S: Final = 240.0
DWELL_SPREAD: Final = 0.7
DEPOT_S: Final = 600.0
DWELL_RANGE_S: Final = (60.0, 1800.0)
RADIUS_M: Final = 40.0
AWAY_MIN_M: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a day is made of.

    Attributes
    ----------
    kinds
        How likely each kind of place is.
    passes
        How often the road is driven, there and back and there again.
    depot
        The day begins and ends with ten minutes at one planned place.
    shuffled
        Share of the stops that change places in the plan; None = up to two of them.
    phone_off
        Share of the halts at which the phone is off from arrival to departure.
    service_step_s
        Services are planned as the next multiple of it, so nearly all with slack; None = they are
        planned as they turn out, 30 % more or less.
    """

    kinds: Mapping[Kind, float] = field(default_factory=lambda: KINDS)
    passes: int = 2
    depot: bool = False
    shuffled: float | None = None
    phone_off: float = 0.0
    service_step_s: float | None = None


USUAL: Final = Recipe()
RECIPES: Final[Mapping[str, Recipe]] = {
    "40 % reordered": Recipe(shuffled=0.4),
    "two stops in one building": Recipe(kinds={"plain": 0.5, "past": 0.1, "building": 0.4}),
    "the same address three times": Recipe(
        kinds={"plain": 0.6, "past": 0.1, "thrice": 0.3}, passes=3
    ),
    "depot first and last": Recipe(depot=True),
    "phone off at a third of the halts": Recipe(phone_off=1.0 / 3.0),
    "phone off at a third of the halts, planned by five minutes": Recipe(
        phone_off=1.0 / 3.0, service_step_s=300.0
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of ``m`` planned stops.

    Attributes
    ----------
    arrived_s, departed_s
        Shape ``(m,)``: the truth, unix seconds; NaN = never served.
    """

    plan: Plan
    seen: Seen
    arrived_s: Floats
    departed_s: Floats


@dataclass(frozen=True, slots=True)
class _Customer:
    xy: Floats
    halt: int | None
    service_s: float
    place_m: float


@dataclass(slots=True)
class _Draft:
    """What is gathered place by place."""

    rng: np.random.Generator
    road: Road
    halts_m: list[float] = field(default_factory=list)
    dwell_s: list[float] = field(default_factory=list)
    customers: list[_Customer] = field(default_factory=list)

    def halt(self, place_m: float, dwell_s: float) -> int:
        self.halts_m.append(place_m)
        self.dwell_s.append(dwell_s)
        return len(self.halts_m) - 1

    def beside(self, place_m: float, spread_m: float) -> Floats:
        point: Floats = self.road.at(np.array([place_m]))[0]
        return point + self.rng.normal(0.0, spread_m, 2)

    def want(self, xy: Floats, halt: int | None, service_s: float, place_m: float) -> None:
        self.customers.append(_Customer(xy, halt, service_s, place_m))

    def add(self, kind: Kind, place_m: float, dwell_s: float) -> None:
        home = self.beside(place_m, 12.0)
        match kind:
            case "past":
                self.want(home, None, dwell_s, place_m)
            case "elsewhere":
                self.want(self._far(place_m), None, dwell_s, place_m)
            case "unplanned":
                self.halt(place_m, self.rng.uniform(120.0, 900.0))
            case "shared" | "building":
                halt = self.halt(place_m, dwell_s)
                other = home if kind == "building" else self.beside(place_m, 18.0)
                self.want(home, halt, dwell_s / 2.0, place_m)
                self.want(other, halt, dwell_s / 2.0, place_m + 0.1)
            case "neighbours":
                next_m = min(place_m + self.rng.uniform(25.0, 60.0), self.road.length_m)
                self.serve(home, place_m, dwell_s)
                self.serve(self.beside(next_m, 8.0), next_m, self._about(dwell_s))
            case "again":
                self.serve(home, place_m, dwell_s)
                self.serve(home, self.road.length_m - place_m, self._about(dwell_s))
            case "thrice":
                lap_m = self.road.length_m / 3.0
                on_lap_m = lap_m - abs(place_m % (2.0 * lap_m) - lap_m)
                for again_m in (on_lap_m, 2.0 * lap_m - on_lap_m, 2.0 * lap_m + on_lap_m):
                    self.serve(home, again_m, self._about(dwell_s))
            case "plain":
                self.serve(home, place_m, dwell_s)

    def serve(self, xy: Floats, place_m: float, dwell_s: float) -> None:
        self.want(xy, self.halt(place_m, dwell_s), dwell_s, place_m)

    def _about(self, dwell_s: float) -> float:
        return max(60.0, dwell_s * float(self.rng.uniform(0.5, 1.5)))

    def _far(self, place_m: float) -> Floats:
        line = shapely.linestrings(self.road.xy)
        for away_m in np.linspace(1.0, 5.0, 40) * AWAY_MIN_M:
            xy = self.beside(place_m, away_m)
            if shapely.distance(shapely.points(xy), line) > AWAY_MIN_M:
                return xy
        return np.asarray(self.road.xy.max(axis=0) + AWAY_MIN_M)


def delivery_day(rng: np.random.Generator, phone: Phone, recipe: Recipe = USUAL) -> Day:
    """Draw a day with what makes visits hard to tell."""
    there = city(rng, 26, (80.0, 700.0))
    laps = [there.xy if lap % 2 == 0 else there.xy[::-1] for lap in range(recipe.passes)]
    road = Road.through(np.concatenate([laps[0], *(lap[1:] for lap in laps[1:])]))
    draft = _Draft(rng, road)
    if recipe.depot:
        draft.add("plain", 0.0, DEPOT_S)
        draft.customers.append(replace(draft.customers[0], halt=None, place_m=road.length_m))
    shares = recipe.kinds
    kinds = rng.choice(np.array(list(shares)), PLACES, p=list(shares.values()))
    for kind, place_m in zip(
        kinds.tolist(), np.sort(rng.uniform(0.02, 0.98, PLACES)) * road.length_m, strict=True
    ):
        dwell_s = float(np.exp(rng.normal(np.log(DWELL_S), DWELL_SPREAD)))
        draft.add(kind, float(place_m), float(np.clip(dwell_s, *DWELL_RANGE_S)))
    if not draft.customers or not draft.halts_m:
        draft.add("plain", road.length_m / 2.0, DWELL_S)
    if recipe.depot:
        home = draft.halt(road.length_m, DEPOT_S)
        draft.customers[1] = replace(draft.customers[1], halt=home)
    driven = drive(rng, road, np.array(draft.halts_m), np.array(draft.dwell_s))
    seen = see(rng, phone, road, driven)
    off = rng.random(len(draft.halts_m)) < recipe.phone_off
    if off.any():
        seen = replace(seen, track=_switched_off(seen.track, driven, off))
    return _planned(rng, draft.customers, driven, seen, recipe)


def _switched_off(track: Track, driven: Drive, off: Flags) -> Track:
    """Return the track without what was recorded during some halts."""
    heard = np.ones(len(track.time_s), dtype=bool)
    times_s = track.time_s - START_S
    for arrived_s, departed_s in zip(driven.arrived_s[off], driven.departed_s[off], strict=True):
        heard &= (times_s < arrived_s) | (times_s > departed_s)
    return Track(
        time_s=track.time_s[heard],
        lon_lat=track.lon_lat[heard],
        accuracy_m=track.accuracy_m[heard],
    )


def _planned(
    rng: np.random.Generator,
    customers: list[_Customer],
    driven: Drive,
    seen: Seen,
    recipe: Recipe,
) -> Day:
    """Plan what happened, with delays of its own and some stops put elsewhere."""
    customers = sorted(customers, key=lambda one: one.place_m)
    count = len(customers)
    served = np.array([one.halt is not None for one in customers])
    halts = np.array([one.halt or 0 for one in customers])
    arrived_s = np.where(served, driven.arrived_s[halts], np.nan)
    departed_s = np.where(served, driven.departed_s[halts], np.nan)
    passed_s = driven.passes_s(np.array([one.place_m for one in customers]))
    delay_s = rng.normal(0.0, 400.0) + np.cumsum(rng.normal(0.0, 150.0, count))
    planned_s = np.sort(np.where(served, arrived_s, passed_s) - delay_s)
    service_s = np.array([one.service_s for one in customers])
    if recipe.service_step_s is None:
        service_s *= np.exp(rng.normal(0.0, 0.3, count))
    else:
        service_s = recipe.service_step_s * np.ceil(service_s / recipe.service_step_s)
    order = _order(rng, count, recipe.shuffled)
    xy = np.array([one.xy for one in customers])[order]
    return Day(
        plan=plan(xy, service_s=service_s[order], planned_s=START_S + planned_s),
        seen=seen,
        arrived_s=START_S + arrived_s[order],
        departed_s=START_S + departed_s[order],
    )


def _order(rng: np.random.Generator, count: int, shuffled: float | None) -> Indices:
    order = np.arange(count)
    if shuffled is not None:
        moved = np.flatnonzero(rng.random(count) < shuffled)
        order[moved] = rng.permutation(moved)
        return order
    for _ in range(rng.integers(0, 3)):
        here = int(rng.integers(0, count))
        there = int(np.clip(here + rng.integers(-4, 5), 0, count - 1))
        order = np.insert(np.delete(order, here), there, order[here])
    return order


def plan(
    xy: Floats,
    *,
    service_s: Floats | float = np.nan,
    planned_s: Floats | float = np.nan,
    road: Road | None = None,
) -> Plan:
    """Plan stops without windows; values may be shared by all of them."""

    def each(value: Floats | float) -> Floats:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (len(xy),)).copy()

    return Plan(
        lon_lat=PLANE.to_lon_lat(xy),
        radius_m=each(RADIUS_M),
        service_s=each(service_s),
        planned_arrival_s=each(planned_s),
        window_from_s=each(np.nan),
        window_to_s=each(np.nan),
        line=None if road is None else road.lon_lat,
    )
