"""What a person is told is kept of them: all that the catalogue knows, and how much of it."""

from datetime import timedelta
from typing import Any

import pytest

from server.corrections.model import CODES_COUNTED
from server.credentials.access import Access
from server.credentials.model import Role
from server.disclosures import model as disclosures
from server.disclosures.web import list_disclosures
from server.exports import model as exports
from server.exports.web import ENDPOINTS as EXPORTS
from server.incidents import model as incidents
from server.kit.api import Endpoint
from server.links import model as links
from server.passwords import model as passwords
from server.reads.retention import READS_KEPT
from server.rights.kept import GROUNDS, Column, KeptDays, kept_of
from server.rights.web import ENDPOINTS as RIGHTS
from server.stop_events import model as stop_events
from server.tracking.model import LATEST_KEPT_S
from tests.data_map.catalogue import columns, read
from tests.data_map.words import CATEGORIES, RETENTIONS
from tests.erasure.person import add_person
from tests.http import bearer, serve
from tests.world import World, open_session


async def data_map(world: World, token: str) -> list[dict[str, Any]]:
    async with (
        serve(world, RIGHTS) as client,
        client.get("/v1/me/data-map", headers=bearer(token)) as answer,
    ):
        assert answer.status == 200
        found: list[dict[str, Any]] = (await answer.json())["items"]
        return found


@pytest.mark.proves("relog-driver-manager-apps:4.1")
async def test_every_personal_column_of_main_is_in_it_with_what_it_is_for(world: World) -> None:
    found = await data_map(world, await world.driver_session())

    mapped = [read(one) for one in await columns(world.owner, "main")]
    personal = {(one.column.table, one.column.name) for one in mapped if one.is_personal}
    assert {(one["table"], name) for one in found for name in one["columns"]} == personal
    assert all(one["purpose"] and one["legal_basis"] for one in found)


def test_every_category_has_a_purpose_and_a_legal_basis() -> None:
    assert GROUNDS.keys() == CATEGORIES.keys()


def test_a_category_without_a_purpose_fails() -> None:
    comment = "class=personal/health form=clear retention=erasure"
    chosen = KeptDays(track_days=1, report_days=1, plan_days=1)

    with pytest.raises(KeyError):
        kept_of([Column(table="new", name="column", comment=comment)], {}, chosen)


async def test_it_counts_what_is_the_callers_own(world: World) -> None:
    person = await add_person(world)
    theirs = await open_session(world.pool, world.company_id, person.driver_id)
    before = {one["table"]: one["rows"] for one in await data_map(world, theirs)}

    for table, rows in before.items():
        if rows is None:
            continue
        column = "member_id" if table in await tables_with(world, "member_id") else "driver_id"
        count = f"SELECT count(*) FROM {table} WHERE {column} = $1"  # noqa: S608 - of the catalogue
        assert rows == await world.owner.fetchval(count, person.driver_id), table
    assert before["member"] == 1
    assert (before["chunk"] or 0) > 0
    assert (before["notice"] or 0) > 0


async def tables_with(world: World, column: str) -> set[str]:
    rows = await world.owner.fetch(
        "SELECT table_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name = $1",
        column,
    )
    return {row["table_name"] for row in rows}


async def test_how_long_goes_by_what_the_company_chose(world: World) -> None:
    await world.owner.execute("UPDATE company SET track_days = 7, report_days = NULL")
    found = await data_map(world, await world.driver_session())

    kept = {(one["table"], one["retention"]): one["kept_s"] for one in found}
    assert kept["chunk", "track_days"] == 7 * 86_400
    assert kept["latest_position", "latest"] == 900
    assert kept["plan_fact_report", "report_days"] is None
    assert kept["member", "erasure"] is None


async def test_what_goes_by_its_age_says_how_long(world: World) -> None:
    await world.owner.execute("UPDATE company SET track_days = 7")
    found = await data_map(world, await world.driver_session())

    by_age = {name for name, one in RETENTIONS.items() if one.by_age}
    silent = {one["retention"] for one in found if one["kept_s"] is None}
    assert not by_age & silent


def test_what_it_says_of_ages_is_what_each_feature_goes_by() -> None:
    chosen = KeptDays(track_days=None, report_days=None, plan_days=None)
    ages = {
        "stop_events": stop_events.KEPT,
        "reads": READS_KEPT,
        "links": links.KEPT,
        "latest": timedelta(seconds=LATEST_KEPT_S),
        "contact_change": CODES_COUNTED,
        "password_reset": passwords.CODES_COUNTED,
        "exports": exports.KEPT,
        "disclosures": disclosures.KEPT,
        "incidents": incidents.KEPT,
    }

    said = {name: chosen.after(name) for name in RETENTIONS}

    assert {name: age for name, age in said.items() if age is not None} == ages


def roles_of(one: Endpoint) -> frozenset[Role]:
    assert isinstance(one.access, Access)
    return one.access.roles


async def test_who_sees_what_is_who_may_ask_for_it(world: World) -> None:
    found = {one["category"]: one for one in await data_map(world, await world.driver_session())}

    assert roles_of(list_disclosures) == set(found["disclosure"]["seen_by"])
    asking = set().union(*(roles_of(one) for one in EXPORTS))
    assert (asking, found["export"]["seen_by"]) == ({Role.DRIVER}, [])


async def test_from_when_to_when_it_is(world: World) -> None:
    found = {one["table"]: one for one in await data_map(world, await world.driver_session())}

    assert found["shift"]["from"] == found["shift"]["to"]
    assert found["shift"]["rows"] == 1
    assert (found["alert"]["rows"], found["alert"]["from"]) == (0, None)
