"""Files of a report over HTTP: handed over as the report is, and told to the driver."""

import asyncio
import csv
import io
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import gpxpy
import openpyxl
import pytest
from aiohttp import ClientSession
from pypdf import PdfReader

from server.gate import handover
from server.gate import service as gate
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.report_files.model import CONTENT_TYPES, FileFormat
from server.report_files.web import ENDPOINTS
from server.reports import web as reports
from server.routes import web as routes
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.endpoints import CONSENT, TRACKING
from tests.http import bearer, serve
from tests.world import NOW, World, add_company, add_member, open_session

FORMATS = list(FileFormat)
ROUTE = "R-1042 / =1+1"
FACT = re.compile(rb"43\.2[0-9]*7\b|76\.8[0-9]*7\b")
"""Where the driver was: no plan leads there."""


@pytest.fixture
async def client(world: World, databases: Databases) -> AsyncIterator[ClientSession]:
    async with serve(
        world,
        CONSENT,
        TRACKING,
        routes.ENDPOINTS,
        reports.ENDPOINTS,
        ENDPOINTS,
        prepare=lambda app: app.cleanup_ctx.append(uploads.uploading(databases.main)),
    ) as opened:
        yield opened


@pytest.fixture
async def dispatcher(world: World) -> dict[str, str]:
    return bearer(await world.session("dispatcher"))


@pytest.fixture
async def route_id(client: ClientSession, world: World, dispatcher: dict[str, str]) -> str:
    """Plan a route and drive along it, in places that end with a 7."""
    body = {
        "name": ROUTE,
        "date": "2026-11-22",
        "driver_id": str(world.driver.member_id),
        "planned_start": rfc3339(NOW - timedelta(hours=1)),
        "stops": [
            {"name": "=Depot", "lat": 43.2, "lon": 76.8, "planned_arrival": rfc3339(NOW)},
            {"name": "Қойма", "lat": 43.3, "lon": 76.9},
        ],
        "line": [[76.8, 43.2], [76.9, 43.3]],
    }
    async with client.post("/v1/routes", json=body, headers=dispatcher) as answer:
        assert answer.status == 201, await answer.text()
        found: str = (await answer.json())["route_id"]
    last_ms = round(NOW.timestamp() * 1000)
    steps = range(600)
    columns = {
        "recorded_at_ms": [last_ms - 5000 * step for step in steps],
        "lat": [round(43.25 - step * 1e-4 + 7e-6, 6) for step in steps],
        "lon": [round(76.85 - step * 1e-4 + 7e-6, 6) for step in steps],
    }
    headers = bearer(world.driver.device_token)
    async with client.post("/v1/positions", json={"columns": columns}, headers=headers) as answer:
        assert (await answer.json())["accepted"] == len(steps)
    return found


def path(route_id: str | UUID, kind: str, more: str = "&language=en") -> str:
    return f"/v1/routes/{route_id}/plan-fact/file?format={kind}{more}"


async def read(
    client: ClientSession, asked: str, headers: dict[str, str]
) -> tuple[int, bytes, Any]:
    async with client.get(asked, headers=headers) as answer:
        return answer.status, await answer.read(), answer.headers


def words_of(kind: FileFormat, body: bytes) -> str:
    """Open the file and return what stands in it."""
    match kind:
        case FileFormat.JSON | FileFormat.GEOJSON:
            return json.dumps(json.loads(body), ensure_ascii=False)
        case FileFormat.GPX:
            return gpxpy.parse(body.decode()).to_xml()
        case FileFormat.CSV:
            return str(list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""))))
        case FileFormat.XLSX:
            book = openpyxl.load_workbook(io.BytesIO(body))
            return str([list(sheet.values) for sheet in book.worksheets])
        case FileFormat.PDF:
            return " ".join(page.extract_text() for page in PdfReader(io.BytesIO(body)).pages)


@pytest.mark.parametrize("kind", FORMATS)
async def test_each_file_is_one_and_the_driver_is_told_that_it_was_a_file(
    client: ClientSession,
    world: World,
    dispatcher: dict[str, str],
    route_id: str,
    kind: FileFormat,
) -> None:
    status, body, headers = await read(client, path(route_id, kind.value), dispatcher)

    assert status == 200, body
    assert headers["Content-Type"].split(";")[0] == CONTENT_TYPES[kind]
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Disposition"].endswith(
        f"plan-fact_2026-11-22_R-1042-%3D1%2B1_UTC%2B5.{kind.value}"
    )
    assert "Қойма" in words_of(kind, body)
    rows = await world.owner.fetch("SELECT viewer_kind, purpose, screen FROM location_read")
    assert [tuple(row) for row in rows] == [("dispatcher", "plan_fact", "export")]


async def test_the_json_file_is_the_report(
    client: ClientSession, dispatcher: dict[str, str], route_id: str
) -> None:
    _, shown, _ = await read(client, f"/v1/routes/{route_id}/plan-fact", dispatcher)

    _, file, _ = await read(client, path(route_id, "json"), dispatcher)

    assert json.loads(file) == json.loads(shown)
    assert FACT.search(file)


@pytest.mark.parametrize("kind", FORMATS)
async def test_without_the_consent_there_is_no_fact_in_any_file(
    client: ClientSession,
    world: World,
    dispatcher: dict[str, str],
    route_id: str,
    kind: FileFormat,
) -> None:
    person = bearer(await world.driver_session())
    withdraw = "/v1/me/consents/plan_fact/withdraw"
    async with client.post(withdraw, headers=person) as answer:
        assert answer.status == 200

    status, body, _ = await read(client, path(route_id, kind.value), dispatcher)

    assert status == 200
    found = words_of(kind, body)
    assert "Қойма" in found
    assert not FACT.search(found.encode())
    assert await world.owner.fetchval("SELECT count(*) FROM location_read") == 0
    refused = "SELECT facts FROM ledger_entry WHERE act = 'read_refused'"
    facts = {"purpose": "plan_fact", "screen": "export"}
    assert [json.loads(row["facts"]) for row in await world.owner.fetch(refused)] == [facts]


@pytest.mark.parametrize("kind", ["geojson", "xlsx"])
async def test_a_withdrawal_while_it_is_made_empties_it(
    client: ClientSession,
    world: World,
    dispatcher: dict[str, str],
    route_id: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    person = bearer(await world.driver_session())

    @asynccontextmanager
    async def after_a_withdrawal(pool: Pool, company_id: UUID) -> AsyncIterator[Connection]:
        withdraw = "/v1/me/consents/plan_fact/withdraw"
        async with client.post(withdraw, headers=person) as answer:
            assert answer.status == 200
        async with gate.frames(pool, company_id) as conn:
            yield conn

    monkeypatch.setattr(handover, "frames", after_a_withdrawal)
    _, body, _ = await read(client, path(route_id, kind), dispatcher)

    found = words_of(FileFormat(kind), body)
    assert not FACT.search(found.encode())
    assert "Қойма" in found


async def test_the_language_is_what_was_asked_for_and_else_russian(
    client: ClientSession, dispatcher: dict[str, str], route_id: str
) -> None:
    for more, word in (("", "Остановка"), ("&language=kk", "Аялдама"), ("&language=en", "Stop")):
        _, body, _ = await read(client, path(route_id, "csv", more), dispatcher)
        assert word in body.decode("utf-8-sig").splitlines()[0]


async def test_nobody_else_gets_a_file(
    client: ClientSession, world: World, dispatcher: dict[str, str], route_id: str
) -> None:
    other = await add_company(world.vault, world.owner)
    stranger = await add_member(world.vault, world.pool, other, role="dispatcher")
    foreign = bearer(await open_session(world.pool, other, stranger))

    theirs = await read(client, path(route_id, "xlsx"), foreign)
    absent = await read(client, path(uuid7(), "xlsx"), dispatcher)
    driver = await read(client, path(route_id, "xlsx"), bearer(await world.driver_session()))

    assert [one[0] for one in (theirs, absent, driver)] == [404, 404, 403]
    assert theirs[1] == absent[1]


async def test_what_is_no_format_or_language_is_refused_by_name(
    client: ClientSession, dispatcher: dict[str, str], route_id: str
) -> None:
    for more, place in (("docx", "?format"), ("csv&language=de", "?language")):
        status, body, _ = await read(client, path(route_id, more, ""), dispatcher)
        assert status == 422
        assert place in [field["path"] for field in json.loads(body)["fields"]]


async def test_an_installation_that_sets_no_pdf_says_so(
    client: ClientSession,
    world: World,
    dispatcher: dict[str, str],
    route_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)

    status, body, _ = await read(client, path(route_id, "pdf"), dispatcher)

    assert (status, json.loads(body)["code"]) == (503, "pdf-not-installed")
    assert await world.owner.fetchval("SELECT count(*) FROM location_read") == 0


async def test_of_a_file_nothing_is_stored_but_who_asked_for_it(
    client: ClientSession, world: World, dispatcher: dict[str, str], route_id: str
) -> None:
    async def rows() -> dict[str, int]:
        names = await world.owner.fetch(
            "SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'public'"
        )
        return {
            name: await world.owner.fetchval(f'SELECT count(*) FROM "{name}"')  # noqa: S608
            for (name,) in names
        }

    before = await rows()
    for kind in FORMATS:
        await read(client, path(route_id, kind.value), dispatcher)
    after = await rows()

    changed = {name for name in after if after[name] != before[name]}
    looks = {"location_read", "location_read_bucket", "location_read_set", "ledger_subject"}
    assert changed <= looks
    assert "location_read" in changed


async def test_pdfs_are_set_one_after_the_other_and_whoever_is_too_many_is_sent_away(
    client: ClientSession, dispatcher: dict[str, str], route_id: str
) -> None:
    asked = [read(client, path(route_id, "pdf"), dispatcher) for _ in range(10)]

    answers = await asyncio.gather(*asked, read(client, path(route_id, "csv"), dispatcher))

    statuses = [status for status, _, _ in answers]
    assert set(statuses[:10]) == {200, 503}
    assert statuses[10] == 200
    assert {json.loads(body)["code"] for status, body, _ in answers if status == 503} == {
        "reads-busy"
    }
