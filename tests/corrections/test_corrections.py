"""What a person corrects of themself, what staff correct, and what proves a new address."""

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web

from server.accounts import store as accounts_store
from server.accounts.sealing import reindex
from server.corrections import service
from server.corrections.web import ENDPOINTS as CORRECTIONS
from server.kit import db
from server.notice_kinds.kinds import Channel
from server.notices.web import WAYS_OUT
from server.vault.opening import insert_pepper
from tests.corrections.conftest import (
    EMAIL,
    NEW_EMAIL,
    NEW_PHONE,
    PHONE,
    Stage,
    joined,
    of,
)
from tests.http import bearer, serve
from tests.told import last_entry, told
from tests.world import NOW, World, open_session

MINUTE = timedelta(minutes=1)


@pytest.mark.proves("relog-driver-app:5.1")
async def test_name_and_language_are_corrected_at_once_and_the_history_is_kept(
    stage: Stage,
) -> None:
    status, me = await stage.correct(name="Aidos Testuly", locale="kk")

    assert (status, me["name"], me["locale"], me["pending"]) == (200, "Aidos Testuly", "kk", [])
    found = await stage.history()
    assert of(found, "name") == [
        ("registration", None, None, "Aidos Testov"),
        ("self", None, "Aidos Testov", "Aidos Testuly"),
    ]
    assert of(found, "locale") == [("registration", None, None, "en"), ("self", None, "en", "kk")]
    facts = {"fields": ["locale", "name"], "source": "self"}
    assert await last_entry(stage.world) == ("data_corrected", "driver", facts)


async def test_who_looked_at_an_older_version_changes_nothing(stage: Stage) -> None:
    seen = (await stage.history())["version"]
    _, driver = await stage.correct_driver(name="Aidos Testof", version=seen)
    assert (seen, driver["version"]) == (0, 1)

    status, problem = await stage.correct(name="Aidos Testuly", phone=NEW_PHONE, version=seen)

    assert (status, problem["code"]) == (409, "data-changed")
    assert "Aidos" not in problem["detail"]
    found = await stage.history()
    assert (found["version"], found["pending"], len(of(found, "name"))) == (1, [], 2)
    # The controls: of what is there now, and by who names none.
    assert (await stage.correct(name="Aidos Testuly", version=1))[1]["version"] == 2
    assert (await stage.correct(name="Aidos Testov"))[0] == 200


async def test_of_two_who_correct_the_same_version_one_does(stage: Stage) -> None:
    answers = await asyncio.gather(
        *(stage.correct(name=f"Aidos {letter}", version=0) for letter in "abcd")
    )

    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    assert len(of(await stage.history(), "name")) == 2


async def test_what_is_as_it_was_is_no_correction(stage: Stage) -> None:
    before = await stage.history()
    status, _ = await stage.correct(name="Aidos Testov", phone="8 (701) 000-01-01", email=EMAIL)

    assert status == 200
    assert await stage.history() == before


@pytest.mark.parametrize(
    ("field", "old", "new"), [("phone", PHONE, NEW_PHONE), ("email", EMAIL, NEW_EMAIL)]
)
@pytest.mark.proves("relog-driver-manager-apps:4.2.4")
async def test_a_new_address_counts_once_the_code_that_went_there_is_told(
    stage: Stage, field: str, old: str, new: str
) -> None:
    status, me = await stage.correct(**{field: new})

    assert (status, me[field]) == (200, old)
    assert [(one["field"], one["contact"]) for one in me["pending"]] == [(field, new)]
    assert await stage.found_by(field, new) is None

    code = await stage.code_at(new)
    assert not any(code in one for one in stage.outbox.to(old))
    status, me = await stage.confirm(field, code)
    await stage.deliver()

    assert (status, me[field]) == (200, new)
    assert await stage.found_by(field, new) == stage.driver_id
    assert await stage.found_by(field, old) is None
    # The old one hears of the wish, and that it is not theirs any more.
    assert any("asked to change" in one for one in stage.outbox.to(old))
    assert stage.outbox.to(old)[-1].startswith("Your data were corrected")
    assert of(await stage.history(), field)[-1] == ("self", None, old, new)


@pytest.mark.parametrize("contact", [{"phone": NEW_PHONE}, {"email": NEW_EMAIL}])
async def test_what_one_logs_in_with_takes_a_log_in_of_just_now(
    stage: Stage, contact: dict[str, str]
) -> None:
    world = stage.world
    old = await open_session(world.pool, world.company_id, stage.driver_id)
    path = f"/v1/drivers/{stage.driver_id}"
    staff = await world.session("dispatcher")

    for where, session in (("/v1/me", old), (path, staff)):
        status, problem = await stage.call("PATCH", where, session, name="Other", **contact)
        assert (status, problem["code"]) == (403, "step-up-needed")
    await stage.deliver()
    assert stage.outbox.sent == []
    assert of(await stage.history(), "name") == [("registration", None, None, "Aidos Testov")]

    # The controls: nothing else takes it, and with it the same is done.
    assert (await stage.call("PATCH", "/v1/me", old, name="Other"))[0] == 200
    assert (await stage.call("PATCH", path, staff, name="Aidos"))[0] == 200
    assert (await stage.correct(**contact))[1]["pending"] != []


async def test_where_nothing_is_sent_nothing_changes(world: World, stage: Stage) -> None:
    def prepare(app: web.Application) -> None:
        app[WAYS_OUT] = frozenset({Channel.EMAIL})

    sent = {"phone": NEW_PHONE, "name": "Other"}
    async with (
        serve(world, CORRECTIONS, prepare=prepare) as client,
        client.patch("/v1/me", json=sent, headers=bearer(stage.driver)) as answer,
    ):
        problem = await answer.json()

    assert (answer.status, problem["code"]) == (409, "contact-unreachable")
    assert of(await stage.history(), "name") == [("registration", None, None, "Aidos Testov")]


async def test_who_proved_the_phone_of_another_member_is_told_that_it_is_taken(
    stage: Stage,
) -> None:
    world = stage.world
    await stage.correct(phone=NEW_PHONE)
    code = await stage.code_at(NEW_PHONE)
    await world.owner.execute(
        "UPDATE member SET phone_hash = $2 WHERE member_id = $1",
        world.driver.member_id,
        world.vault.blind_index("phone", NEW_PHONE),
    )

    status, problem = await stage.confirm("phone", code)

    assert (status, problem["code"]) == (409, "login-taken")
    assert await stage.found_by("phone", PHONE) == stage.driver_id


async def test_staff_correct_a_driver_who_is_told_and_corrects_it_back(stage: Stage) -> None:
    status, driver = await stage.correct_driver(name="Aidos Testof")
    await stage.deliver()

    assert (status, driver["name"], driver["pending"]) == (200, "Aidos Testof", [])
    assert [kind for kind, _ in await told(stage.world, stage.driver_id)] == ["data_corrected"]
    assert "Your data were corrected" in stage.outbox.to(EMAIL)[-1]
    facts = {"fields": ["name"], "source": "staff"}
    assert await last_entry(stage.world) != ("data_corrected", "driver", facts)

    assert (await stage.correct(name="Aidos Testov"))[0] == 200
    assert of(await stage.history(), "name") == [
        ("registration", None, None, "Aidos Testov"),
        ("staff", "Dana Dispatch", "Aidos Testov", "Aidos Testof"),
        ("self", None, "Aidos Testof", "Aidos Testov"),
    ]


async def test_staff_do_not_move_what_a_driver_logs_in_with(stage: Stage) -> None:
    status, driver = await stage.correct_driver(phone=NEW_PHONE)

    assert (status, driver["pending"]) == (200, ["phone"])
    assert await stage.found_by("phone", PHONE) == stage.driver_id
    code = await stage.code_at(NEW_PHONE)
    assert any("Asked by" in one or "asked to change" in one for one in stage.outbox.to(PHONE))
    assert (await stage.confirm("phone", code))[0] == 200
    shown = of(await stage.history(), "phone")[-1]
    assert shown == ("staff", "Dana Dispatch", PHONE, NEW_PHONE)


async def test_staff_mend_a_slip_before_the_driver_has_accepted(world: World) -> None:
    driver_id = await joined(world, active=False)
    dispatcher = await world.session("dispatcher", stepped_up=True)
    async with (
        serve(world, CORRECTIONS) as client,
        client.patch(
            f"/v1/drivers/{driver_id}", json={"phone": NEW_PHONE}, headers=bearer(dispatcher)
        ) as answer,
    ):
        found = await answer.json()

    assert (answer.status, found["pending"]) == (200, [])
    assert found["phone_masked"].endswith(NEW_PHONE[-2:])


@pytest.mark.parametrize("whose", ["foreign", "staff", "erasing"])
async def test_a_driver_who_is_not_there_to_be_corrected(stage: Stage, whose: str) -> None:
    world = stage.world
    if whose == "erasing":
        await world.owner.execute(
            "UPDATE member SET state = 'erasing' WHERE member_id = $1", stage.driver_id
        )
    elif whose == "staff":
        stage.driver_id = await world.owner.fetchval(
            "SELECT member_id FROM member WHERE role = 'dispatcher'"
        )
    else:
        stage.driver_id = world.company_id

    status, problem = await stage.correct_driver(name="Nobody")

    assert (status, problem["code"]) == (404, "member-not-found")


async def test_what_was_corrected_is_sealed_and_goes_with_the_person(stage: Stage) -> None:
    world = stage.world
    await stage.correct(name="Aidos Testuly", phone=NEW_PHONE)
    rows = await world.owner.fetch("SELECT before_sealed, after_sealed FROM correction")
    assert len(rows) == 1
    assert b"Aidos" not in rows[0]["before_sealed"] + rows[0]["after_sealed"]

    async with db.tenant(world.pool, world.company_id) as conn:
        gone = await service.erase(conn, world.company_id, stage.driver_id)

    assert gone == 2
    left = "SELECT (SELECT count(*) FROM correction) + (SELECT count(*) FROM contact_change)"
    assert await world.owner.fetchval(left) == 0


async def move_while_indexing(
    stage: Stage, keys_owner: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the driver's phone change after the exchange of the pepper has read the old one."""
    world = stage.world
    await stage.correct(phone=NEW_PHONE)
    code = await stage.code_at(NEW_PHONE)
    kek = world.vault._kek  # noqa: SLF001 - the one in force
    await insert_pepper(keys_owner, kek, NOW + timedelta(seconds=1))  # type: ignore[arg-type]
    await world.vault.renew()
    set_hashes = accounts_store.set_hashes

    async def meanwhile(*args: object) -> object:
        # Not in the reader's own transaction, which has read already.
        status, _ = await stage.confirm("phone", code)
        assert status == 200
        return await set_hashes(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(accounts_store, "set_hashes", meanwhile)
    await reindex(world.pool, world.vault, world.company_id)


async def test_an_exchange_of_the_pepper_does_not_bring_the_old_phone_back(
    stage: Stage, keys_owner: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    await move_while_indexing(stage, keys_owner, monkeypatch)

    assert await stage.found_by("phone", NEW_PHONE) == stage.driver_id
    assert await stage.found_by("phone", PHONE) is None


async def test_control_it_would_where_the_hashes_that_were_read_are_not_compared(
    stage: Stage, keys_owner: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def careless(conn: db.Connection, company_id: object, members: object) -> object:
        written = []
        for one, (phone, email) in members:  # type: ignore[attr-defined]
            await conn.execute(
                "UPDATE member SET phone_hash = $3, email_hash = $4"
                " WHERE company_id = $1 AND member_id = $2",
                company_id,
                one.member_id,
                phone,
                email,
            )
            written.append(one.member_id)
        return written

    monkeypatch.setattr(accounts_store, "set_hashes", careless)
    await move_while_indexing(stage, keys_owner, monkeypatch)

    assert await stage.found_by("phone", NEW_PHONE) is None


@pytest.mark.proves("relog-manager-app:5.1")
async def test_a_main_user_corrects_their_own_profile(stage: Stage) -> None:
    world = stage.world
    boss = await world.session("main_user")

    status, me = await stage.call("PATCH", "/v1/me", boss, name="Boss Testova", locale="ru")

    assert (status, me["name"], me["locale"], me["role"]) == (
        200,
        "Boss Testova",
        "ru",
        "main_user",
    )


async def test_another_driver_sees_nothing_of_it(stage: Stage) -> None:
    await stage.correct(name="Aidos Testuly")
    other = await open_session(
        stage.world.pool, stage.world.company_id, stage.world.driver.member_id
    )

    _, found = await stage.call("GET", "/v1/me/corrections", other)

    assert "Testuly" not in str(found)
