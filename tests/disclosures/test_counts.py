"""What an authority ordered to keep secret is in no number that a driver is told."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from server.disclosures import service
from server.erasure_preview.web import ENDPOINTS as PREVIEW
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.rights.web import ENDPOINTS as RIGHTS
from tests.disclosures.acts import DAY, People, act, call, keep_sessions, recorded, released
from tests.http import Clock, serve
from tests.world import NOW, World

UNTIL: Final = NOW + 10 * DAY
MOMENT: Final = timedelta(microseconds=1)


@pytest.fixture
async def numbers(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    """The pages on which a driver is told how much there is."""
    async with serve(world, RIGHTS, PREVIEW, clock=clock) as opened:
        yield opened


@pytest.fixture
async def enrolled(world: World) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        await ledger.enrol(conn, world.vault, world.company_id, world.driver.member_id, NOW)


async def shown(numbers: ClientSession, people: People) -> tuple[Any, Any]:
    """Return the driver's data map, and the categories of what an erasure would do."""
    status, kept = await call(numbers, "GET", "/v1/me/data-map", people.driver)
    assert status == 200, kept
    path = f"/v1/erasure/preview?driver_id={people.driver_id}"
    status, preview = await call(numbers, "GET", path, people.driver)
    assert status == 200, preview
    # A notice is told by itself, and counts from then on.
    rows = [
        (one["table"], one["rows"], one["from"], one["to"])
        for one in kept["items"]
        if not one["table"].startswith("notice")
    ]
    lines = [(one["code"], one["rows"]) for one in preview["categories"] if one["code"] != "notice"]
    return rows, lines


@pytest.mark.usefixtures("enrolled")
async def test_no_number_tells_of_what_is_sealed_before_its_day(
    world: World, client: ClientSession, numbers: ClientSession, people: People, clock: Clock
) -> None:
    await keep_sessions(world)
    await released(client, people)  # what is told, so that there is something to count
    before = await shown(numbers, people)

    await released(client, people, sealed_until=rfc3339(UNTIL))
    refused = await recorded(client, people, sealed_until=rfc3339(UNTIL))
    assert (await act(client, refused, "refuse", people.boss))[0] == 200

    for at in (NOW, UNTIL - MOMENT):
        clock.at = at
        assert await shown(numbers, people) == before
    # The control: on its day it is counted, and the same again without a seal was at once.
    clock.at = UNTIL
    async with db.tenant(world.pool, world.company_id) as conn:
        assert await service.tell_unsealed(conn, world.company_id, UNTIL) == 1
    after = await shown(numbers, people)
    assert after != before
    assert next(rows for table, rows, *_ in after[0] if table == "disclosure") == 2


@pytest.mark.usefixtures("enrolled")
async def test_control_without_a_seal_it_is_counted_at_once(
    client: ClientSession, numbers: ClientSession, people: People
) -> None:
    before = await shown(numbers, people)

    await released(client, people)

    after = await shown(numbers, people)
    assert [one for one in after[0] if one not in before[0]]
    entries = [
        next(rows for code, rows in found[1] if code == "ledger_entries")
        for found in (before, after)
    ]
    assert entries[1] == entries[0] + 2
