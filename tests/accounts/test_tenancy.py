"""Companies see nothing of each other; a dump of `main` tells nobody's name."""

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from server.accounts import service
from server.gate import service as gate
from server.kit import db
from server.kit.ids import uuid7
from server.vault.model import Category
from tests import consents
from tests.accounts.people import EMAIL, PHONE, accounts, add, join, log_in, token_of
from tests.conftest import Databases
from tests.http import bearer
from tests.world import NOW, World, add_company, add_driver, add_member, open_session, step_up

if TYPE_CHECKING:
    import asyncpg

ACROSS_COMPANIES = {"login_directory"}
CANARIES = ("Aigerim Canaryova", "77011234567", "7011234567", EMAIL, "Canary phone")


async def tables(owner: "asyncpg.Connection[asyncpg.Record]") -> set[str]:
    """Return every table that the application's role may read and that has companies."""
    rows = await owner.fetch(
        """
        SELECT c.relname FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
           AND has_table_privilege('jolda_app', c.oid, 'SELECT')
        """
    )
    return {row["relname"] for row in rows}


async def test_without_a_company_no_table_shows_a_row(world: World) -> None:
    async with accounts(world) as client:
        await join(client, await world.session("dispatcher"))
        await add(
            client, "/v1/vehicles", await world.session("dispatcher"), {"name": "V", "plate": "P"}
        )
    found = await tables(world.owner)
    filled = 0

    async with world.pool.acquire() as conn:
        for table in sorted(found - ACROSS_COMPANIES):
            count = f"SELECT count(*) FROM {table}"  # noqa: S608 - names from the catalogue
            filled += await world.owner.fetchval(count) > 0
            assert await conn.fetchval(count) == 0, table

    assert len(found) >= 15
    assert filled >= 6


@pytest.mark.proves("relog-service:2.3", "gocargo:collection-and-use-2-sharing")
async def test_another_company_sees_no_row_of_this_one_in_any_table(world: World) -> None:
    other = await add_company(world.vault, world.owner)

    async with db.tenant(world.pool, other) as conn:
        for table in sorted(await tables(world.owner) - ACROSS_COMPANIES):
            count = f"SELECT count(*) FROM {table} WHERE company_id <> $1"  # noqa: S608 - as above
            assert await conn.fetchval(count, other) == 0, table


async def test_the_job_runner_knows_which_companies_there_are_and_nothing_else(
    world: World, databases: Databases
) -> None:
    other = await add_company(world.vault, world.owner)
    jobs = await db.connect(databases.main, role=db.ROLE_JOBS)
    try:
        assert await service.every_company(jobs) == sorted([world.company_id, other])
        for statement in ("SELECT name FROM company", "SELECT 1 FROM member"):
            with pytest.raises(Exception, match="permission denied"):
                await jobs.execute(statement)
    finally:
        await jobs.close()
    async with world.pool.acquire() as conn:
        assert await service.every_company(conn) == []


@pytest.mark.proves(
    "relog-service:2.3", "gocargo:collection-and-use-2-sharing", "cargotechservice:3.1"
)
async def test_every_table_with_companies_forces_row_level_security(
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    rows = await owner.fetch(
        """
        SELECT c.relname FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
           AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
        """
    )

    assert [row["relname"] for row in rows] == []


async def test_the_roles_the_server_acts_as_own_nothing_and_bypass_nothing(
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    owned = await owner.fetchval(
        """
        SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
         WHERE r.rolname LIKE 'jolda\\_%'
        """
    )
    strong = await owner.fetchval(
        """
        SELECT count(*) FROM pg_roles
         WHERE rolname LIKE 'jolda\\_%'
           AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolcanlogin)
        """
    )

    assert (owned, strong) == (0, 0)


async def test_a_company_writes_only_its_own_rows_of_the_login_directory(world: World) -> None:
    other = await add_company(world.vault, world.owner)
    insert = "INSERT INTO login_directory (login_hash, company_id) VALUES ('x', $1)"

    async with db.tenant(world.pool, world.company_id) as conn:
        await conn.execute(insert, world.company_id)
    with pytest.raises(Exception, match="row-level security"):
        async with db.tenant(world.pool, world.company_id) as conn:
            await conn.execute(insert, other)
    async with db.tenant(world.pool, other) as conn:
        await conn.execute("DELETE FROM login_directory WHERE company_id = $1", world.company_id)

    assert await world.owner.fetchval("SELECT count(*) FROM login_directory") == 1


async def test_a_foreign_id_answers_as_one_that_is_not_there(world: World) -> None:
    other = await add_company(world.vault, world.owner)
    foreign = await add_driver(world.vault, world.pool, other)
    chief = await add_member(world.vault, world.pool, other, role="main_user")
    async with accounts(world) as client:
        made = await add(
            client,
            "/v1/api-tokens",
            await step_up(world.pool, await open_session(world.pool, other, chief)),
            {"name": "T", "scopes": ["routes:read"]},
        )
        ours = bearer(await world.session("main_user"))
        driver = bearer(await world.driver_session())
        for method, path, theirs, headers in (
            ("POST", "/v1/drivers/{}/invitation", foreign.member_id, ours),
            ("DELETE", "/v1/api-tokens/{}", UUID(made["api_token_id"]), ours),
            ("DELETE", "/v1/me/devices/{}", foreign.device_id, driver),
        ):
            answers = [
                await client.request(method, path.format(one), headers=headers)
                for one in (theirs, uuid7())
            ]
            assert {answer.status for answer in answers} == {404}, path
            assert len({await answer.read() for answer in answers}) == 1, path
        for path in ("/v1/vehicles", "/v1/api-tokens"):
            listed = await (await client.get(path, headers=ours)).json()
            assert listed == {"items": [], "next_cursor": None}


@pytest.mark.proves("relog-driver-manager-apps:1.1", "relog-driver-manager-apps:3.1.2")
async def test_one_phone_in_two_companies_is_two_members_with_all_of_their_own(
    world: World,
) -> None:
    other = await add_company(world.vault, world.owner)
    chief = await add_member(world.vault, world.pool, other, role="main_user")
    staff = {
        world.company_id: await world.session("main_user"),
        other: await open_session(world.pool, other, chief),
    }
    members, devices, keys = [], [], []
    async with accounts(world) as client:
        for company_id, token in staff.items():
            joined = await join(client, token)
            member_id = UUID(joined["driver"]["driver_id"])
            person = await token_of(await log_in(client, company_id=str(company_id)))
            path, known = "/v1/me/devices", {"name": "Pixel", "imei": "356938035643809"}
            told = await client.post(path, json=known, headers=bearer(person))
            assert told.status == 422  # nothing that the phone itself is known by is taken
            devices.append((await add(client, path, person, {"name": "Pixel"}))["device_id"])
            key = await world.vault.key(company_id, member_id, Category.TRACK, at=NOW)
            members.append((company_id, member_id))
            keys.append(key.key_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await consents.give(conn, *members[0], "location", now=NOW)

    assert len({member for _, member in members}) == len(set(devices)) == len(set(keys)) == 2
    given = []
    for company_id, member_id in members:
        async with db.tenant(world.pool, company_id) as conn:
            found = await gate.read(conn, company_id, member_id)
        given.append(found.location_since)
    assert given == [NOW, None]


async def places_of(
    owner: "asyncpg.Connection[asyncpg.Record]", canaries: tuple[str, ...]
) -> list[str]:
    """Return each column of `main` that holds a canary, as text or as bytes."""
    columns = await owner.fetch(
        "SELECT table_name, column_name FROM information_schema.columns c"
        " WHERE table_schema = 'public' AND is_generated = 'NEVER'"
    )
    needles = [canary.lower() for canary in canaries]
    needles += [needle.encode().hex() for needle in (*canaries, *needles)]
    found = []
    for table, column in columns:
        values = await owner.fetch(
            f'SELECT lower("{column}"::text) AS value FROM "{table}"'  # noqa: S608 - from the catalogue
        )
        if any(needle in (row["value"] or "") for row in values for needle in needles):
            found.append(f"{table}.{column}")
    return found


@pytest.mark.proves("relog-driver-manager-apps:1.3.1-mandatory")
async def test_nothing_personal_stands_in_plain_in_any_column(world: World) -> None:
    async with accounts(world) as client:
        staff = await world.session("dispatcher")
        await join(client, staff, email=EMAIL)
        token = await token_of(await log_in(client))
        added = await add(client, "/v1/me/devices", token, {"name": "Canary phone"})
        me = await (await client.get("/v1/me", headers=bearer(token))).json()
        secrets = (token, added["token"], PHONE, *CANARIES)

        assert (me["name"], me["phone"], me["email"]) == (CANARIES[0], "+77011234567", EMAIL)
        assert await places_of(world.owner, secrets) == []
        # The control: what is plain is found, as text and as bytes.
        await add(client, "/v1/vehicles", staff, {"name": "Canary phone", "plate": "P"})
        await world.owner.execute("UPDATE member SET name_sealed = $1", CANARIES[0].encode())
        found = await places_of(world.owner, secrets)
        assert sorted(found) == ["member.name_sealed", "vehicle.name"]
