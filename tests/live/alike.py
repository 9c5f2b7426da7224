"""What screens hear of a driver, in a form in which two drivers can be compared."""

from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from aiohttp import ClientSession

from server.gate import service as gate
from server.kit import db
from tests.http import Clock
from tests.live.screens import LAT, Screen, agree, go_to_work, off_duty, snapshot, upload
from tests.world import Driver, World

ALWAYS: Final = {"scope": "always"}
STOPPED: Final = (
    ("gone", (("epoch", 0),)),
    ("state", (("epoch", 1), ("link", "not_shared"), ("route_id", None), ("work", None))),
    ("snapshot", 1, "not_shared"),
)
"""What is told of a stop, whatever it is."""

Form: TypeAlias = list[tuple[Any, ...]]


def heard(shown: Screen, driver: Driver, *, after: int, since: int) -> Form:
    """Return what the screen was told of the driver from the ``after``-th event on.

    The counter counts from ``since``.
    """
    form: Form = []
    for event in shown.events[after:]:
        for row in event.data.get("drivers", [event.data]):
            if row.get("driver_id") == str(driver.member_id):
                known = {name: value for name, value in row.items() if name != "driver_id"}
                known["epoch"] -= since
                form.append((event.name, tuple(sorted(known.items()))))
    return form


async def sharing(world: World, driver: Driver) -> int:
    """Return what the gate's own counters come to."""
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await gate.read(conn, world.company_id, driver.member_id)
    return found.epoch + found.rev


class Others:
    """Another driver, who moves: what the screen hears of them comes after all that was before."""

    def __init__(self, client: ClientSession, driver: Driver, clock: Clock) -> None:
        self._client = client
        self._driver = driver
        self._clock = clock
        self._moves = 0

    async def heard_on(self, shown: Screen) -> None:
        """Return when the screen was told all that happened until now."""
        self._moves += 1
        lat = LAT - self._moves / 1000
        self._clock.at += timedelta(milliseconds=1)
        await upload(self._client, self._driver, self._clock.at, lat=lat)
        await shown.wait_for("pos", driver_id=str(self._driver.member_id), lat=lat)


async def at_work(client: ClientSession, world: World, clock: Clock) -> tuple[Driver, str]:
    driver = await off_duty(world)
    session = await agree(client, world, driver)
    await go_to_work(client, clock, driver, session)
    return driver, session


async def epoch_of(client: ClientSession, dispatcher: str, driver_id: UUID) -> int:
    epoch: int = (await snapshot(client, dispatcher))[str(driver_id)]["epoch"]
    return epoch


async def act_of_shift(client: ClientSession, session: str) -> str | None:
    """Return what brings the driver back to work; None for who still is."""
    headers = {"Authorization": f"Bearer {session}"}
    async with client.get("/v1/me/shift", headers=headers) as answer:
        state = (await answer.json())["state"]
    return {"paused": "shift/resume", "off": "shift/start"}.get(state)


async def window_of(world: World, driver: Driver) -> list[tuple[Any, ...]]:
    rows = await world.owner.fetch(
        "SELECT window_id, expires_at FROM recording_window WHERE driver_id = $1", driver.member_id
    )
    return [tuple(row) for row in rows]
