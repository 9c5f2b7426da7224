"""What a worker holds while 2,000 drivers upload by the clock, and whether it grows.

Both servers take the same load at once, each from its own generator: one connection for each
driver, ten positions every 30 s. It comes first, on servers that have done nothing else.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.fleet import Ground
from bench.loads import loading
from bench.openload import OpenPlan
from bench.phones import Step
from bench.servers import Served
from tests.proofs import Report, Row, at_most

SIZE: Final = 10
MEMORY_MB_MAX: Final = 150.0
GROWTH_PERCENT_MAX: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    drivers: int
    every_s: float
    seconds: float
    sample_s: float
    settled_s: float
    """Until each driver was seen: only from there on nothing may grow."""


SIZES: Final = {
    "smoke": Sizes(drivers=40, every_s=1, seconds=2, sample_s=0.2, settled_s=0.5),
    "full": Sizes(drivers=2_000, every_s=30, seconds=600, sample_s=5, settled_s=60),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A straight line through what was sampled."""

    first: float
    per_hour: float

    def grown(self, seconds: float) -> float:
        return self.per_hour * seconds / 3600


def fit(times_s: list[float], values: list[float]) -> Fit:
    """Return the line of least squares."""
    slope, first = np.polyfit(times_s, values, 1)
    return Fit(first=float(first), per_hour=3600 * float(slope))


class Curve:
    """The memory of a server's largest worker over time."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.times_s: list[float] = []
        self.memory_mb: list[float] = []

    async def sample(self, every_s: float) -> None:
        """Run until cancelled."""
        began_s = time.monotonic()
        while True:
            self.times_s.append(time.monotonic() - began_s)
            self.memory_mb.append(self._served.memory_mb())
            await asyncio.sleep(every_s)

    def settled(self, from_s: float) -> Fit:
        first = next(place for place, at_s in enumerate(self.times_s) if at_s >= from_s)
        return fit(self.times_s[first:], self.memory_mb[first:])

    def told(self, points: int = 11) -> str:
        """Return some points of the curve, evenly apart."""
        places = np.linspace(0, len(self.memory_mb) - 1, points).round().astype(int)
        return " ".join(f"{self.memory_mb[place]:.0f}" for place in places)


async def measure(ground: Ground, report: Report) -> None:
    sizes = SIZES[ground.size]
    (ours, told), (plain, _) = await asyncio.gather(
        _uploaded(ground, ground.ours, sizes), _uploaded(ground, ground.plain, sizes)
    )
    lasted_s = ours.times_s[-1] - sizes.settled_s
    line, plain_line = ours.settled(sizes.settled_s), plain.settled(sizes.settled_s)
    load = (
        f"{sizes.drivers} drivers, {SIZE} positions each every {sizes.every_s:g} s,"
        f" for {sizes.seconds / 60:.2g} min"
    )
    report.add(
        Row(
            figure="memory of a worker, drivers uploading",
            value=round(max(ours.memory_mb)),
            unit="MB",
            target=f"<= {MEMORY_MB_MAX:g}",
            met=max(ours.memory_mb) <= MEMORY_MB_MAX,
            baseline=round(max(plain.memory_mb)),
            note=f"largest; {load}; {told['stored']} uploads stored, p99 {told['p99_ms']} ms",
        )
    )
    growth, plain_growth = (100 * one.grown(lasted_s) / one.first for one in (line, plain_line))
    row = at_most(
        "growth of a worker's memory, drivers uploading",
        growth,
        GROWTH_PERCENT_MAX,
        unit="%",
        note=f"in {lasted_s / 60:.2g} min by a straight line ({line.per_hour:+.1f} MB/h) that"
        f" begins after {sizes.settled_s:g} s; baseline: {plain_growth:.2g} %",
    )
    report.add(row)
    report.add(
        Row(
            figure="memory of a worker over that time, at even distances",
            value=ours.told(),
            unit="MB",
            baseline=plain.told(),
        )
    )


async def _uploaded(ground: Ground, served: Served, sizes: Sizes) -> tuple[Curve, dict[str, Any]]:
    curve = Curve(served)
    span_ms = 1000 * sizes.every_s
    drivers = ground.fleet[: sizes.drivers]
    plan = OpenPlan(
        port=served.port,
        tokens=[one.token for one in drivers],
        steps=(Step(len(drivers) / sizes.every_s, sizes.seconds),),
        size=SIZE,
        step_s=sizes.every_s / SIZE,
        began_ms=round(1000 * time.time() - span_ms),
        span_ms=span_ms,
        sample_every_s=sizes.seconds,
        shape="objects",  # what both take
    )
    async with loading(plan) as load:
        sampling = asyncio.create_task(curve.sample(sizes.sample_s))
        told = await load.whole()
        sampling.cancel()
    return curve, told
