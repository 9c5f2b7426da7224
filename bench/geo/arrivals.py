"""When the next stops will be reached: the ETA against what then happened."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.geo.days import plan
from bench.geo.driving import Drive, drive
from bench.geo.findings import Cell, Finding, generator, mean
from bench.geo.phone import START_S, Seen, see
from bench.geo.roads import city
from geo.plan_fact import PlanFact, plan_versus_fact
from geo.types import Floats, Indices
from geo.values import Plan, Track

DAYS: Final = "ETA on generated days"
ERROR: Final = f"{DAYS}, mean error"
CELLS: Final = (Cell(15.0, 10.0),)
STOPS: Final = 20
BLOCKS: Final = 120
LOOKS: Final = (0.2, 0.4, 0.6, 0.8)
# How far a day, and a single leg or service on it, is from its plan (of the logarithm).
DAY_SPREAD: Final = 0.35
LEG_SPREAD: Final = 0.2
SERVICE_SPREAD: Final = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What one look said of the ``k`` stops that were still ahead, unix seconds.

    Attributes
    ----------
    truth_s, simple_s
        Shape ``(k,)``: when they were reached, and what the baseline said.
    told_s
        Shape ``(k, 3)``: p10, p50 and p90; NaN = no forecast.
    """

    truth_s: Floats
    simple_s: Floats
    told_s: Floats


def draw(rng: np.random.Generator, cell: Cell) -> tuple[Plan, Seen, Drive]:
    """Plan a day, then drive it at another pace."""
    road = city(rng, BLOCKS, (60.0, 900.0))
    halts_m = np.sort(rng.uniform(0.02, 0.99, STOPS)) * road.length_m
    driven = drive(rng, road, halts_m, np.clip(np.exp(rng.normal(5.5, 0.7, STOPS)), 60.0, 1800.0))
    legs_s = driven.arrived_s - np.append(0.0, driven.departed_s[:-1])
    legs_s = legs_s / np.exp(rng.normal(0.0, DAY_SPREAD) + rng.normal(0.0, LEG_SPREAD, STOPS))
    service_s = driven.departed_s - driven.arrived_s
    service_s = service_s / np.exp(
        rng.normal(0.0, DAY_SPREAD) + rng.normal(0.0, SERVICE_SPREAD, STOPS)
    )
    planned_s = np.cumsum(legs_s) + np.append(0.0, np.cumsum(service_s)[:-1])
    wanted = plan(
        road.at(halts_m) + rng.normal(0.0, 8.0, (STOPS, 2)),
        service_s=service_s,
        planned_s=START_S + planned_s,
        road=road,
    )
    return wanted, see(rng, cell.phone, road, driven), driven


def until(track: Track, plan: Plan, now_s: float) -> PlanFact:
    """Return the report of a running day as it stood then."""
    known = track.time_s <= now_s
    seen = Track(
        time_s=track.time_s[known],
        lon_lat=track.lon_lat[known],
        accuracy_m=track.accuracy_m[known],
    )
    shared_s = np.array([[float(track.time_s.min()), np.inf]])
    return plan_versus_fact(seen, plan, shared_s=shared_s, until_s=now_s)


def told_s(found: PlanFact, stops: Indices) -> Floats:
    """Return p10, p50 and p90 of some stops, ``(k, 3)``; NaN of those without a forecast."""
    told = {one.planned_sequence: (one.p10_s, one.p50_s, one.p90_s) for one in found.progress.eta}
    nothing = (np.nan, np.nan, np.nan)
    return np.array([told.get(stop, nothing) for stop in stops.tolist()]).reshape(-1, 3)


def simple_s(plan: Plan, departed_s: Floats, now_s: float) -> Floats:
    """Return the plan, later by the delay at the last stop: what dispatchers do."""
    gone = np.flatnonzero(departed_s <= now_s)
    delay_s = 0.0
    if len(gone):
        last = gone[-1]
        delay_s = departed_s[last] - plan.planned_arrival_s[last] - plan.service_s[last]
    return np.asarray(np.maximum(plan.planned_arrival_s + delay_s, now_s))


def look(plan: Plan, seen: Seen, driven: Drive, now_s: float) -> Guess:
    arrived_s, departed_s = START_S + driven.arrived_s, START_S + driven.departed_s
    ahead = np.flatnonzero(arrived_s > now_s)
    return Guess(
        truth_s=arrived_s[ahead],
        simple_s=simple_s(plan, departed_s, now_s)[ahead],
        told_s=told_s(until(seen.track, plan, now_s), ahead),
    )


def measure(cell: Cell, days: int, seed: int) -> list[Finding]:
    """Look four times a day at all stops that are still ahead."""
    guesses = []
    for number in range(days):
        wanted, seen, driven = draw(generator(seed, "eta", cell, number), cell)
        guesses += [look(wanted, seen, driven, START_S + share * driven.end_s) for share in LOOKS]
    return scored(DAYS, guesses, cell=cell, note=f"{days} days")


def scored(of: str, guesses: list[Guess], *, cell: Cell | None, note: str) -> list[Finding]:
    """Compare with the truth: both methods by the same stops, those that have a forecast."""
    truth_s = np.concatenate([one.truth_s for one in guesses])
    p10_s, p50_s, p90_s = np.concatenate([one.told_s for one in guesses]).T
    late_s = p50_s - truth_s
    simple_late_s = np.concatenate([one.simple_s for one in guesses]) - truth_s
    known = np.isfinite(late_s)
    forecast = int(np.count_nonzero(known))
    held = int(np.count_nonzero((p10_s <= truth_s) & (truth_s <= p90_s)))
    return [
        Finding(
            name=f"{of}, mean error",
            cell=cell,
            value=mean(np.abs(late_s)),
            unit="s",
            baseline=mean(np.abs(simple_late_s[known])),
            note=f"{note}, {forecast} guesses, on average {mean(late_s):+.0f} s, the baseline's"
            f" {mean(simple_late_s[known]):+.0f} s",
        ),
        Finding(
            name=f"{of}, arrivals between p10 and p90",
            cell=cell,
            value=100.0 * held / forecast if forecast else float("nan"),
            unit="%",
            note="80 % would be honest",
        ),
        Finding(
            name=f"{of}, stops ahead without a forecast",
            cell=cell,
            value=100.0 * float(np.mean(~known)) if len(known) else float("nan"),
            unit="%",
            note=f"{len(known) - forecast} of {len(known)}; neither method's error counts them",
        ),
    ]
