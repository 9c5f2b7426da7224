"""Choosing another password with a code that is sent, over real HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from server.accounts import sealing
from server.accounts import service as accounts
from server.consent import service as consent
from server.gate import service as gate
from server.kit import db
from server.log_in.attempts import FREE_ATTEMPTS
from server.notice_kinds.kinds import Channel
from server.notices import service as notices
from server.passwords import resetting as resets
from server.passwords import store
from server.passwords.model import CODE_LASTS, CODE_TRIES_MAX, CODES_COUNTED, CODES_MAX, Reset
from server.passwords.web import SENDING
from server.standing.model import BlockReason
from tests.accounts.people import (
    PASSWORD,
    PHONE,
    accept,
    add,
    code_of,
    log_in,
    new_driver,
    token_of,
)
from tests.http import bearer
from tests.passwords.conftest import (
    ASK,
    CODE,
    CONFIRM,
    MINUTE,
    NEW,
    NOBODYS,
    NUMBER,
    STAFF,
    Stage,
    other_than,
)
from tests.second_factor.people import joined
from tests.told import last_entry, told
from tests.world import World, begin_erasing


async def test_with_the_code_one_chooses_another_password_and_every_session_ends(
    stage: Stage,
) -> None:
    session = await token_of(await log_in(stage.client))
    code = await stage.code()

    assert await stage.confirm(code) == (204, "")

    async with stage.client.get("/v1/me", headers=bearer(session)) as answer:
        assert answer.status == 401
    assert (await log_in(stage.client)).status == 401
    assert (await log_in(stage.client, password=NEW)).status == 200
    changed = ("password_changed", {"changed_at": "2026-11-22T12:00:00Z"})
    assert (await told(stage.world, stage.driver_id))[-1] == changed
    assert await last_entry(stage.world) == ("password_changed", "driver", {"by_code": True})
    assert await stage.confirm(code, password="other lanterns over water") == (  # noqa: S106
        422,
        "password-reset-code-refused",
    )


async def test_asking_alone_changes_nothing_and_shows_the_code_nowhere_else(stage: Stage) -> None:
    session = await token_of(await log_in(stage.client))
    code = await stage.code()

    assert (await log_in(stage.client)).status == 200
    async with stage.client.get("/v1/me", headers=bearer(session)) as answer:
        assert answer.status == 200
    stored = await stage.world.owner.fetchval("SELECT row_to_json(r)::text FROM password_reset r")
    assert code not in stored
    in_app = await stage.world.owner.fetchval(
        "SELECT count(*) FROM notice_delivery d JOIN notice n USING (company_id, notice_id)"
        " WHERE n.kind = 'password_code' AND d.channel = 'in_app'"
    )
    assert in_app == 0


async def test_an_unknown_login_is_answered_as_a_known_one(stage: Stage) -> None:
    known, unknown = await stage.ask(), await stage.ask(NOBODYS)

    assert known == unknown == (202, {"expires_at": "2026-11-22T12:15:00Z"})
    # The control: the one was sent a code, and nobody else anything.
    [code] = await stage.codes()
    assert {one.to for one in stage.outbox.sent if CODE.search(one.text.short)} == {NUMBER}
    wrong = [await stage.confirm(other_than(code)), await stage.confirm(code, NOBODYS)]
    assert wrong == [(422, "password-reset-code-refused")] * 2


async def test_an_unknown_login_costs_the_same_work(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bool] = []
    take = store.take_try

    async def counting(*of: Any, **more: Any) -> Reset | None:
        found = await take(*of, **more)
        tried.append(found is not None)
        return found

    monkeypatch.setattr(store, "take_try", counting)
    code = await stage.code()
    counts = []
    for login in (PHONE, NOBODYS):
        await stage.confirm(other_than(code), login)
        counts.append(len(tried))

    assert counts == [2, 4]
    assert tried == [True, False, False, False]


@pytest.mark.parametrize("why", ["wrong", "late", "tried", "replaced", "used", "changed", "moved"])
async def test_a_code_that_does_not_fit_changes_nothing(stage: Stage, why: str) -> None:
    code = await stage.code()
    password = PASSWORD
    match why:
        case "wrong":
            code = other_than(code)
        case "late":
            stage.clock.at += CODE_LASTS
        case "tried":
            for _ in range(CODE_TRIES_MAX):
                await stage.confirm(other_than(code))
        case "replaced":
            stage.clock.at += MINUTE
            assert await stage.code() != code
        case "used":
            assert (await stage.confirm(code))[0] == 204
            password = NEW
        case "changed":
            token = await token_of(await log_in(stage.client))
            password = "quiet harbours in winter"  # noqa: S105 - of nobody
            body = {"password": PASSWORD, "new_password": password}
            answer = await stage.client.post("/v1/me/password", json=body, headers=bearer(token))
            assert answer.status == 200
        case _:
            async with db.tenant(stage.world.pool, stage.world.company_id) as conn:
                who = (stage.world.company_id, stage.driver_id)
                email = "other@example.com"
                await sealing.rewrite(
                    conn,
                    stage.world.vault,
                    *who,
                    phone="+77010000303",
                    email=email,
                    now=stage.clock(),
                )
            assert await stage.confirm(code, "+77010000303") == (
                422,
                "password-reset-code-refused",
            )
            return

    refused = await stage.confirm(code, password="dim tunnels under hills")  # noqa: S106

    assert refused == (422, "password-reset-code-refused")
    assert (await log_in(stage.client, password=password)).status == 200


async def test_a_code_is_right_until_it_was_tried_too_often(stage: Stage) -> None:
    code = await stage.code()
    for _ in range(CODE_TRIES_MAX - 1):
        await stage.confirm(other_than(code))

    assert (await stage.confirm(code))[0] == 204


async def test_a_password_too_easy_to_guess_is_refused_and_the_code_still_works(
    stage: Stage,
) -> None:
    code = await stage.code()
    for easy in ("1234567890", "Canaryova2026"):
        assert await stage.confirm(code, password=easy) == (422, "password-too-common")

    assert (await stage.confirm(code))[0] == 204


async def test_asking_and_telling_are_each_limited_by_login(stage: Stage) -> None:
    for path, body in (
        (ASK, {"login": NOBODYS}),
        (CONFIRM, {"login": NOBODYS, "code": "00000000", "password": NEW}),
    ):
        found = [
            (await stage.client.post(path, json=body)).status for _ in range(FREE_ATTEMPTS + 1)
        ]
        assert 429 not in found[:FREE_ATTEMPTS]
        assert found[-1] == 429
    # Nobody is kept from logging in by that.
    for _ in range(FREE_ATTEMPTS + 1):
        await stage.ask()
    assert (await log_in(stage.client)).status == 200


async def send(stage: Stage) -> bool:
    async with db.tenant(stage.world.pool, stage.world.company_id) as conn:
        return await resets.send(
            conn,
            stage.world.vault,
            stage.world.company_id,
            stage.driver_id,
            ways_out={Channel.SMS},
            now=stage.clock(),
        )


async def test_codes_are_not_sent_in_a_row(stage: Stage) -> None:
    began = stage.clock.at
    for _ in range(CODES_MAX):
        assert await send(stage)
        assert not await send(stage)
        stage.clock.at += MINUTE
    assert not await send(stage)

    stage.clock.at = began + CODES_COUNTED
    assert await send(stage)


@pytest.mark.parametrize("why", ["invited", "lost_phone", "blocked_for_it", "no_way_out"])
async def test_no_code_goes_where_it_would_stand_in_for_nothing(stage: Stage, why: str) -> None:
    """An invitation gives a password then; of a lost phone, its finder would read the code."""
    match why:
        case "invited":
            text = "UPDATE member SET state = 'invited', password_hash = NULL WHERE member_id = $1"
            await stage.world.owner.execute(text, stage.driver_id)
        case "lost_phone":
            await stage.lose_phone()
        case "blocked_for_it":
            driver = stage.world.company_id, stage.driver_id
            async with gate.stopping(stage.world.pool, *driver, now=stage.clock()) as conn:
                reason = BlockReason.LOST_PHONE
                await consent.block(conn, *driver, reason, by=STAFF, now=stage.clock())
            assert await stage.has_password()
        case _:
            stage.app[SENDING]._ways_out = {Channel.EMAIL}  # noqa: SLF001 - the driver has none

    assert (await stage.ask())[0] == 202

    assert await stage.codes() == []


async def test_control_otherwise_a_code_goes(stage: Stage) -> None:
    assert len(await stage.codes()) == 0
    await stage.ask()
    assert len(await stage.codes()) == 1


async def test_a_code_that_the_lost_phone_was_sent_is_no_good_to_its_finder(stage: Stage) -> None:
    code = await stage.code()
    invitation = await stage.lose_phone()
    assert (await stage.confirm(code))[0] == 422
    assert (await accept(stage.client, invitation)).status == 200

    assert (await stage.confirm(code))[0] == 422
    assert (await log_in(stage.client)).status == 200


# ---- the staff


async def test_the_second_factor_is_still_asked_for(stage: Stage) -> None:
    chief = await joined(stage.world, stage.client, stage.clock)
    await chief.enrol()
    await stage.ask(chief.email)
    [code] = await stage.codes(chief.email)

    assert (await stage.confirm(code, chief.email))[0] == 204

    assert await code_of(await chief.log_in(password=NEW)) == (409, "code-needed")
    assert (await chief.log_in(chief.code(), password=NEW)).status == 200


async def test_a_main_user_has_a_code_sent_and_does_not_learn_it(stage: Stage) -> None:
    chief = await stage.world.session("main_user", stepped_up=True)
    path = f"/v1/members/{stage.driver_id}/password-reset"

    async with stage.client.post(path, headers=bearer(chief)) as answer:
        assert (answer.status, await answer.json()) == (202, {"sent": True})

    [code] = await stage.codes()
    assert (await log_in(stage.client)).status == 200
    assert (await stage.confirm(code))[0] == 204
    driver = await stage.world.session("dispatcher", stepped_up=True)
    assert (await stage.client.post(path, headers=bearer(driver))).status == 403


async def test_what_is_known_of_codes_goes_after_a_day_and_with_the_person(stage: Stage) -> None:
    count = "SELECT count(*) FROM password_reset"
    await stage.ask()
    company_id = stage.world.company_id
    async with db.tenant(stage.world.pool, company_id) as conn:
        assert await resets.forget(conn, company_id, stage.clock() + CODES_COUNTED) == 0
        later = stage.clock() + CODES_COUNTED + timedelta(seconds=1)
        assert await resets.forget(conn, company_id, later) == 1
    assert await stage.world.owner.fetchval(count) == 0
    stage.clock.at += MINUTE
    await stage.ask()
    assert await stage.world.owner.fetchval(count) == 1

    await begin_erasing(stage.world, stage.driver_id)
    async with db.tenant(stage.world.pool, company_id) as conn:
        await notices.erase(conn, company_id, stage.driver_id)
        await gate.erase(conn, company_id, stage.driver_id)
        await accounts.erase(conn, company_id, stage.driver_id)

    assert await stage.world.owner.fetchval(count) == 0


async def test_a_company_that_shares_the_login_is_left_whole(stage: Stage) -> None:
    other = await World.make(
        vault=stage.world.vault, pool=stage.world.pool, owner=stage.world.owner
    )
    staff = await other.session("dispatcher")
    added = await add(stage.client, "/v1/drivers", staff, new_driver())
    await accept(stage.client, added["invitation"]["code"])
    await stage.ask()
    [mine] = await stage.codes()

    assert (await stage.confirm(mine))[0] == 204

    companies = [
        (await log_in(stage.client, password=one, company_id=str(company))).status
        for company in (stage.world.company_id, other.company_id)
        for one in (NEW, PASSWORD)
    ]
    assert companies == [200, 401, 401, 200]
