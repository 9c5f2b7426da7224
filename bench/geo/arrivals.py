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
from geo.types import Floats
from geo.values import Plan, Track

ERROR: Final = "ETA on generated days, mean error"
INSIDE: Final = "ETA on generated days, arrivals between p10 and p90"
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
    """Errors of one look, seconds late; and how many arrivals fell between p10 and p90."""

    errors_s: Floats
    simple_s: Floats
    inside: int


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


def guessed(found: PlanFact) -> dict[int, tuple[float, float, float]]:
    """Return p10, p50 and p90 by stop; nothing if the report does not tell them."""
    return {one.planned_sequence: (one.p10_s, one.p50_s, one.p90_s) for one in found.progress.eta}


def untold(stops: int) -> dict[int, tuple[float, float, float]]:
    """Return guesses that are none: the baseline is told all the same."""
    return dict.fromkeys(range(stops), (np.nan, np.nan, np.nan))


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
    told = guessed(until(seen.track, plan, now_s)) or untold(len(arrived_s))
    ahead = [stop for stop in np.flatnonzero(arrived_s > now_s).tolist() if stop in told]
    truth_s = arrived_s[ahead]
    p10_s, p50_s, p90_s = np.array([told[stop] for stop in ahead]).reshape(-1, 3).T
    return Guess(
        errors_s=p50_s - truth_s,
        simple_s=simple_s(plan, departed_s, now_s)[ahead] - truth_s,
        inside=int(np.count_nonzero((p10_s <= truth_s) & (truth_s <= p90_s))),
    )


def measure(cell: Cell, days: int, seed: int) -> list[Finding]:
    """Look four times a day at all stops that are still ahead."""
    guesses = []
    for number in range(days):
        wanted, seen, driven = draw(generator(seed, "eta", cell, number), cell)
        guesses += [look(wanted, seen, driven, START_S + share * driven.end_s) for share in LOOKS]
    return told(ERROR, INSIDE, guesses, cell=cell, note=f"{days} days")


def told(
    error: str, inside: str, guesses: list[Guess], *, cell: Cell | None, note: str
) -> list[Finding]:
    errors_s = np.concatenate([one.errors_s for one in guesses])
    simple = np.concatenate([one.simple_s for one in guesses])
    held = sum(one.inside for one in guesses)
    known = int(np.count_nonzero(np.isfinite(errors_s)))
    return [
        Finding(
            name=error,
            cell=cell,
            value=mean(np.abs(errors_s)),
            unit="s",
            baseline=mean(np.abs(simple)),
            note=f"{note}, {len(errors_s)} guesses, on average {mean(errors_s):+.0f} s",
        ),
        Finding(
            name=inside,
            cell=cell,
            value=100.0 * held / known if known else float("nan"),
            unit="%",
            note="80 % would be honest",
        ),
    ]
