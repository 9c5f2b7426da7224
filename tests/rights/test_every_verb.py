"""Whatever a person does with their data, themself or by letter, is done, and in the ledger."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession, web

from server.corrections.web import ENDPOINTS as CORRECTING
from server.kit.wire import rfc3339
from server.life.web import ENDPOINTS as LIFE
from server.person_requests.web import ENDPOINTS as REQUESTS
from server.track_deletion.web import COMMITTER_DSN
from server.track_deletion.web import ENDPOINTS as DELETING
from tests.conftest import Databases
from tests.endpoints import TRACKING
from tests.http import bearer, serve
from tests.told import last_entry
from tests.world import NOW, World, add_member, open_session, step_up

HOUR = timedelta(hours=1)


@dataclass
class Stage:
    world: World
    client: ClientSession
    driver: str = field(repr=False)
    dispatcher: str = field(repr=False)

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, token: str = ""
    ) -> Any:
        headers = bearer(token or self.driver)
        async with self.client.request(method, path, json=body, headers=headers) as answer:
            assert answer.status in {200, 201}, await answer.text()
            return await answer.json()


@pytest.fixture
async def stage(world: World, databases: Databases) -> AsyncIterator[Stage]:
    add = (world.vault, world.pool, world.company_id)
    dispatcher = await add_member(*add, role="dispatcher")
    driver = await world.driver_session()
    await step_up(world.pool, driver)

    def prepare(app: web.Application) -> None:
        app[COMMITTER_DSN] = databases.main

    async with serve(
        world, CORRECTING, LIFE, REQUESTS, DELETING, TRACKING, prepare=prepare
    ) as client:
        yield Stage(
            world=world,
            client=client,
            driver=driver,
            dispatcher=await open_session(world.pool, world.company_id, dispatcher),
        )


@pytest.mark.proves("relog-service:5.2")
async def test_each_is_done_and_the_ledger_says_by_whom_and_how(stage: Stage) -> None:
    world = stage.world

    changed = await stage.call("PATCH", "/v1/me", {"name": "Aidos Bek"})
    assert changed["name"] == "Aidos Bek"
    act, by, facts = await last_entry(world)
    assert (act, by, facts["source"]) == ("data_corrected", "driver", "self")

    span = {"from": rfc3339(NOW - 2 * HOUR), "to": rfc3339(NOW - HOUR)}
    query = "&".join(f"{name}={value}" for name, value in span.items())
    deleted = await stage.call("DELETE", f"/v1/me/track?{query}")
    assert deleted["retained"] == []
    assert (await last_entry(world))[:2] == ("track_deleted", "driver")

    disabled = await stage.call("POST", "/v1/me/disable", {})
    assert disabled["state"] == "blocked"
    assert (await last_entry(world))[:2] == ("member_blocked", "driver")

    asked = {
        "driver_id": str(world.driver.member_id),
        "kind": "correction",
        "channel": "email",
        "received_at": rfc3339(NOW - HOUR),
        "text": "My name is spelled Bekov.",
    }
    await stage.call("POST", "/v1/person-requests", asked, token=stage.dispatcher)
    assert [one["channel"] for one in (await stage.call("GET", "/v1/me/requests"))["items"]] == [
        "email"
    ]
    act, by, facts = await last_entry(world)
    assert (act, by) == ("person_request_recorded", "dispatcher")
    assert facts["channel"] == "email"
