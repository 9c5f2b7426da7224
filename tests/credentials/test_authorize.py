"""Who is calling: every way a token or a cookie can be wrong."""

import string
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from aiohttp import ClientSession, web

from server.credentials.access import (
    ANY_MEMBER,
    CALLER,
    COOKIE,
    DEVICE,
    MAIN_USER,
    PUBLIC,
    PUBLIC_ORIGIN,
    staff,
)
from server.credentials.model import Scope
from server.kit import db, tokens
from server.kit.api import endpoint
from server.kit.ids import uuid7
from server.kit.web import COMPANY, transaction
from tests.accounts.people import code_of
from tests.http import Clock, bearer, serve
from tests.world import NOW, World, add_company, add_member, open_session

ORIGIN = "https://jolda.example"


@endpoint("GET", "/who", access=ANY_MEMBER)
async def who(request: web.Request) -> dict[str, str]:
    return {"role": str(request[CALLER].role), "company": str(request[COMPANY])}


@endpoint("POST", "/act", access=ANY_MEMBER)
async def act(request: web.Request) -> dict[str, str]:
    return {"role": str(request[CALLER].role)}


@endpoint("GET", "/chief", access=MAIN_USER)
async def chief(request: web.Request) -> dict[str, str]:
    return {"role": str(request[CALLER].role)}


@endpoint("GET", "/routes", access=staff(Scope.ROUTES_READ))
async def routes(request: web.Request) -> dict[str, str]:
    return {"api_token": str(request[CALLER].api_token_id)}


@endpoint("GET", "/open", access=PUBLIC)
async def public(request: web.Request) -> dict[str, bool]:
    return {"known": request.get(COMPANY) is not None}


@endpoint("GET", "/careless", access=DEVICE)
async def careless(request: web.Request) -> dict[str, str]:
    async with transaction(request):
        return {}


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(world: World, clock: Clock) -> AsyncIterator[ClientSession]:
    endpoints = (who, act, chief, routes, public, careless)

    def prepare(app: web.Application) -> None:
        app[PUBLIC_ORIGIN] = ORIGIN

    async with serve(world, endpoints, clock=clock, prepare=prepare) as opened:
        yield opened


async def api_token(world: World, scope: str, **times: object) -> str:
    token, digest = tokens.mint("ja", world.company_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await conn.execute(
            "INSERT INTO api_token (company_id, api_token_id, name, scopes, token_hash, created_at,"
            " expires_at, revoked_at) VALUES ($1, $2, 'x', $3, $4, $5, $6, $7)",
            world.company_id,
            uuid7(),
            [scope],
            digest,
            NOW,
            times.get("expires_at"),
            times.get("revoked_at"),
        )
    return token


async def test_each_kind_of_token_is_who_it_says(client: ClientSession, world: World) -> None:
    session = await client.get("/who", headers=bearer(await world.session("dispatcher")))
    integration = await client.get("/routes", headers=bearer(await api_token(world, "routes:read")))

    assert await session.json() == {"role": "dispatcher", "company": str(world.company_id)}
    assert UUID((await integration.json())["api_token"]).version == 7


async def test_a_public_endpoint_asks_nobody(client: ClientSession, world: World) -> None:
    for headers in ({}, bearer("nonsense"), bearer(await world.session("driver"))):
        answer = await client.get("/open", headers=headers)

        assert await answer.json() == {"known": False}


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer x", "Basic dTpw", "Bearer js_x_y", "js",
     "Bearer " + "a" * 4_000, "Bearer js__", "Token " + "a" * 60],
)  # fmt: skip
async def test_no_token_or_no_token_of_ours_is_not_authenticated(
    client: ClientSession, header: str | None
) -> None:
    answer = await client.get("/who", headers={} if header is None else {"Authorization": header})

    assert await code_of(answer) == (401, "not-authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_every_changed_character_makes_a_token_nobodys(
    client: ClientSession, world: World
) -> None:
    token = await world.session("dispatcher")

    for place, char in enumerate(token):
        letters = string.ascii_letters + string.digits + "-_"
        other = letters[(letters.index(char) + 1) % len(letters)]
        answer = await client.get(
            "/who", headers=bearer(token[:place] + other + token[place + 1 :])
        )
        assert await code_of(answer) == (401, "not-authenticated"), place
    assert (await client.get("/who", headers=bearer(token))).status == 200


async def test_wrong_tokens_of_every_sort_are_answered_alike(
    client: ClientSession, world: World
) -> None:
    good = await world.session("dispatcher")
    elsewhere, _ = tokens.mint("js", uuid7())
    foreign = await add_company(world.vault, world.owner)
    unknown = [tokens.mint(kind, world.company_id)[0] for kind in ("js", "jd", "ja", "ji", "zz")]
    as_other_kind = [kind + good[2:] for kind in ("jd", "ja", "ji", "zz")]
    in_other_company = good[:3] + tokens.mint("js", foreign)[0][3:25] + good[25:]

    bodies = set()
    for token in [elsewhere, *unknown, *as_other_kind, in_other_company]:
        answer = await client.get("/who", headers=bearer(token))
        assert answer.status == 401
        bodies.add(await answer.read())

    assert len(bodies) == 1


async def test_a_session_ends_at_its_time(
    client: ClientSession, world: World, clock: Clock
) -> None:
    token = await world.session("dispatcher")

    clock.at = NOW + timedelta(days=1) - timedelta(milliseconds=1)
    before = await client.get("/who", headers=bearer(token))
    clock.at = NOW + timedelta(days=1)
    after = await client.get("/who", headers=bearer(token))

    assert before.status == 200
    assert await code_of(after) == (401, "not-authenticated")


async def test_api_tokens_revoked_or_run_out_are_nobodys(
    client: ClientSession, world: World
) -> None:
    revoked = await api_token(world, "routes:read", revoked_at=NOW)
    run_out = await api_token(world, "routes:read", expires_at=NOW)
    other_scope = await api_token(world, "drivers:read")

    for token, expected in (
        (revoked, (401, "not-authenticated")),
        (run_out, (401, "not-authenticated")),
        (other_scope, (403, "not-permitted")),
    ):
        assert await code_of(await client.get("/routes", headers=bearer(token))) == expected


@pytest.mark.parametrize("role", ["driver", "dispatcher"])
async def test_a_role_that_is_not_named_is_not_permitted(
    client: ClientSession, world: World, role: str
) -> None:
    answer = await client.get("/chief", headers=bearer(await world.session(role)))

    assert await code_of(answer) == (403, "not-permitted")


async def test_a_device_token_is_good_for_nothing_but_uploads(
    client: ClientSession, world: World
) -> None:
    headers = bearer(world.driver.device_token)

    for path in ("/who", "/chief", "/routes"):
        assert await code_of(await client.get(path, headers=headers)) == (403, "not-permitted")


async def test_an_upload_endpoint_that_forgets_to_ask_reaches_no_data(
    client: ClientSession, world: World
) -> None:
    answer = await client.get("/careless", headers=bearer(world.driver.device_token))

    assert await code_of(answer) == (500, "internal")


@pytest.mark.parametrize(
    ("role", "state", "status"),
    [
        ("driver", "invited", 200),
        ("driver", "active", 200),
        ("driver", "blocked", 200),
        ("driver", "grace", 200),
        ("driver", "erasing", 401),
        ("dispatcher", "active", 200),
        ("dispatcher", "blocked", 401),
        ("main_user", "grace", 401),
        ("main_user", "erasing", 401),
    ],
)
async def test_the_state_of_the_account_decides_at_every_request(
    client: ClientSession, world: World, role: str, state: str, status: int
) -> None:
    member_id = await add_member(world.vault, world.pool, world.company_id, role=role)
    token = await open_session(world.pool, world.company_id, member_id)
    await world.owner.execute("UPDATE member SET state = $2 WHERE member_id = $1", member_id, state)

    assert (await client.get("/who", headers=bearer(token))).status == status


async def test_a_cookie_reads_from_anywhere_but_acts_only_from_our_own_pages(
    client: ClientSession, world: World
) -> None:
    cookie = {"Cookie": f"{COOKIE}={await world.session('dispatcher')}"}
    own = str(client._base_url).rstrip("/")  # noqa: SLF001 - where the test's server listens

    assert (await client.get("/who", headers=cookie)).status == 200
    for origin in (own, ORIGIN):
        assert (await client.post("/act", headers={**cookie, "Origin": origin})).status == 200
    for headers in (
        {},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://evil.example"},
        {"Origin": ORIGIN + ".evil.example"},
        {"Origin": ORIGIN.replace("https", "http")},
        {"Origin": own + "1"},
        {"Referer": own + "/"},
    ):
        answer = await client.post("/act", headers={**cookie, **headers})
        assert await code_of(answer) == (403, "origin-foreign"), headers


async def test_without_a_public_origin_only_the_servers_own_pages_act(world: World) -> None:
    cookie = {"Cookie": f"{COOKIE}={await world.session('dispatcher')}"}
    async with serve(world, (act,)) as plain:
        own = str(plain._base_url).rstrip("/")  # noqa: SLF001 - where the test's server listens
        assert (await plain.post("/act", headers={**cookie, "Origin": own})).status == 200
        for headers in ({}, {"Origin": ""}, {"Origin": "null"}, {"Origin": ORIGIN}):
            answer = await plain.post("/act", headers={**cookie, **headers})
            assert await code_of(answer) == (403, "origin-foreign"), headers


async def test_a_bearer_token_needs_no_origin(client: ClientSession, world: World) -> None:
    headers = {**bearer(await world.session("dispatcher")), "Origin": "https://evil.example"}

    assert (await client.post("/act", headers=headers)).status == 200


async def test_only_sessions_travel_in_the_cookie(client: ClientSession, world: World) -> None:
    for token in (world.driver.device_token, await api_token(world, "routes:read"), "x"):
        answer = await client.get("/routes", headers={"Cookie": f"{COOKIE}={token}"})

        assert await code_of(answer) == (401, "not-authenticated")


async def test_a_wrong_header_is_not_saved_by_a_right_cookie(
    client: ClientSession, world: World
) -> None:
    headers = {"Cookie": f"{COOKIE}={await world.session('dispatcher')}", **bearer("wrong")}

    assert (await client.get("/who", headers=headers)).status == 401
