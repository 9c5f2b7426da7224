"""Everything that was acknowledged against what is stored, and some of it against what is read."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from bench.fleet import FleetDriver, log_in
from bench.http1 import Caller, Origin
from bench.openload import OpenPlan
from server.kit.wire import rfc3339
from tests.proofs import Progress
from tests.stage import Stage

HOUR_MS: Final = 3_600_000
OK: Final = 200


@dataclass(slots=True)
class Kept:
    """In positions."""

    acknowledged: int = 0
    lost: int = 0
    """Acknowledged, and not stored."""
    unasked: int = 0
    """Stored, although neither acknowledged nor ever sent: none, or something is doubled."""
    read: int = 0
    """Of some drivers, what they read of themselves over HTTP."""
    read_lost: int = 0
    read_doubled: int = 0


async def check(
    at: Stage,
    plan: OpenPlan,
    drivers: Sequence[FleetDriver],
    missing: Sequence[Sequence[int]],
    *,
    readers: int,
) -> Kept:
    """Count every driver's positions in the database; read some drivers' whole time over HTTP.

    An upload that was sent and not acknowledged may be stored or not.
    """
    kept = Kept()
    rows = await at.owner.fetch("SELECT driver_id, sum(count) FROM chunk GROUP BY driver_id")
    stored = {driver_id: int(count) for driver_id, count in rows}
    turns = [
        turns_of(plan, place, len(drivers), frozenset(missing[place]))
        for place in range(len(drivers))
    ]
    for driver, sent, absent in zip(drivers, turns, missing, strict=True):
        acknowledged = plan.size * len(sent)
        there = stored.get(driver.driver_id, 0)
        kept.acknowledged += acknowledged
        kept.lost += max(0, acknowledged - there)
        kept.unasked += max(0, there - acknowledged - plan.size * len(absent))
    progress = Progress("drivers read back", readers)
    caller = await Caller.connected(Origin(host="127.0.0.1", port=plan.port))
    for place in range(0, len(drivers), max(1, len(drivers) // readers)):
        await _read_back(at, caller, kept, plan, drivers[place], turns[place], place, len(drivers))
        progress.step()
    caller.close()
    return kept


def turns_of(plan: OpenPlan, place: int, drivers: int, missing: frozenset[int]) -> list[int]:
    """Return the numbers of the uploads of this driver that were acknowledged."""
    whole = sum(int(step.rate * step.seconds) for step in plan.steps)
    count = (whole - place + drivers - 1) // drivers
    return [number for number in range(count) if number not in missing]


async def _read_back(
    at: Stage,
    caller: Caller,
    kept: Kept,
    plan: OpenPlan,
    driver: FleetDriver,
    sent: Sequence[int],
    place: int,
    drivers: int,
) -> None:
    schedule = plan.schedule()
    wanted = {
        schedule.first_ms(number, place / drivers) + round(1000 * plan.step_s * one)
        for number in sent
        for one in range(plan.size)
    }
    if not wanted:
        return
    session = await log_in(at, driver)
    found: list[int] = []
    for since_ms in range(min(wanted), max(wanted) + 1, HOUR_MS):
        found += await _hour(caller, driver, session, since_ms)
    kept.read += len(found)
    kept.read_lost += len(wanted - set(found))
    kept.read_doubled += len(found) - len(set(found))


async def _hour(caller: Caller, driver: FleetDriver, session: str, since_ms: int) -> Iterator[int]:
    since = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=since_ms)
    until = since + timedelta(hours=1)
    path = (
        f"/v1/drivers/{driver.driver_id}/track"
        f"?from={quote(rfc3339(since))}&to={quote(rfc3339(until))}"
    )
    answer = await caller.ask("GET", path, session)
    if answer.status != OK:
        raise RuntimeError(f"a track was answered with {answer.status}")
    times = json.loads(answer.body)["columns"]["recorded_at"]
    return (round(1000 * datetime.fromisoformat(one).timestamp()) for one in times)
