"""Who may call what, at every endpoint: nobody without a token, nobody with another's."""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from server.app import ENDPOINTS
from server.credentials.model import Kind, Role, Scope
from server.kit import tokens
from server.kit.api import Endpoint
from tests.api import samples
from tests.api.asking import CANARY, GUARDED, JSON, Answer, Stage, ask, name_of, path_of, tokens_for
from tests.api.matrix import BY_HANDLER, ids_in
from tests.api.people import DEVICE, fresh_session, may_call

each_guarded = pytest.mark.parametrize("one", GUARDED, ids=name_of)
PATHS = tuple(dict.fromkeys(one.path for one in ENDPOINTS))


WITH_ID = tuple(one for one in ENDPOINTS if ids_in(one) and one.access.security())


async def call(
    stage: Stage, one: Endpoint, token: str | None, ids: Mapping[str, str], **more: Any
) -> Answer:
    """Call with these ids wherever the endpoint takes them."""
    query: dict[str, str] = samples.query(one)
    named = [part["name"] for part in samples.operation(one)["parameters"] if part["in"] == "query"]
    query |= {name: ids[name] for name in named if name in ids}
    data = None
    if one.takes_body:
        body = samples.bodies(one)[0]
        data = json.dumps(body | {name: ids[name] for name in body if name in ids}).encode()
    headers = {**JSON, **more.pop("headers", {})} if data is not None else more.pop("headers", {})
    return await ask(
        stage, one, token=token, ids=ids, query=query, data=data, headers=headers, **more
    )


@pytest.mark.proves("relog-driver-manager-apps:4.2.2", "cargotechservice:3.1")
@each_guarded
async def test_without_a_token_that_is_known_and_alive_it_is_401(
    stage: Stage, one: Endpoint
) -> None:
    ours = stage.ours
    expired = await fresh_session(stage.served, ours, "main_user", lasts=timedelta(seconds=-1))
    nobody = [tokens.mint(kind, ours.company_id)[0] for kind in (*Kind, "xx")]
    nowhere = tokens.mint(Kind.SESSION, uuid4())[0]
    cut = [token[:-1] for token in ours.tokens.values()]
    for token in (None, "", CANARY, expired, nowhere, *nobody, *cut):
        answer = await call(stage, one, token, ours.things)

        assert (answer.status, answer.problem["code"]) == (401, "not-authenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@each_guarded
@pytest.mark.parametrize("scheme", ["Basic", "Token", "", "Bearer Bearer"])
async def test_a_token_shown_in_another_way_is_401(
    stage: Stage, one: Endpoint, scheme: str
) -> None:
    for token in stage.ours.tokens.values():
        shown = {"Authorization": f"{scheme} {token}".strip()}
        answer = await call(stage, one, None, stage.ours.things, headers=shown)

        assert answer.status == 401


@pytest.mark.proves(
    "relog-driver-manager-apps:1.5", "relog-driver-manager-apps:4.2.2", "cargotechservice:3.1"
)
@each_guarded
async def test_whoever_may_not_call_is_403(stage: Stage, one: Endpoint) -> None:
    ours = stage.ours
    status = 401 if one.name == BY_HANDLER else 403
    others = {caller: token for caller, token in ours.tokens.items() if not may_call(one, caller)}
    scope = getattr(one.access, "scope", None)
    others |= {str(held): token for held, token in ours.api_tokens.items() if held != scope}
    assert others

    for caller, token in others.items():
        answer = await call(stage, one, token, ours.things)

        assert answer.status == status, caller


@pytest.mark.parametrize(
    "one", [one for one in GUARDED if getattr(one.access, "step_up", False)], ids=name_of
)
async def test_a_session_that_was_not_proven_anew_is_403(stage: Stage, one: Endpoint) -> None:
    for role in Role:
        if may_call(one, role):
            token = await fresh_session(stage.served, stage.ours, role)
            answer = await call(stage, one, token, stage.ours.things)

            assert (answer.status, answer.problem["code"]) == (403, "step-up-needed")


@pytest.mark.parametrize(
    "one",
    [one for one in GUARDED if one.method != "GET" and one.name != BY_HANDLER],
    ids=name_of,
)
async def test_a_session_as_a_cookie_needs_our_own_origin_to_change_anything(
    stage: Stage, one: Endpoint
) -> None:
    for role in Role:
        for origin in ({}, {"Origin": "https://elsewhere.example"}, {"Origin": "null"}):
            cookie = {"Cookie": f"__Host-jolda={stage.ours.tokens[role]}", **origin}
            answer = await call(stage, one, None, stage.ours.things, headers=cookie)

            assert (answer.status, answer.problem["code"]) == (403, "origin-foreign")


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_no_answer_lets_another_site_read_it(stage: Stage, method: str) -> None:
    asking = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    for one in GUARDED:
        if one.method != "GET" or one.name == "stream":
            continue
        address = stage.served.url + path_of(one, stage.ours.things)
        async with stage.http.request(method, address, headers=asking) as response:
            assert not [name for name in response.headers if name.startswith("Access-Control-")]


@pytest.mark.parametrize("kind", [Kind.DEVICE, Kind.API])
async def test_only_a_session_is_taken_from_a_cookie(stage: Stage, kind: Kind) -> None:
    held = {
        Kind.DEVICE: stage.ours.tokens[DEVICE],
        Kind.API: stage.ours.api_tokens[Scope.LIVE_READ],
    }[kind]
    for one in GUARDED:
        headers = {"Cookie": f"__Host-jolda={held}"}

        assert (await call(stage, one, None, stage.ours.things, headers=headers)).status == 401


@pytest.mark.proves("relog-service:2.3", "gocargo:use-of-the-site-other-users")
@pytest.mark.parametrize("one", WITH_ID, ids=name_of)
async def test_another_company_learns_and_changes_nothing(
    stage: Stage, one: Endpoint, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    names = ids_in(one)
    ours = {name: stage.ours.things[name] for name in names}
    before = await digest(owner, stage.ours.company_id)
    for token in tokens_for(one, stage.theirs):
        answer = await call(stage, one, token, ours)
        unknown = await call(stage, one, token, {name: str(uuid4()) for name in names})

        assert (answer.status, answer.body) == (unknown.status, unknown.body)
        if one.parameters:
            assert answer.status == 404

    assert await digest(owner, stage.ours.company_id) == before


@pytest.mark.parametrize(
    "one", [one for one in WITH_ID if one.method == "GET" and one.parameters], ids=name_of
)
async def test_the_own_company_finds_what_the_other_does_not(stage: Stage, one: Endpoint) -> None:
    """The control of the rule above: these ids do exist."""
    found = [
        (await call(stage, one, token, stage.ours.things)).status
        for token in tokens_for(one, stage.ours)
    ]

    assert 200 in found


async def digest(
    owner: "asyncpg.Connection[asyncpg.Record]", company_id: UUID
) -> Mapping[str, str]:
    """Return what each table holds of the company, in one value each."""
    tables = await owner.fetch(
        """
        SELECT c.relname AS name FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
        """
    )
    assert len(tables) >= 15
    found = {}
    for table in tables:
        select = f"SELECT t::text AS told FROM {table['name']} t WHERE company_id = $1"  # noqa: S608 - names from the catalogue
        rows = sorted(cast("str", row["told"]) for row in await owner.fetch(select, company_id))
        found[str(table["name"])] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


@pytest.mark.parametrize("path", PATHS)
async def test_an_unknown_method_is_405_and_names_the_known_ones(stage: Stage, path: str) -> None:
    known = {one.method for one in ENDPOINTS if one.path == path}
    one = next(one for one in ENDPOINTS if one.path == path)
    allowed = known | ({"HEAD"} if "GET" in known else set())
    for method in ("PUT", "PATCH", "DELETE", "GET", "POST", "OPTIONS", "TRACE", "QUERY"):
        if method in known:
            continue
        address = stage.served.url + path_of(one, stage.ours.things)
        async with stage.http.request(method, address) as response:
            told = await response.json(content_type="application/problem+json")

            assert (response.status, told["code"]) == (405, "method-not-allowed")
            assert set(response.headers["Allow"].split(",")) <= allowed
            assert known <= set(response.headers["Allow"].split(","))


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/healthz",
        "/.git/config",
        "/debug",
        "/v1",
        "/v1/",
        "/v1/nothing",
        f"/v1/{CANARY}",
        "/v2/drivers",
        "/v1//drivers",
    ],
)
async def test_an_unknown_path_is_404(stage: Stage, path: str) -> None:
    async with stage.http.get(stage.served.url + path) as response:
        told = await response.read()

    assert response.status == 404
    assert response.content_type == "application/problem+json"
    assert CANARY.encode() not in told
