"""Logging in and out, over real HTTP."""

from collections.abc import AsyncIterator
from datetime import timedelta
from http.cookies import SimpleCookie
from uuid import UUID

import pytest
from aiohttp import web

from server.accounts.logins import canonical_login
from server.credentials.access import COOKIE
from server.log_in.attempts import FREE_ATTEMPTS
from server.log_in.model import LogInBusy
from server.log_in.passwords import WAITING_MAX, Passwords
from server.log_in.service import COMPANIES_MAX, VERIFICATIONS_MIN
from server.log_in.web import PASSWORDS, logging_in
from tests.accounts.people import (
    EMAIL,
    PASSWORD,
    PHONE,
    accept,
    accounts,
    add,
    code_of,
    join,
    log_in,
    new_driver,
    new_staff,
    token_of,
)
from tests.endpoints import ACCOUNTS as ENDPOINTS
from tests.endpoints import ATTESTATIONS
from tests.http import Clock, bearer, serve
from tests.world import NOW, World, add_company, add_member, open_session


async def test_a_log_in_by_any_spelling_opens_a_session(world: World) -> None:
    async with accounts(world) as client:
        added = await join(client, await world.session("dispatcher"), email=EMAIL)
        for login in (PHONE, "8 (701) 123-45-67", EMAIL.upper()):
            answer = await log_in(client, login)
            body = await answer.json()

            assert answer.status == 200
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Set-Cookie" not in answer.headers
            assert body["member"] == {
                "member_id": added["driver"]["driver_id"],
                "name": "Aigerim Canaryova",
                "role": "driver",
                "locale": "kk",
            }
            assert body["company"]["company_id"] == str(world.company_id)
            assert body["expires_at"] == "2026-12-22T12:00:00Z"
            seen = await client.get("/v1/session", headers=bearer(body["token"]))
            assert await seen.json() == {**body, "token": None}


async def test_a_browser_gets_a_cookie_and_no_token(world: World) -> None:
    async with accounts(world) as client:
        await join(client, await world.session("dispatcher"))
        answer = await log_in(client, transport="cookie")
        cookie = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
        body = await answer.json()

        assert body["token"] is None
        assert body["expires_at"] == "2026-11-23T00:00:00Z"
        assert cookie["httponly"]
        assert cookie["secure"]
        assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Strict", "/", "")
        assert cookie["max-age"] == "43200"
        headers = {"Cookie": f"{COOKIE}={cookie.value}"}
        assert (await client.get("/v1/session", headers=headers)).status == 200


async def test_logging_out_ends_this_session_only(world: World) -> None:
    async with accounts(world) as client:
        await join(client, await world.session("dispatcher"))
        first, second = [await token_of(await log_in(client)) for _ in range(2)]

        answer = await client.delete("/v1/session", headers=bearer(first))

        assert answer.status == 204
        assert f'{COOKIE}=""' in answer.headers["Set-Cookie"]
        assert "Max-Age=0" in answer.headers["Set-Cookie"]
        assert (await client.get("/v1/session", headers=bearer(first))).status == 401
        assert (await client.get("/v1/session", headers=bearer(second))).status == 200


async def test_sessions_that_ran_out_go_at_the_next_log_in(world: World) -> None:
    clock = Clock()
    async with accounts(world, clock=clock) as client:
        await join(client, await world.session("dispatcher"))
        await token_of(await log_in(client))
        clock.at = NOW + timedelta(days=30)
        await token_of(await log_in(client))

    left = await world.owner.fetchval("SELECT count(*) FROM session WHERE expires_at <= $1", NOW)
    assert left == 0


@pytest.mark.proves("gocargo:use-of-the-site-access")
async def test_every_wrong_pair_gets_the_same_answer(world: World) -> None:
    async with accounts(world) as client:
        staff = await world.session("dispatcher")
        await join(client, staff)
        await add(
            client, "/v1/drivers", staff, {"name": "N", "phone": "87010000001", "locale": "en"}
        )
        answers = [
            await log_in(client, password="wrong password"),  # noqa: S106 - of nobody
            await log_in(client, "87019999999"),
            await log_in(client, "nobody@aral.example"),
            await log_in(client, "87010000001"),  # invited: no password yet
            await log_in(client, company_id=str(world.driver.member_id)),
        ]

        assert {answer.status for answer in answers} == {401}
        assert len({await answer.read() for answer in answers}) == 1


class CountedPasswords(Passwords):
    """Notes the parameters of every hash that a password is held against."""

    def __init__(self, verified: list[list[str]]) -> None:
        super().__init__()
        self.verified = verified

    def _matches(self, against: str, password: str) -> bool:
        self.verified.append(against.split("$")[1:4])
        return super()._matches(against, password)


@pytest.mark.proves("relog-driver-manager-apps:6.3", "gocargo:use-of-the-site-access")
async def test_an_unknown_login_costs_the_same_work(world: World) -> None:
    """Count what is done instead of timing it."""
    verified: list[list[str]] = []

    async def counting(app: web.Application) -> AsyncIterator[None]:
        app[PASSWORDS], plain = CountedPasswords(verified), app[PASSWORDS]
        yield
        app[PASSWORDS].close()
        plain.close()

    async with serve(
        world,
        ENDPOINTS,
        ATTESTATIONS,
        prepare=lambda app: app.cleanup_ctx.extend([logging_in, counting]),
    ) as client:
        await join(client, await world.session("dispatcher"))
        work = []
        for login in (PHONE, "87019999999", "nobody@aral.example"):
            verified.clear()
            await log_in(client, login, password="wrong password")  # noqa: S106 - of nobody
            work.append(list(verified))

    assert work[0] == work[1] == work[2]
    assert work[0] == [["argon2id", "v=19", "m=19456,t=2,p=1"]] * VERIFICATIONS_MIN


async def test_a_password_of_128_characters_logs_in_and_its_last_one_counts(world: World) -> None:
    longest = "correct horse battery " + "staple " * 15 + "."
    async with accounts(world) as client:
        added = await add(client, "/v1/drivers", await world.session("dispatcher"), new_driver())
        await accept(client, added["invitation"]["code"], password=longest)
        right = await log_in(client, password=longest)
        wrong = await log_in(client, password=f"{longest[:-1]}!")

    assert (len(longest), right.status, wrong.status) == (128, 200, 401)


async def test_a_person_of_two_companies_chooses_after_the_password(world: World) -> None:
    other = await add_company(world.vault, world.owner)
    chief = await add_member(world.vault, world.pool, other, role="main_user")
    async with accounts(world) as client:
        await join(client, await world.session("dispatcher"))
        await join(client, await open_session(world.pool, other, chief))

        wrong = await log_in(client, password="wrong password")  # noqa: S106 - of nobody
        asked = await log_in(client)
        chosen = await log_in(client, company_id=str(other))

        assert await code_of(wrong) == (401, "login-failed")
        assert await code_of(asked) == (409, "company-needed")
        companies = (await asked.json())["companies"]
        assert {one["company_id"] for one in companies} == {str(world.company_id), str(other)}
        assert all(set(one) == {"company_id", "name"} for one in companies)
        assert (await chosen.json())["company"]["company_id"] == str(other)


async def test_a_named_company_is_found_however_many_know_the_person(world: World) -> None:
    login_hash = world.vault.blind_index(*canonical_login(PHONE))
    async with accounts(world) as client:
        await join(client, await world.session("dispatcher"))
        # Companies whose ids come first, which would fill the list.
        await world.owner.executemany(
            "INSERT INTO login_directory (login_hash, company_id) VALUES ($1, $2)",
            [(login_hash, UUID(int=number)) for number in range(1, COMPANIES_MAX + 1)],
        )

        assert (await log_in(client)).status == 401
        assert (await log_in(client, company_id=str(world.company_id))).status == 200


async def test_a_password_is_asked_by_every_company_itself(world: World) -> None:
    other = await add_company(world.vault, world.owner)
    chief = await add_member(world.vault, world.pool, other, role="main_user")
    async with accounts(world) as client:
        await join(client, await world.session("dispatcher"))
        added = await add(
            client,
            "/v1/drivers",
            await open_session(world.pool, other, chief),
            {"name": "N", "phone": PHONE, "locale": "en"},
        )
        await accept(client, added["invitation"]["code"], password="another password")  # noqa: S106

        here = await log_in(client)
        there = await log_in(client, password="another password")  # noqa: S106 - of nobody
        crossed = await log_in(client, company_id=str(other))

        assert (await here.json())["company"]["company_id"] == str(world.company_id)
        assert (await there.json())["company"]["company_id"] == str(other)
        assert await code_of(crossed) == (401, "login-failed")


@pytest.mark.parametrize("state", ["blocked", "grace", "erasing"])
async def test_staff_who_are_not_active_cannot_log_in(world: World, state: str) -> None:
    async with accounts(world) as client:
        chief = await world.session("main_user", stepped_up=True)
        added = await add(client, "/v1/members", chief, new_staff())
        await accept(client, added["invitation"]["code"])
        assert (await log_in(client, EMAIL)).status == 200
        await world.owner.execute("UPDATE member SET state = $1 WHERE role = 'dispatcher'", state)

        assert await code_of(await log_in(client, EMAIL)) == (401, "login-failed")


@pytest.mark.proves("relog-driver-manager-apps:6.3", "gocargo:use-of-the-site-access")
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("named", [True, False])
async def test_after_too_many_attempts_even_the_right_password_waits(
    world: World,
    known: bool,  # noqa: FBT001 - a parameter of the test
    named: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    company = {"company_id": str(world.company_id)} if named else {}
    async with accounts(world) as client:
        await join(client, await world.session("dispatcher"))
        login = PHONE if known else "87019999999"
        for _ in range(FREE_ATTEMPTS):
            answer = await log_in(client, login, password="wrong password", **company)  # noqa: S106
            assert answer.status == 401
        answer = await log_in(client, login, **company)
        body = await answer.json()

        assert (answer.status, body["code"]) == (429, "too-many-attempts")
        assert body["retry_after_s"] == 1
        assert int(answer.headers["Retry-After"]) >= body["retry_after_s"]
        assert (await log_in(client, "nobody@aral.example")).status == 401


async def test_another_companys_password_forgives_no_attempts_here(world: World) -> None:
    """Whoever runs a company can invite any phone there, and knows the password of that."""
    other = await add_company(world.vault, world.owner)
    chief = await add_member(world.vault, world.pool, other, role="main_user")
    theirs = "a password of their own"
    async with accounts(world) as client:
        await join(client, await world.session("dispatcher"))
        added = await add(
            client, "/v1/drivers", await open_session(world.pool, other, chief), new_driver()
        )
        assert (await accept(client, added["invitation"]["code"], password=theirs)).status == 200

        for company in ({}, {"company_id": str(world.company_id)}):
            statuses = set()
            for _ in range(FREE_ATTEMPTS // 2 + 1):
                guess = await log_in(client, password="wrong password", **company)  # noqa: S106
                own = await log_in(client, password=theirs, company_id=str(other))
                anywhere = await log_in(client, password=theirs)
                statuses |= {guess.status, anywhere.status}
                assert own.status == 200

            assert 429 in statuses
            if company:
                # Their own attempts without a company are counted as well, but not here.
                assert (await log_in(client, **company)).status == 200


async def test_passwords_are_looked_at_for_a_bounded_number_at_once() -> None:
    passwords = Passwords()
    turns = [passwords.turn() for _ in range(WAITING_MAX)]
    for turn in turns:
        await turn.__aenter__()

    with pytest.raises(LogInBusy):
        await passwords.turn().__aenter__()
    await turns[0].__aexit__(None, None, None)
    async with passwords.turn():
        pass
    passwords.close()


async def test_the_hash_of_nobody_is_nobodys_password() -> None:
    passwords = Passwords()

    assert not await passwords.verify(PASSWORD, None)
    assert await passwords.verify(PASSWORD, await passwords.hash(PASSWORD))
    passwords.close()
