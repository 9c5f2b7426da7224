"""The staff's second factor, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.accounts import service as members
from server.kit import db
from server.kit.db import Connection
from server.log_in.web import logging_in
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.second_factor import store
from server.second_factor.model import FREE_FAILURES
from server.second_factor.web import ENDPOINTS as SECOND_FACTOR
from tests.accounts.people import PASSWORD, code_of, token_of
from tests.endpoints import ACCOUNTS, ATTESTATIONS
from tests.http import Clock, bearer, serve
from tests.second_factor.people import FACTOR, STEP, Person, joined
from tests.world import World, begin_erasing

OTHER: Final = "zere@aral.example"
RULES: Final = "/v1/log-in-rules"
WRONG: Final = "000000"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    async with serve(
        world,
        ACCOUNTS,
        ATTESTATIONS,
        SECOND_FACTOR,
        clock=clock,
        prepare=lambda app: app.cleanup_ctx.append(logging_in),
    ) as opened:
        yield opened


@pytest.fixture
async def chief(world: World, client: ClientSession, clock: Clock) -> Person:
    return await joined(world, client, clock)


async def told(world: World, kind: NoticeKind) -> int:
    count: int = await world.owner.fetchval("SELECT count(*) FROM notice WHERE kind = $1", kind)
    return count


async def acts(world: World) -> list[str]:
    rows = await world.owner.fetch(
        "SELECT act FROM ledger_entry WHERE act LIKE 'second_factor%' ORDER BY index"
    )
    return [row["act"] for row in rows]


async def test_it_counts_from_its_confirmation_on(world: World, chief: Person) -> None:
    assert await code_of(await chief.call("POST", FACTOR)) == (403, "step-up-needed")
    await chief.step_up()
    begun = await chief.begin()
    assert begun["otpauth_uri"].startswith("otpauth://totp/Jolda:Aral%20Freight?secret=")
    assert (await chief.log_in()).status == 200

    refused = await chief.call("POST", f"{FACTOR}/confirm", {"code": WRONG})
    assert await code_of(refused) == (422, "code-wrong")
    confirmed = await chief.call("POST", f"{FACTOR}/confirm", {"code": chief.code()})
    assert (confirmed.status, len((await confirmed.json())["recovery_codes"])) == (200, 10)

    assert await code_of(await chief.log_in()) == (409, "code-needed")
    assert await code_of(await chief.call("POST", FACTOR)) == (409, "second-factor-confirmed")
    seen = await (await chief.call("GET", FACTOR)).json()
    at = "2026-11-22T12:00:00Z"
    assert seen == {
        "begun_at": at,
        "confirmed_at": at,
        "recovery_codes_left": 10,
        "required": False,
    }
    assert await acts(world) == ["second_factor_set"]
    assert await told(world, NoticeKind.SECOND_FACTOR_SET) == 1


async def test_the_secret_and_the_recovery_codes_are_stored_nowhere_as_they_are(
    world: World, chief: Person
) -> None:
    await chief.enrol()

    stored = await world.owner.fetchval(
        "SELECT string_agg(f::text || r::text, '') FROM second_factor f, recovery_code r"
    )
    for text in (chief.secret.hex(), *(code.replace("-", "") for code in chief.recovery_codes)):
        assert text not in stored
        assert text.encode().hex() not in stored
    sealed: bytes = await world.owner.fetchval("SELECT secret_sealed FROM second_factor")
    assert chief.secret not in sealed


async def test_a_log_in_needs_the_code_of_now_or_a_step_beside(chief: Person) -> None:
    await chief.enrol()
    for steps in (2, -2):
        assert await code_of(await chief.log_in(chief.code(steps=steps))) == (401, "login-failed")
    chief.clock.at += 2 * STEP
    for steps in (-1, 0, 1):
        assert (await chief.log_in(chief.code(steps=steps))).status == 200


async def test_a_code_that_was_used_is_not_taken_again_nor_an_older_one(chief: Person) -> None:
    await chief.enrol()
    used = chief.code(steps=1)
    assert (await chief.log_in(used)).status == 200

    assert await code_of(await chief.log_in(used)) == (401, "login-failed")
    assert await code_of(await chief.log_in(chief.code())) == (401, "login-failed")


async def test_the_code_that_confirmed_it_does_not_log_in(chief: Person) -> None:
    await chief.enrol()

    assert await code_of(await chief.log_in(chief.code(steps=-1))) == (401, "login-failed")


Use: TypeAlias = Callable[[Connection, UUID, UUID, int], Awaitable[bool]]


async def race(chief: Person, patch: pytest.MonkeyPatch, use: Use) -> list[int]:
    """Send the same code twice at once; return what came of it."""
    both = asyncio.Barrier(2)

    async def when_both_have_found_it_unused(*asked: Any) -> bool:
        await both.wait()
        return await use(*asked)

    await chief.enrol()
    patch.setattr(store, "use_step", when_both_have_found_it_unused)
    answers = await asyncio.gather(*(chief.log_in(chief.code()) for _ in range(2)))
    return sorted(answer.status for answer in answers)


async def test_of_the_same_code_twice_at_once_one_logs_in(
    world: World, chief: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = "SELECT count(*) FROM session WHERE expires_at > '2026-12-01'"
    before = await world.owner.fetchval(sessions)

    assert await race(chief, monkeypatch, store.use_step) == [200, 401]

    assert await world.owner.fetchval(sessions) == before + 1


async def test_control_without_the_guard_both_log_in(
    chief: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unguarded(conn: Connection, company_id: UUID, member_id: UUID, step: int) -> bool:
        await conn.execute(
            "UPDATE second_factor SET last_step = $3 WHERE company_id = $1 AND member_id = $2",
            company_id,
            member_id,
            step,
        )
        return True

    assert await race(chief, monkeypatch, unguarded) == [200, 200]


async def test_a_recovery_code_logs_in_once_in_any_spelling(chief: Person) -> None:
    await chief.enrol()
    code = chief.recovery_codes[3]

    assert (await chief.log_in(code.lower().replace("-", " "))).status == 200
    assert await code_of(await chief.log_in(code)) == (401, "login-failed")
    seen = await (await chief.call("GET", FACTOR)).json()
    assert seen["recovery_codes_left"] == 9


async def test_of_one_recovery_code_twice_at_once_one_logs_in(chief: Person) -> None:
    await chief.enrol()
    answers = await asyncio.gather(*(chief.log_in(chief.recovery_codes[0]) for _ in range(4)))

    assert sorted(answer.status for answer in answers) == [200, 401, 401, 401]


async def test_new_recovery_codes_end_the_old_ones(chief: Person) -> None:
    await chief.enrol()
    path = f"{FACTOR}/recovery-codes"
    chief.clock.at += timedelta(minutes=10)
    assert await code_of(await chief.call("POST", path)) == (403, "step-up-needed")
    assert (await chief.step_up(chief.code())).status == 200
    renewed = (await (await chief.call("POST", path)).json())["recovery_codes"]

    assert len(renewed) == 10
    assert (await chief.log_in(chief.recovery_codes[0])).status == 401
    assert (await chief.log_in(renewed[0])).status == 200


async def test_who_has_the_password_learns_that_a_code_is_needed_and_no_more(
    chief: Person,
) -> None:
    await chief.enrol()
    without = await chief.log_in()
    with_wrong_code = await chief.log_in(WRONG)
    with_wrong_password = await chief.log_in(chief.code(), password="wrong password")  # noqa: S106
    with_neither = await chief.log_in(password="wrong password")  # noqa: S106 - of nobody
    of_nobody = await chief.client.post(
        "/v1/session",
        json={"login": "nobody@aral.example", "password": PASSWORD, "code": WRONG},
    )

    told_ = await without.json()
    assert (without.status, told_["code"]) == (409, "code-needed")
    assert set(told_) == {"type", "title", "status", "code", "detail"}
    for name in ("Aral", "Bolat", "main_user"):
        assert name not in str(told_)
    refused = [with_wrong_code, with_wrong_password, with_neither, of_nobody]
    assert {answer.status for answer in refused} == {401}
    assert len({await answer.read() for answer in refused}) == 1
    # A right password with a wrong one of the two uses nothing up.
    assert (await chief.log_in(chief.code())).status == 200


async def test_who_guesses_codes_waits_and_the_person_is_told(world: World, chief: Person) -> None:
    await chief.enrol()
    for _ in range(FREE_FAILURES):
        assert (await chief.log_in(WRONG)).status == 401
    assert await told(world, NoticeKind.CODES_GUESSED) == 1

    waits = await chief.log_in(chief.code())
    assert await code_of(waits) == (429, "too-many-attempts")
    # With a wrong password nobody learns that somebody waits.
    assert (await chief.log_in(chief.code(), password="wrong password")).status == 401  # noqa: S106
    chief.clock.at += timedelta(seconds=1)
    assert (await chief.log_in(chief.code())).status == 200
    # The right code forgives the wrong ones.
    assert await world.owner.fetchval("SELECT max(failures) FROM second_factor") == 0


async def test_a_step_up_needs_the_code_as_well(chief: Person) -> None:
    await chief.enrol()
    chief.clock.at += timedelta(minutes=10)
    gone = await chief.call("DELETE", FACTOR)
    assert await code_of(gone) == (403, "step-up-needed")

    assert await code_of(await chief.step_up()) == (409, "code-needed")
    assert await code_of(await chief.step_up(WRONG)) == (401, "login-failed")
    code = chief.code()
    assert (await chief.step_up(code)).status == 200
    assert await code_of(await chief.step_up(code)) == (401, "login-failed")


async def test_one_takes_ones_own_away_after_a_step_up(world: World, chief: Person) -> None:
    await chief.enrol()
    chief.clock.at += timedelta(minutes=10)
    assert await code_of(await chief.call("DELETE", FACTOR)) == (403, "step-up-needed")
    await chief.step_up(chief.code())

    assert (await chief.call("DELETE", FACTOR)).status == 204

    assert (await chief.log_in()).status == 200
    assert await code_of(await chief.call("DELETE", FACTOR)) == (404, "second-factor-not-found")
    assert await world.owner.fetchval("SELECT count(*) FROM recovery_code") == 0
    assert await acts(world) == ["second_factor_set", "second_factor_removed"]


async def test_a_main_user_takes_it_from_who_lost_theirs_and_they_are_told(
    world: World, client: ClientSession, clock: Clock, chief: Person
) -> None:
    other = await joined(world, client, clock, role="dispatcher", email=OTHER)
    await other.enrol()
    member_id = (await (await other.call("GET", "/v1/session")).json())["member"]["member_id"]
    path = f"/v1/members/{member_id}/second-factor"
    assert await code_of(await chief.call("DELETE", path)) == (403, "step-up-needed")
    assert await code_of(await other.call("DELETE", path)) == (403, "not-permitted")
    await chief.step_up()

    assert (await chief.call("DELETE", path)).status == 204

    assert (await other.log_in()).status == 200
    facts = await world.owner.fetchval(
        "SELECT facts FROM notice WHERE kind = $1 AND member_id = $2",
        NoticeKind.SECOND_FACTOR_REMOVED,
        UUID(member_id),
    )
    assert '"by_role": "main_user"' in facts
    # Who has none, or is nobody, is all the same.
    nobody = f"/v1/members/{world.driver.member_id}/second-factor"
    again = [await chief.call("DELETE", one) for one in (path, nobody)]
    assert [answer.status for answer in again] == [404, 404]
    assert len({await answer.read() for answer in again}) == 1


async def test_a_driver_has_none_and_needs_none(world: World, client: ClientSession) -> None:
    token = await world.driver_session()

    assert (await client.get(FACTOR, headers=bearer(token))).status == 403


async def test_where_it_is_asked_for_who_has_none_can_only_set_one_up(
    world: World, client: ClientSession, clock: Clock, chief: Person
) -> None:
    other = await joined(world, client, clock, role="dispatcher", email=OTHER)
    driver = await world.driver_session()
    wanted = {"staff_second_factor": True}
    await chief.step_up()
    refused = await chief.call("PUT", RULES, wanted)
    assert await code_of(refused) == (409, "own-second-factor-first")
    await chief.enrol()
    assert (await chief.call("PUT", RULES, wanted)).status == 200

    # At once, also in the session that was open already.
    for path in ("/v1/me", "/v1/vehicles", RULES):
        assert await code_of(await other.call("GET", path)) == (403, "second-factor-needed")
        assert (await chief.call("GET", path)).status == 200
    assert (await client.get("/v1/me", headers=bearer(driver))).status == 200
    assert (await other.call("GET", "/v1/session")).status == 200
    assert (await (await other.call("GET", FACTOR)).json())["required"] is True
    other.token = await token_of(await other.log_in())
    assert await code_of(await other.call("GET", "/v1/me")) == (403, "second-factor-needed")
    await other.enrol()
    assert (await other.call("GET", "/v1/me")).status == 200
    assert (await other.call("DELETE", "/v1/session")).status == 204


async def test_another_company_asks_nothing_of_this_one(world: World, chief: Person) -> None:
    await world.owner.execute(
        "UPDATE company SET staff_second_factor = true WHERE company_id <> $1", world.company_id
    )

    assert (await chief.call("GET", "/v1/me")).status == 200


async def test_whoever_is_erased_leaves_no_second_factor(world: World, chief: Person) -> None:
    await chief.enrol()
    member_id = await world.owner.fetchval("SELECT member_id FROM second_factor")
    await begin_erasing(world, member_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await notices.erase(conn, world.company_id, member_id)
        await members.erase(conn, world.company_id, member_id)

    for table in ("second_factor", "recovery_code"):
        assert await world.owner.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608
