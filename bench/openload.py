"""A process that uploads by the clock: so many a second, however long the answers take.

Reads a plan as one line of JSON on standard input, connects, says "ready", begins at the next
line, and tells what it saw as lines of JSON: a sample now and then, the whole at the end.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import uvloop

from bench.bodies import Shape
from bench.http1 import Origin
from bench.lines import say
from bench.phones import Fleet, Schedule, Step
from bench.tally import Tally
from bench.tracks import tracks

FINISH_S_MAX: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPlan:
    port: int
    tokens: Sequence[str]
    """One for each connection; a token may stand there several times."""
    steps: Sequence[Step]
    size: int
    step_s: float
    """Between two positions of an upload."""
    began_ms: int
    span_ms: float
    """Of a driver's own time, between one upload and the next."""
    sample_every_s: float
    shape: Shape | None = None
    """None: every other driver sends columns."""

    def schedule(self) -> Schedule:
        return Schedule(
            steps=self.steps, size=self.size, began_ms=self.began_ms, span_ms=self.span_ms
        )


async def upload(plan: OpenPlan) -> None:
    fleet = Fleet(
        Origin(host="127.0.0.1", port=plan.port),
        plan.schedule(),
        plan.tokens,
        tracks(len(plan.tokens), size=plan.size, shape=plan.shape, step_s=plan.step_s),
    )
    await fleet.connect()
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    whole = Tally()
    began_s, cpu_began_s = time.monotonic(), _cpu_s()
    parent = os.getppid()  # whose death is the end of the load, too
    running = fleet.run(lambda: os.getppid() != parent)
    await asyncio.gather(running, _sample(fleet, whole, plan))
    await fleet.finish(FINISH_S_MAX)
    whole.add(fleet.taken())
    ended: dict[str, Any] = whole.told() | {
        "seconds": time.monotonic() - began_s,
        "cpu_s": _cpu_s() - cpu_began_s,
        "missing": [phone.missing for phone in fleet.phones],
    }
    say(json.dumps({"whole": ended}))


async def _sample(fleet: Fleet, whole: Tally, plan: OpenPlan) -> None:
    """Tell what came of each stretch of the schedule, as it ends."""
    began_s = time.monotonic()
    every_s = plan.sample_every_s
    for number in range(1, round(fleet.schedule.seconds / every_s) + 1):
        await asyncio.sleep(max(0.0, began_s + number * every_s - time.monotonic()))
        tally = fleet.taken()
        whole.add(tally)
        told = tally.told() | {
            "at_s": number * every_s,
            "waiting": sum(phone.busy for phone in fleet.phones),
        }
        say(json.dumps({"sample": told}))


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system


def main() -> None:
    told = json.loads(sys.stdin.readline())
    told["steps"] = [Step(*step) for step in told["steps"]]
    uvloop.run(upload(OpenPlan(**told)))


if __name__ == "__main__":
    main()
