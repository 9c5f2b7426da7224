"""Three times as many uploads as the server can take, and what it makes of them.

Its peak is what a closed loop gets stored. Then by the clock: half of that for calm, three times
as much, and half again. Of the overload it is asked what was stored, how soon the rest was told
no, and how soon afterwards all is as before. No phone sends a refused upload again.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from statistics import median
from typing import Any, Final

from bench.fleet import ON_SHIFT, Ground
from bench.load import Plan
from bench.loads import loading
from bench.openload import OpenPlan
from bench.phones import Step
from tests.proofs import Report, Row, at_least, at_most

SIZE: Final = 10
TIMES: Final = 3.0
CALM: Final = 0.5
GOODPUT_MIN: Final = 0.9
REFUSED_MS_MAX: Final = 50.0
CALM_MS_MAX: Final = 100.0
RECOVERED_S_MAX: Final = 10.0
SAMPLE_S: Final = 1.0
CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    peak_uploads_each: int
    connections: int
    """Of the open loop: far more than the server has places for."""
    calm_s: float
    overload_s: float
    after_s: float


SIZES: Final = {
    "smoke": Sizes(peak_uploads_each=20, connections=200, calm_s=1, overload_s=1, after_s=1),
    "full": Sizes(peak_uploads_each=40, connections=6_000, calm_s=10, overload_s=20, after_s=20),
}


async def measure(ground: Ground, report: Report) -> None:
    sizes = SIZES[ground.size]
    peak = await _peak(ground, sizes)
    samples = await _overloaded(ground, sizes, peak)
    began = int(sizes.calm_s / SAMPLE_S)
    ended = began + int(sizes.overload_s / SAMPLE_S)
    during, after = samples[began:ended], samples[ended:]
    goodput = sum(one["stored"] for one in during) / sizes.overload_s
    asked = sum(one["due"] for one in during) / sizes.overload_s
    refused = sum(one["answered"] - one["stored"] for one in during)
    refused_ms = [one["refused_p99_ms"] or 0.0 for one in during]
    calm_after_s = recovered_s(after)
    report.add(
        at_least(
            "overload: stored uploads, of the peak",
            goodput / peak,
            GOODPUT_MIN,
            unit="x",
            baseline=1,
            note=f"{goodput:.0f}/s stored of {asked:.0f}/s due for {sizes.overload_s:g} s over"
            f" {sizes.connections} connections; baseline: the peak, {peak:.0f}/s",
        )
    )
    statuses = ", ".join(sorted({name for one in during for name in one["statuses"]}))
    row = at_most(
        "overload: p99 until an upload is refused",
        max(refused_ms),
        REFUSED_MS_MAX,
        unit="ms",
        note=f"from sending, of the worst second (the middle one: {median(refused_ms):.0f} ms);"
        f" {refused} refused (answers {statuses}); "
        f"{sum(one['overdue'] for one in during)} never sent, their connection still waiting",
    )
    report.add(row)
    stored_ms = [one["p99_ms"] for one in during if one["p99_ms"] is not None]
    report.add(
        Row(
            figure="overload: p99 of what is stored",
            value=max(stored_ms, default=0.0),
            unit="ms",
            note="from the time it was due, of the worst second",
        )
    )
    report.add(
        Row(
            figure=f"overload: until p99 is {CALM_MS_MAX:g} ms again",
            value="never" if calm_after_s is None else calm_after_s,
            unit="s",
            target=f"<= {RECOVERED_S_MAX:g}",
            met=calm_after_s is not None and calm_after_s <= RECOVERED_S_MAX,
            note=f"at {CALM:g} of the peak; before the overload p99 was"
            f" {max(one['p99_ms'] or 0 for one in samples[:began])} ms",
        )
    )


async def _peak(ground: Ground, sizes: Sizes) -> float:
    plan = Plan(
        port=ground.ours.port,
        connections=CONNECTIONS,
        shape="columns",
        size=SIZE,
        uploads_each=sizes.peak_uploads_each,
        began=(datetime.now(UTC) - timedelta(hours=4)).isoformat(),
        seed=20_000,
        tokens=[one.token for one in ground.fleet],
    )
    async with loading(plan) as load:
        outcome = await load.upload()
    return outcome.uploads / outcome.seconds


async def _overloaded(ground: Ground, sizes: Sizes, peak: float) -> list[dict[str, Any]]:
    tokens = list(islice(cycle(one.token for one in ground.fleet), sizes.connections))
    # Each connection drives through its own time, so that no two send the same.
    span_ms = 1000.0 * SIZE
    began_s = time.time() - (ON_SHIFT - timedelta(hours=1)).total_seconds()
    plan = OpenPlan(
        port=ground.ours.port,
        tokens=tokens,
        steps=(
            Step(CALM * peak, sizes.calm_s),
            Step(TIMES * peak, sizes.overload_s),
            Step(CALM * peak, sizes.after_s),
        ),
        size=SIZE,
        step_s=1.0,
        began_ms=round(1000 * began_s),
        span_ms=span_ms,
        sample_every_s=SAMPLE_S,
        shape="columns",
    )
    async with loading(plan) as load:
        return [sample async for sample in load.samples() if "at_s" in sample]


def recovered_s(after: list[dict[str, Any]]) -> float | None:
    """Return from which second on p99 is as it should be to the end."""
    slow = [
        place
        for place, one in enumerate(after, start=1)
        if one["p99_ms"] is None or one["p99_ms"] > CALM_MS_MAX
    ]
    last_slow = slow[-1] if slow else 0
    return None if last_slow == len(after) else last_slow * SAMPLE_S
