"""A process that uploads one position of each driver by the clock, and notes every answer's time.

Reads a plan as one line of JSON on standard input, connects, says "ready", begins at the next line,
and tells in one line of JSON what was sent when, and when its answer was there.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import uvloop

from bench.http1 import Caller, Origin
from bench.lines import say

DRIVES: Final = 12
STANDS: Final = 2
"""Each drives for so many uploads, then stands for so many: their ``work`` changes as they do."""
_BODY: Final = (
    b'{"columns":{"recorded_at_ms":[%d],"lat":[%.7f],"lon":[%.7f],"speed_mps":[%.1f],'
    b'"heading_deg":[90.0],"accuracy_m":[5.0]}}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanariesPlan:
    port: int
    tokens: Sequence[str]
    """Of one driver each."""
    every_s: float
    """Of each driver."""
    seconds: float
    connections: int


async def upload(plan: CanariesPlan) -> list[dict[str, Any]]:
    origin = Origin(host="127.0.0.1", port=plan.port)
    callers = [await Caller.connected(origin) for _ in range(plan.connections)]
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    began_s = time.monotonic()
    turns = [
        _upload_some(plan, caller, range(place, len(plan.tokens), plan.connections), began_s)
        for place, caller in enumerate(callers)
    ]
    return [told for some in await asyncio.gather(*turns) for told in some]


async def _upload_some(
    plan: CanariesPlan, caller: Caller, drivers: Sequence[int], began_s: float
) -> list[dict[str, Any]]:
    """Upload for these drivers in turn, each when it is due; the connection is theirs alone."""
    told = []
    for turn in range(round(plan.seconds / plan.every_s)):
        for driver in drivers:
            due_s = plan.every_s * (turn + driver / len(plan.tokens))
            await asyncio.sleep(max(0.0, began_s + due_s - time.monotonic()))
            recorded_ms = time.time_ns() // 1_000_000
            body = _body(driver, turn, recorded_ms)
            sent_s = time.monotonic()
            answer = await caller.ask("POST", "/v1/positions", plan.tokens[driver], body)
            told.append(
                {
                    "driver": driver,
                    "recorded_ms": recorded_ms,
                    "sent_s": sent_s,
                    "answered_s": time.monotonic(),
                    "stored": b'"accepted":1' in answer.body,
                }
            )
    return told


def _body(driver: int, turn: int, recorded_ms: int) -> bytes:
    speed_mps = 10.0 if (driver + turn) % (DRIVES + STANDS) < DRIVES else 0.0
    lat, lon = 43.2 + 1e-4 * driver, 76.7 + 1e-4 * turn
    return _BODY % (recorded_ms, lat, lon, speed_mps)


def main() -> None:
    plan = CanariesPlan(**json.loads(sys.stdin.readline()))
    say(json.dumps(uvloop.run(upload(plan))))


if __name__ == "__main__":
    main()
