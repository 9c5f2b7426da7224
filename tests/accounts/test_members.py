"""Companies, members, invitations, states and erasing."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from server.accounts import service, store
from server.accounts.model import Locale, NewMember, TimeZoneUnknown
from server.credentials import service as credentials
from server.credentials import store as credential_store
from server.credentials.model import (
    MemberMissing,
    MemberState,
    MemberStateRefused,
    NotPermitted,
    Role,
)
from server.kit import db, tokens
from server.kit.cursors import CursorInvalid
from server.kit.ids import uuid7
from tests.accounts.people import (
    EMAIL,
    PHONE,
    accept,
    accounts,
    add,
    code_of,
    gate_of,
    join,
    log_in,
    new_driver,
    new_staff,
    state_of,
    token_of,
)
from tests.http import bearer
from tests.world import NOW, World, add_company, add_member, open_session


async def test_a_new_companys_main_user_joins_by_invitation(world: World) -> None:
    main_user = NewMember(name="Zere", role=Role.MAIN_USER, locale=Locale.KK, email=EMAIL)
    company, invitation = await service.create_company(
        world.pool,
        world.vault,
        name="Steppe Lines",
        time_zone="Asia/Almaty",
        main_user=main_user,
        erasure_grace_s=0,
        now=NOW,
    )

    async with accounts(world) as client:
        await accept(client, invitation.code)
        token = await token_of(await log_in(client, EMAIL))
        me = await (await client.get("/v1/me", headers=bearer(token))).json()
        members = await (await client.get("/v1/members", headers=bearer(token))).json()

    assert company.erasure_grace_s == 0
    assert invitation.expires_at == NOW + timedelta(days=7)
    assert me | {"member_id": ""} == {
        "member_id": "", "name": "Zere", "phone": None, "email": EMAIL, "role": "main_user",
        "locale": "kk", "state": "active",
    }  # fmt: skip
    assert [one["member_id"] for one in members["items"]] == [me["member_id"]]


async def test_a_company_in_no_time_zone_is_not_made(world: World) -> None:
    main_user = NewMember(name="Zere", role=Role.MAIN_USER, locale=Locale.KK, email=EMAIL)
    with pytest.raises(TimeZoneUnknown):
        await service.create_company(
            world.pool,
            world.vault,
            name="Nowhere",
            time_zone="Asia/Nowhere",
            main_user=main_user,
            erasure_grace_s=0,
            now=NOW,
        )

    assert await world.owner.fetchval("SELECT count(*) FROM company") == 1


async def test_a_driver_is_invited_with_everything_closed(world: World) -> None:
    async with accounts(world) as client:
        added = await add(client, "/v1/drivers", await world.session("dispatcher"), new_driver())

    driver = added["driver"]
    assert driver | {"driver_id": ""} == {
        "driver_id": "", "name": "Aigerim Canaryova", "phone_masked": "+7701*****67",
        "state": "invited", "locale": "kk", "shift": "off", "created_at": "2026-11-22T12:00:00Z",
        "consents": {
            "location": "not_asked", "dispatch_tracking": "not_asked", "plan_fact": "not_asked",
        },
    }  # fmt: skip
    assert set(added["invitation"]) == {"code", "expires_at"}
    assert not (await gate_of(world, driver["driver_id"])).account_active


async def test_accepting_makes_the_account_active_but_consents_to_nothing(world: World) -> None:
    async with accounts(world) as client:
        added = await join(client, await world.session("dispatcher"))

    found = await gate_of(world, added["driver"]["driver_id"])
    assert found.account_active
    assert (found.location_since, found.dispatch_since, found.plan_fact_since) == (None,) * 3
    assert await state_of(world, added["driver"]["driver_id"]) == "active"


async def test_a_login_is_taken_in_this_company_in_any_spelling(world: World) -> None:
    async with accounts(world) as client:
        staff = await world.session("dispatcher")
        chief = await world.session("main_user", stepped_up=True)
        await add(client, "/v1/drivers", staff, new_driver(email=EMAIL))
        for path, token, body in (
            ("/v1/drivers", staff, new_driver(phone="8 701 1234567")),
            ("/v1/drivers", staff, new_driver(phone="87010000001", email=EMAIL.upper())),
            ("/v1/members", chief, new_staff()),
        ):
            answer = await client.post(path, json=body, headers=bearer(token))
            assert await code_of(answer) == (409, "login-taken")

    assert await world.owner.fetchval("SELECT count(*) FROM login_directory") == 2


async def test_a_race_for_one_phone_has_one_winner(world: World) -> None:
    async with accounts(world) as client:
        staff = bearer(await world.session("dispatcher"))
        answers = await asyncio.gather(
            *(client.post("/v1/drivers", json=new_driver(), headers=staff) for _ in range(8))
        )

    assert sorted(answer.status for answer in answers) == [201] + [409] * 7


async def test_adding_a_driver_does_not_tell_that_another_company_knows_the_phone(
    world: World,
) -> None:
    other = await add_company(world.vault, world.owner)
    chief = await add_member(world.vault, world.pool, other, role="main_user")
    async with accounts(world) as client:
        await join(client, await open_session(world.pool, other, chief))
        staff = await world.session("dispatcher")
        known = await add(client, "/v1/drivers", staff, new_driver())
        unknown = await add(client, "/v1/drivers", staff, new_driver(phone="+77019999967"))

    for one in (known, unknown):
        one["driver"].pop("driver_id")
        one["invitation"].pop("code")
    assert known == unknown


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"phone": "12 34"}, "phone-unreadable"),
        ({"email": "a@@b"}, "email-unreadable"),
        ({"name": ""}, "fields-invalid"),
        ({"name": "a\u202eb"}, "fields-invalid"),
        ({"locale": "zz"}, "fields-invalid"),
        ({"role": "main_user "}, "fields-invalid"),
    ],
)
async def test_a_driver_that_makes_no_sense_is_refused(
    world: World, change: dict[str, str], code: str
) -> None:
    async with accounts(world) as client:
        headers = bearer(await world.session("dispatcher"))
        answer = await client.post("/v1/drivers", json=new_driver(**change), headers=headers)

        assert await code_of(answer) == (422, code)
        shown = await answer.text()
        assert not any(value in shown for value in change.values() if value)


async def test_only_the_main_user_adds_staff(world: World) -> None:
    async with accounts(world) as client:
        for role in ("driver", "dispatcher"):
            headers = bearer(await world.session(role))
            answer = await client.post("/v1/members", json=new_staff(), headers=headers)
            assert await code_of(answer) == (403, "not-permitted")
            assert (await client.get("/v1/members", headers=headers)).status == 403
        chief = await world.session("main_user", stepped_up=True)
        added = await add(client, "/v1/members", chief, new_staff())

        assert added["member"]["role"] == "dispatcher"
        assert added["member"]["email"] == EMAIL


async def test_drivers_come_in_pages_ordered_and_whole(world: World) -> None:
    ids = [world.driver.member_id] + [
        await add_member(world.vault, world.pool, world.company_id, role="driver") for _ in range(4)
    ]
    await add_member(world.vault, world.pool, world.company_id, role="dispatcher")

    async with db.tenant(world.pool, world.company_id) as conn:
        seen, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            page = await service.drivers(
                conn, world.vault, world.company_id, state=None, cursor=cursor, limit=2
            )
            seen += [one.member_id for one in page.items]
            cursor, pages = page.next_cursor, pages + 1
        blocked = await service.drivers(
            conn, world.vault, world.company_id, state=MemberState.BLOCKED, cursor=None, limit=2
        )

        assert seen == sorted(ids)
        assert pages == 3
        assert blocked.items == ()
        with pytest.raises(CursorInvalid):
            await service.drivers(
                conn, world.vault, world.company_id, state=None, cursor="x", limit=2
            )


async def test_a_driver_is_found_by_id_and_nobody_else_is(world: World) -> None:
    dispatcher = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    driver_id = world.driver.member_id

    async with db.tenant(world.pool, world.company_id) as conn:
        found = await service.driver(conn, world.vault, world.company_id, driver_id)
        names = await service.names(conn, world.vault, world.company_id, [driver_id, uuid7()])

        assert found.name == "Aidos Testov"
        assert names == {driver_id: "Aidos Testov"}
        assert await service.is_driver(conn, world.company_id, driver_id)
        for other in (dispatcher, uuid7()):
            assert not await service.is_driver(conn, world.company_id, other)
            with pytest.raises(MemberMissing):
                await service.driver(conn, world.vault, world.company_id, other)


async def test_a_state_changes_in_the_database_as_the_table_says(world: World) -> None:
    driver_id = world.driver.member_id
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.set_state(conn, world.company_id, driver_id, MemberState.GRACE)
        await service.set_state(conn, world.company_id, driver_id, MemberState.ERASING)
        with pytest.raises(MemberStateRefused):
            await service.set_state(conn, world.company_id, driver_id, MemberState.ACTIVE)
        with pytest.raises(MemberMissing):
            await service.set_state(conn, world.company_id, uuid7(), MemberState.GRACE)


async def test_erasing_leaves_no_row_here_and_all_rows_elsewhere(world: World) -> None:
    other = await add_company(world.vault, world.owner)
    chief = await add_member(world.vault, world.pool, other, role="main_user")
    async with accounts(world) as client:
        there = await join(client, await open_session(world.pool, other, chief), email=EMAIL)
        here = await join(client, await world.session("dispatcher"), email=EMAIL)
        driver_id = UUID(here["driver"]["driver_id"])
        token = await token_of(await log_in(client, company_id=str(world.company_id)))
        await add(client, "/v1/me/devices", token, {"name": "Phone"})

        async with db.tenant(world.pool, world.company_id) as conn:
            hashes = await service.login_hashes(conn, world.company_id, driver_id)
            ended = await credentials.end_sessions_and_devices(
                conn, world.company_id, driver_id, now=NOW
            )
            await service.set_state(conn, world.company_id, driver_id, MemberState.GRACE)
            await service.set_state(conn, world.company_id, driver_id, MemberState.ERASING)
            erased = await service.erase(conn, world.company_id, driver_id)
            again = await service.erase(conn, world.company_id, driver_id)
            hashes_after = await service.login_hashes(conn, world.company_id, driver_id)

        assert len(hashes) == 2
        assert ended == 2
        # The member, the device, how the account stands, two log-ins, the pseudonym.
        assert erased == 1 + 1 + 1 + 2 + 1
        assert (again, hashes_after) == (0, ())
        for table in ("member", "invitation", "session", "device"):
            left = await world.owner.fetchval(
                f"SELECT count(*) FROM {table} WHERE member_id = $1",  # noqa: S608 - our own names
                driver_id,
            )
            assert left == 0
        found = await (await log_in(client)).json()
        assert found["member"]["member_id"] == there["driver"]["driver_id"]
        assert found["company"]["company_id"] == str(other)


async def test_a_returning_driver_is_a_new_member(world: World) -> None:
    async with accounts(world) as client:
        staff = await world.session("dispatcher")
        first = await join(client, staff)
        async with db.tenant(world.pool, world.company_id) as conn:
            driver_id = UUID(first["driver"]["driver_id"])
            await credentials.end_sessions_and_devices(conn, world.company_id, driver_id, now=NOW)
            await service.set_state(conn, world.company_id, driver_id, MemberState.GRACE)
            await service.set_state(conn, world.company_id, driver_id, MemberState.ERASING)
            await service.erase(conn, world.company_id, driver_id)
        second = await join(client, staff, phone=PHONE)

        assert second["driver"]["driver_id"] != first["driver"]["driver_id"]


async def test_reading_first_alone_would_let_two_through(world: World) -> None:
    """The control of the races above: without lock or constraint both sides see the same."""
    company_id, driver_id = world.company_id, world.driver.member_id
    async with accounts(world) as client:
        added = await add(client, "/v1/drivers", await world.session("dispatcher"), new_driver())
    code = tokens.parse(added["invitation"]["code"])
    assert code is not None

    async def read(conn: db.Connection) -> tuple[object, ...]:
        return (
            await store.member_of_login(conn, company_id, [b"free"]),
            await store.invited_member(conn, company_id, code.digest, NOW),
            await credential_store.next_device_number(conn, company_id, driver_id),
        )

    async with (
        db.tenant(world.pool, company_id) as first,
        db.tenant(world.pool, company_id) as second,
    ):
        assert await read(first) == await read(second)
        assert await read(first) == (None, UUID(added["driver"]["driver_id"]), 1)


async def test_no_session_opens_once_erasing_began_after_the_password(world: World) -> None:
    driver_id = world.driver.member_id
    lasts = timedelta(hours=1)
    async with db.tenant(world.pool, world.company_id) as conn:
        await credentials.open_session(
            conn, world.company_id, driver_id, Role.DRIVER, lasts=lasts, now=NOW
        )
        await service.set_state(conn, world.company_id, driver_id, MemberState.GRACE)
        await service.set_state(conn, world.company_id, driver_id, MemberState.ERASING)

        with pytest.raises(NotPermitted):
            await credentials.open_session(
                conn, world.company_id, driver_id, Role.DRIVER, lasts=lasts, now=NOW
            )
