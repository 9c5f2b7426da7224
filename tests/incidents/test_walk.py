"""The story of both registers, told over HTTP with a moved clock: who is told what, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.disclosures import service as disclosures
from server.kit import db
from server.kit.wire import rfc3339
from tests.disclosures.acts import (
    LAT,
    LON,
    People,
    act,
    body_of,
    call,
    drive,
    file_of,
    keep_sessions,
    mine,
    views,
)
from tests.http import Clock
from tests.incidents.acts import (
    HOUR,
    MINUTE,
    assessed,
    end,
    notify,
    read,
    reported,
    scope,
    tell,
    watch,
)
from tests.world import NOW, World

DAY: Final = timedelta(days=1)
STEP: Final = 30 * MINUTE
TOLD: Final = ("disclosure%", "incident%")


@dataclass(slots=True, kw_only=True)
class Story:
    """Moves the clock, lets the jobs run as they would, and writes down who was told what."""

    world: World
    clock: Clock
    names: Mapping[UUID, str]
    lines: list[str] = field(default_factory=list)
    heard: set[UUID] = field(default_factory=set)

    def say(self, line: str) -> None:
        self.lines.append(f"{self._at()} {line}")

    async def until(self, at: datetime, *, step: timedelta = STEP) -> None:
        """Move the clock step by step, each with the jobs that are due each minute."""
        await self.listen()
        while self.clock.at < at:
            self.clock.at = min(self.clock.at + step, at)
            async with db.tenant(self.world.pool, self.world.company_id) as conn:
                await disclosures.tell_unsealed(conn, self.world.company_id, self.clock.at)
            await tell(self.world, self.clock.at)
            await watch(self.world, self.clock.at)
            await self.listen()

    async def listen(self) -> None:
        rows = await self.world.owner.fetch(
            "SELECT notice_id, member_id, kind FROM notice WHERE kind LIKE ANY($1::text[])"
            " ORDER BY member_id, notice_id",
            TOLD,
        )
        new = [row for row in rows if row["notice_id"] not in self.heard]
        self.heard |= {row["notice_id"] for row in new}
        for name, kind in sorted((self.names[row["member_id"]], row["kind"]) for row in new):
            self.say(f"{name} hears {kind}")

    def _at(self) -> str:
        minutes = (self.clock.at - NOW) // MINUTE
        return f"{minutes // 1440}d {minutes // 60 % 24:02}:{minutes % 60:02}"


@pytest.mark.proves("relog-service:4.1c", "qoldau:12")
async def test_from_an_authoritys_demand_to_a_stolen_laptop_nothing_is_silent(
    world: World, client: ClientSession, people: People, clock: Clock
) -> None:
    await keep_sessions(world)
    await drive(client, world, (LAT, LON))
    names = {
        people.driver_id: "driver",
        people.dispatcher_id: "dispatcher",
        people.boss_id: "main user",
    }
    story = Story(world=world, clock=clock, names=names)

    await demanded(story, client, people)
    await stolen(story, client, people)

    print("\n" + "\n".join(story.lines))  # noqa: T201 - the story is to be read
    assert story.lines == STORY


async def demanded(story: Story, client: ClientSession, people: People) -> None:
    """The police demand a track and order secrecy for two days."""
    sealed = rfc3339(NOW + 2 * DAY)
    _, made = await call(
        client,
        "POST",
        "/v1/disclosures",
        people.dispatcher,
        body_of(people, sealed_until=sealed),
    )
    disclosure_id = made["disclosure_id"]
    story.say("dispatcher records it")
    await story.until(NOW + HOUR)
    status, told = await act(client, disclosure_id, "release", people.dispatcher)
    story.say(f"dispatcher releases: {status} {told['code']}")
    status, told = await act(client, disclosure_id, "release", people.boss)
    story.say(f"main user releases: {status} {told['state']}")
    status, body = await file_of(client, disclosure_id, people.boss)
    story.say(f"file: {status}, with the track: {b'43.2381234' in body}")
    await told_driver(story, client, people)
    await story.until(NOW + 2 * DAY - MINUTE)
    await told_driver(story, client, people)
    await story.until(NOW + 2 * DAY)
    await told_driver(story, client, people)


async def told_driver(story: Story, client: ClientSession, people: People) -> None:
    found, looks = await mine(client, people), await views(client, people)
    story.say(f"driver sees {len(found)} disclosures, {len(looks)} looks")


async def stolen(story: Story, client: ClientSession, people: People) -> None:
    """A driver reports that the main user's laptop was stolen; the authority is forgotten."""
    start = story.clock.at
    incident_id = await reported(client, people.driver)
    story.say("driver reports an incident")
    await story.until(start + 25 * HOUR)
    found = await read(client, people, incident_id)
    story.say(f"due {found['authority_due_at']}, {found['state']}")
    at: dict[str, Any] = {"from": rfc3339(NOW), "to": rfc3339(story.clock.at)}
    body = scope(member_id=str(people.boss_id), **at)
    made = await assessed(client, people, incident_id, body)
    story.say(f"assessed: {made['added']} are affected")
    await story.until(start + 26 * HOUR)
    await notify(client, people, incident_id, story.clock.at)
    story.say("the authority is notified")
    again = await assessed(client, people, incident_id, body)
    story.say(f"assessed again: {again['added']} more")
    await story.until(start + 10 * DAY, step=6 * HOUR)
    counts = (await read(client, people, incident_id))["counts"]
    story.say(f"told {counts['told']} of {counts['affected']}")
    status, told = await end(client, people, incident_id)
    story.say(f"closed: {status} {told['state']}")
    await story.until(story.clock.at + 5 * DAY, step=6 * HOUR)


STORY: Final = [
    "0d 00:00 dispatcher records it",
    "0d 00:00 main user hears disclosure_waiting",
    "0d 01:00 dispatcher releases: 403 disclosure-second-person",
    "0d 01:00 main user releases: 200 released",
    "0d 01:00 file: 200, with the track: True",
    "0d 01:00 driver sees 0 disclosures, 0 looks",
    "1d 23:59 driver sees 0 disclosures, 0 looks",
    "2d 00:00 driver hears disclosure_made",
    "2d 00:00 driver sees 1 disclosures, 1 looks",
    "2d 00:00 driver reports an incident",
    "2d 00:00 main user hears incident_opened",
    "2d 12:00 main user hears incident_due",
    "3d 00:00 dispatcher hears incident_overdue",
    "3d 00:00 main user hears incident_overdue",
    "3d 01:00 due 2026-11-25T12:00:00Z, open",
    "3d 01:00 assessed: 2 are affected",
    "3d 01:30 driver hears incident_affected",
    "3d 01:30 main user hears incident_affected",
    "3d 02:00 the authority is notified",
    "3d 02:00 assessed again: 0 more",
    "12d 00:00 told 2 of 2",
    "12d 00:00 closed: 200 closed",
]
