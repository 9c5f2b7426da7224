"""Consent comes of one act alone: the driver's own answer to the question."""

import random
from collections.abc import AsyncIterator
from typing import Final

import pytest
from aiohttp import ClientSession

from server.consent.model import ConsentItem
from tests.consent.acts import call, read_gate
from tests.consent.people import new_driver
from tests.consents import NOTICE_BODY, body
from tests.endpoints import ACCOUNTS, POLICIES
from tests.endpoints import CONSENT as ENDPOINTS
from tests.http import serve
from tests.world import World

CALLS: Final = 120
SEEDS: Final = range(5)


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ACCOUNTS, ENDPOINTS, POLICIES) as opened:
        yield opened


@pytest.mark.proves("relog-service:1.3", "qoldau:1-2", "relog-driver-manager-apps:1.2")
@pytest.mark.parametrize("seed", SEEDS)
async def test_no_sequence_of_calls_without_giving_leads_to_given(
    world: World, client: ClientSession, seed: int
) -> None:
    driver = await new_driver(world)
    person, staff = await world.driver_session(driver), await world.session("main_user")
    accepted = {**NOTICE_BODY, "document": "driver_notice"}
    tried = [
        *((person, "POST", f"/v1/me/consents/{item}/withdraw", None) for item in ConsentItem),
        *((person, "POST", "/v1/me/consents", body(item, "declined")) for item in ConsentItem),
        *(
            (staff, "POST", f"/v1/drivers/{driver.member_id}/consents/{item}/request", None)
            for item in ConsentItem
        ),
        *((person, "POST", f"/v1/me/shift/{one}", None) for one in ("start", "resume", "end")),
        *((staff, "POST", "/v1/me/consents", body(item)) for item in ConsentItem),
        (person, "GET", "/v1/me", None),
        (person, "GET", "/v1/session", None),
        (person, "POST", "/v1/me/devices", {"name": "Phone"}),
        (person, "POST", "/v1/me/policy-acceptances", accepted),
        (staff, "POST", f"/v1/drivers/{driver.member_id}/block", {"reason_code": "other"}),
        (staff, "POST", f"/v1/drivers/{driver.member_id}/unblock", None),
    ]
    statuses = set()
    for caller, method, path, sent in random.Random(seed).choices(tried, k=CALLS):  # noqa: S311 - no secret
        statuses.add((await call(client, caller, method, path, sent))[0])

    _, found = await call(client, person, "GET", "/v1/me/consents")
    assert "given" not in {one["state"] for one in found["items"]}
    assert not (await read_gate(world, driver)).is_consented
    assert {200, 201, 403, 409} <= statuses
    assert max(statuses) < 500
