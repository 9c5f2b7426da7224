"""Problems: one shape, the right status, and never a word of what was sent."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession, web
from pydantic_core._pydantic_core import list_all_errors

from server.kit import errors
from server.kit.db import Pool
from server.kit.http_server import listening
from server.kit.problem import STATUS, of_error, path_of, problems, status_of, where
from tests.kit import toy

CANARY = "CANARY-55.7558"
HOLDER = {"Authorization": f"Bearer {toy.TOKEN}"}
PLACE: dict[str, Any] = {"name": "Depot", "lat": 43.2, "lon": 76.9}


@pytest.fixture(scope="module")
async def client() -> AsyncGenerator[ClientSession]:
    async with toy.served() as opened:
        yield opened


WRONG: dict[str, Any] = {
    "a text for a number": {"lat": CANARY},
    "a long number": {"lat": 55.7558e300},
    "a number for a text": {"name": 55.7558},
    "a list for a text": {"name": [CANARY]},
    "a control character": {"name": f"{CANARY}\x00"},
    "too long a text": {"name": CANARY * 10},
    "a word that is none of ours": {"kind": CANARY},
    "a time that is none": {"open_from": CANARY},
    "a number for a time": {"open_from": 55.7558},
    "an id that is none": {"owner": CANARY},
    "an address that is none": {"email": f"{CANARY}\u00e9@{CANARY}..test"},
    "another address": {"email": f'"{CANARY} @example.test'},
    "a tag that is none of ours": {"area": {"shape": CANARY}},
    "a tag that is a number": {"area": {"shape": 55.7558}},
    "no tag": {"area": {CANARY: 1}},
    "an unknown member": {CANARY: CANARY},
    "an unknown member of a member": {"area": {"shape": "ring", "radius_m": 5, CANARY: 1}},
    "a long unknown member": {CANARY * 100: 1},
    "a text for a yes": {"covered": CANARY},
    "a list with one wrong": {"tags": ["a", CANARY * 2]},
    "far too many": {"tags": [CANARY] * 1000},
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_does_not_fit_is_named_by_place_and_never_repeated(
    client: ClientSession, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with client.post("/v1/places", json={**PLACE, **WRONG[name]}, headers=HOLDER) as response:
        told = await response.text()

    problem = json.loads(told)
    assert response.status == 422
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert problem["type"] == "/problems/fields-invalid"
    assert 1 <= len(problem["fields"]) <= 20
    assert set(problem["fields"][0]) == {"path", "code", "detail"}
    for trace in ("CANARY", "55.7558", "7558", "\x00"):
        assert trace not in told
        assert trace not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"lat": 91}, "/lat"),
        ({"tags": ["a", "b" * 11]}, "/tags/1"),
        ({"area": {"shape": "ring", "radius_m": 0}}, "/area/ring/radius_m"),
        ({"lattitude": 1}, "/lattitude"),
        ({"+7 701": 1}, "/?"),
        ({"a" * 33: 1}, "/?"),
        ({"a\n": 1}, "/?"),
    ],
)
async def test_the_place_is_a_pointer_into_the_body(
    client: ClientSession, body: dict[str, Any], path: str
) -> None:
    async with client.post("/v1/places", json={**PLACE, **body}, headers=HOLDER) as response:
        told = await response.json()

    assert [field["path"] for field in told["fields"]] == [path]


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("limit=0", ["?limit"]),
        ("limit=1&limit=1", ["?limit"]),
        (f"{CANARY}=1", ["??"]),
        (f"{CANARY}=1&{CANARY}=2", ["??"]),
        (f"since={CANARY}&kind={CANARY}", ["?kind", "?since"]),
        ("since=2026-11-22T12:00:00", ["?since"]),
        ("near_lat=NaN", ["?near_lat"]),
        ("near_lat=1e400", ["?near_lat"]),
        ("near_lat=%00", ["?near_lat"]),
        ("near_lat=%FF", ["?near_lat"]),
        ("limit=%C2%B2", ["?limit"]),
        ("limit=", ["?limit"]),
        ("limit", ["?limit"]),
    ],
)
async def test_a_query_is_as_strict_as_a_body(
    client: ClientSession, query: str, paths: list[str]
) -> None:
    async with client.get(f"/v1/places?{query}") as response:
        told = await response.text()

    assert response.status == 422
    assert sorted(field["path"] for field in json.loads(told)["fields"]) == paths
    assert CANARY not in told


def test_every_message_of_pydantic_that_quotes_the_input_is_known() -> None:
    # Filled by the schema alone. A new name here: does it come from the input?
    ours = {
        "gt", "ge", "lt", "le", "multiple_of", "field_type", "min_length", "max_length",
        "expected_plural", "actual_length", "pattern", "expected", "class", "class_name",
        "encoding", "discriminator", "expected_tags", "expected_schemes", "expected_version",
        "max_digits", "decimal_places", "whole_digits", "tz_expected", "method_name", "attribute",
    }  # fmt: skip
    echoing = {"error", "tag", "tz_actual", "encoding_error"}

    placeholders = {
        part.partition("}")[0]
        for kind in list_all_errors()
        for part in kind["message_template_python"].split("{")[1:]
    }

    assert placeholders <= ours | echoing


async def test_an_unknown_path_and_method_are_problems_too(client: ClientSession) -> None:
    async with client.get(f"/v1/{CANARY}") as missing, client.put("/v1/places") as method:
        assert (missing.status, (await missing.json())["code"]) == (404, "not-found")
        assert (method.status, (await method.json())["code"]) == (405, "method-not-allowed")
        assert method.headers["Allow"] == "GET,POST"
        assert CANARY not in await missing.text()


async def test_a_bug_is_a_500_without_its_text_here_and_in_the_log(
    client: ClientSession, capfd: pytest.CaptureFixture[str]
) -> None:
    async with client.get("/v1/wrong") as response:
        told = await response.text()

    assert response.status == 500
    assert json.loads(told)["code"] == "internal"
    logged = "".join(capfd.readouterr())
    assert "unhandled_error" in logged
    assert "toy.py" in logged
    assert "CANARY" not in told + logged


async def test_a_database_that_went_away_is_a_503_that_says_when_to_come_back(
    app_pool: Pool, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async def killed(_request: web.Request) -> web.Response:
        async with app_pool.acquire() as conn, conn.transaction():
            pid = conn.get_server_pid()
            await owner.execute("SELECT pg_terminate_backend($1)", pid)
            await conn.execute("SELECT 1")
        return web.Response()

    async def gone(_request: web.Request) -> web.Response:
        async with app_pool.acquire() as conn, conn.transaction():
            conn.terminate()
        return web.Response()

    async def refused(_request: web.Request) -> web.Response:
        await asyncpg.connect("postgresql://127.0.0.1:1/none", timeout=1)
        return web.Response()

    async def late(_request: web.Request) -> web.Response:
        await app_pool.fetchval("SELECT pg_sleep(5)", timeout=0.05)
        return web.Response()

    async def cancelled(_request: web.Request) -> web.Response:
        async with app_pool.acquire() as conn, conn.transaction():
            await conn.execute("SET LOCAL statement_timeout = 10")
            await conn.execute("SELECT pg_sleep(5)")
        return web.Response()

    app = web.Application(middlewares=[problems])
    for handler in (killed, gone, refused, late, cancelled):
        app.router.add_get(f"/{handler.__name__}", handler)
    async with (
        listening(app, host="127.0.0.1", port=0) as address,
        ClientSession(address.url) as client,
    ):
        for path in ("/killed", "/gone", "/refused", "/late", "/cancelled"):
            async with client.get(path) as response:
                told = await response.json()

                assert (path, response.status, told["code"]) == (path, 503, "unavailable")
                assert 1 <= told["retry_after_s"] <= int(response.headers["Retry-After"]) <= 10


def test_each_kind_of_refusal_has_a_status() -> None:
    kinds = errors.DomainError.__subclasses__()

    assert {kind for kind in kinds if kind.__module__ == errors.__name__} == set(STATUS)


def test_waiting_is_told_in_whole_seconds_in_the_header() -> None:
    class Later(errors.TooMany):
        slug = "later"
        title = "Later"
        retry_after_s = 1.2

    answer = of_error(Later("Wait."))

    assert answer.status == status_of(Later) == 429
    assert answer.headers["Retry-After"] == "2"
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body)["retry_after_s"] == 1.2


def test_who_did_not_prove_who_they_are_is_told_how() -> None:
    answer = of_error(toy.NotKnown())

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_error_is_placed_but_not_quoted() -> None:
    with pytest.raises(ValueError, match="Expecting") as raised:
        json.loads("CANARY")
    told = where(raised.value)

    assert told["error"] == "JSONDecodeError"
    assert "test_problem.py" in told["at"]
    assert "CANARY" not in str(told)


def test_a_pointer_names_only_what_could_be_a_member() -> None:
    assert path_of("stops", 0, "lat") == "/stops/0/lat"
    assert path_of("from", query=True) == "?from"
    assert path_of(CANARY) == "/?"
    assert path_of() == ""
    assert path_of("ж", "a b", "9a", "a-b", "") == "/?/?/?/?/?"
