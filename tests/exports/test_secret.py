"""What an authority ordered to keep secret is in no package before its day, and in each then."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from server.export_files import reading
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from tests.conftest import Databases
from tests.disclosures.acts import (
    DAY,
    LAT,
    LON,
    ORDER,
    People,
    act,
    drive,
    file_of,
    keep_sessions,
    people_of,
    recorded,
    released,
    served,
)
from tests.exports.given import concern
from tests.exports.made import files, package, tables
from tests.exports.test_completeness import text_of
from tests.http import Clock
from tests.world import NOW, World

UNTIL: Final = NOW + 10 * DAY
BEFORE: Final = UNTIL - timedelta(microseconds=1)
OF_IT: Final = ["disclosure_recorded", "disclosure_released", "disclosure_file_made"]
RECIPIENT: Final = str(ORDER["recipient"])
Told = dict[str, list[dict[str, Any]]]


@pytest.fixture
async def people(world: World) -> People:
    return await people_of(world)


@pytest.fixture
async def client(world: World, databases: Databases) -> AsyncIterator[ClientSession]:
    async with served(world, databases, Clock()) as opened:
        yield opened


@pytest.fixture
async def enrolled(world: World) -> None:
    """Without it nobody can read which disclosure an entry of the ledger is of."""
    async with db.tenant(world.pool, world.company_id) as conn:
        await ledger.enrol(conn, world.vault, world.company_id, world.driver.member_id, NOW)


async def opened(world: World, at: datetime) -> tuple[Told, str]:
    """Make a package at that time; return its tables, and all that can be read in it."""
    data = files(await package(world, world.driver.member_id, Clock(at)))
    return tables(data), text_of(data)


def acts(told: Told) -> list[str]:
    return [one["act"] for one in told["ledger_entry"] if one["act"].startswith("disclosure")]


def looks(told: Told) -> list[str]:
    return [one["purpose"] for one in told["location_read"] if one["purpose"] == "disclosure"]


@pytest.mark.usefixtures("enrolled")
@pytest.mark.parametrize("at", [NOW, BEFORE])
async def test_before_its_day_no_package_tells_of_a_sealed_disclosure(
    world: World, client: ClientSession, people: People, at: datetime
) -> None:
    await keep_sessions(world)
    await drive(client, world, (LAT, LON))
    disclosure_id = await released(client, people, sealed_until=rfc3339(UNTIL))
    assert (await file_of(client, disclosure_id, people.boss))[0] == 200

    told, everything = await opened(world, at)

    assert (told["disclosure"], told["disclosure_file"], acts(told), looks(told)) == (
        [],
        [],
        [],
        [],
    )
    assert disclosure_id not in everything
    assert RECIPIENT not in everything
    # The control: they are there, and the very same rows stand in the package of the day.
    told, everything = await opened(world, UNTIL)
    assert [one["disclosure_id"] for one in told["disclosure"]] == [disclosure_id]
    assert [one["made_by"] for one in told["disclosure_file"]] == ["Boss"]
    assert (acts(told), looks(told)) == (OF_IT, ["disclosure"])
    assert RECIPIENT in everything


@pytest.mark.usefixtures("enrolled")
async def test_what_is_not_sealed_is_told_at_once_beside_what_is(
    world: World, client: ClientSession, people: People
) -> None:
    await released(client, people, sealed_until=rfc3339(UNTIL))
    shown = await released(client, people)

    told, _ = await opened(world, NOW)

    assert [one["disclosure_id"] for one in told["disclosure"]] == [shown]
    assert acts(told) == OF_IT[:2]
    assert {json.dumps(one["detail"]) for one in told["ledger_entry"] if one["act"] in OF_IT} == {
        json.dumps({"disclosure_id": shown})
    }


async def test_a_sealed_one_that_was_refused_is_told_by_the_ledger_on_its_day(
    world: World, client: ClientSession, people: People
) -> None:
    refused = await recorded(client, people, sealed_until=rfc3339(UNTIL))
    assert (await act(client, refused, "refuse", people.boss))[0] == 200

    before, _ = await opened(world, BEFORE)
    after, _ = await opened(world, UNTIL)

    assert (acts(before), before["disclosure"]) == ([], [])
    assert (acts(after), after["disclosure"]) == (["disclosure_recorded", "disclosure_refused"], [])


async def test_control_without_the_guard_the_ledger_would_tell(
    world: World, client: ClientSession, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await released(client, people, sealed_until=rfc3339(UNTIL))
    monkeypatch.setattr(reading, "OF_DISCLOSURES", frozenset())

    told, _ = await opened(world, NOW)

    assert acts(told) == OF_IT[:2]


async def test_an_incident_is_told_once_its_notice_is(world: World) -> None:
    await concern(world, world.driver.member_id, told=False)
    told = await concern(world, world.driver.member_id)

    found, _ = await opened(world, NOW)

    assert [one["incident_id"] for one in found["incident_member"]] == [str(told)]
