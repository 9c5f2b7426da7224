"""What tests of the register of disclosures do."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientSession, web

from server.disclosures.web import ENDPOINTS as DISCLOSURES
from server.incidents.web import ENDPOINTS as INCIDENTS
from server.kit.wire import rfc3339
from server.notices.web import ENDPOINTS as NOTICES
from server.rights.web import ENDPOINTS as RIGHTS
from server.uploads import web as uploads
from tests.conftest import Databases
from tests.endpoints import CONSENT, TRACKING
from tests.http import Clock, bearer, serve
from tests.world import NOW, World, add_member, open_session

REGISTER: Final = "/v1/disclosures"
MINE: Final = "/v1/me/disclosures"
VIEWS: Final = "/v1/me/views"
LAT, LON = 43.2381234, 76.8891234
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
ORDER: Final = {
    "recipient": "Police Department of Almaty",
    "document_number": "17-4/2026",
    "document_date": "2026-11-20",
    "legal_article": "Criminal Procedure Code, art. 65",
}
EVIDENCE: Final[dict[str, dict[str, Any]]] = {
    "consent": {"document_number": "3", "document_date": "2026-11-20"},
    "functionality": {
        "service": "Fuel cards",
        "document_number": "8",
        "document_date": "2026-01-10",
    },
    "purpose": {
        "purpose": "Delivery to the receiver",
        "document_number": "9",
        "document_date": "2026-01-10",
    },
    "controller_change": {"document_number": "11", "document_date": "2026-10-01"},
    "authority": {name: ORDER[name] for name in ORDER if name != "recipient"},
    "defence_of_rights": {"claim": "terms_violation", "case_id": "A-17"},
}
"""By ground, exactly what it needs beside the recipient."""
SPAN: Final = {"from": rfc3339(NOW - 2 * HOUR), "to": rfc3339(NOW + HOUR)}


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Sessions of a driver and of the staff, and the ids of the staff."""

    driver_id: UUID
    driver: str = field(repr=False)
    dispatcher: str = field(repr=False)
    boss: str = field(repr=False)
    dispatcher_id: UUID
    boss_id: UUID


async def people_of(world: World) -> People:
    company_id = world.company_id
    boss = await add_member(world.vault, world.pool, company_id, role="main_user", name="Boss")
    dispatcher = await add_member(world.vault, world.pool, company_id, role="dispatcher")
    return People(
        driver_id=world.driver.member_id,
        driver=await world.driver_session(),
        dispatcher=await open_session(world.pool, company_id, dispatcher),
        boss=await open_session(world.pool, company_id, boss),
        dispatcher_id=dispatcher,
        boss_id=boss,
    )


@asynccontextmanager
async def served(world: World, databases: Databases, clock: Clock) -> AsyncGenerator[ClientSession]:
    def prepare(app: web.Application) -> None:
        app.cleanup_ctx.append(uploads.uploading(databases.main))

    async with serve(
        world,
        CONSENT,
        TRACKING,
        RIGHTS,
        NOTICES,
        DISCLOSURES,
        INCIDENTS,
        clock=clock,
        prepare=prepare,
    ) as opened:
        yield opened


async def call(
    client: ClientSession, method: str, path: str, token: str, body: object = None
) -> tuple[int, Any]:
    async with client.request(method, path, json=body, headers=bearer(token)) as answer:
        return answer.status, await answer.json(content_type=None)


async def drive(client: ClientSession, world: World, *positions: tuple[float, float]) -> None:
    """Upload positions of the driver, a minute apart, the last of them now."""
    rows = [
        {
            "recorded_at": rfc3339(NOW - timedelta(minutes=len(positions) - 1 - number)),
            "lat": lat,
            "lon": lon,
        }
        for number, (lat, lon) in enumerate(positions)
    ]
    headers = bearer(world.driver.device_token)
    async with client.post("/v1/positions", json={"positions": rows}, headers=headers) as answer:
        told = await answer.json()
        assert told["accepted"] == len(rows), told


def body_of(people: People, ground: str = "authority", **more: Any) -> dict[str, Any]:
    """Return a disclosure of the track that fits its ground."""
    evidence = {"recipient": ORDER["recipient"], **EVIDENCE[ground], **more.pop("evidence", {})}
    return {
        "driver_id": str(people.driver_id),
        "ground": ground,
        "categories": ["identity", "track"],
        "span": SPAN,
        "evidence": evidence,
        "given": "The name, and the track of the day.",
        **more,
    }


async def recorded(
    client: ClientSession, people: People, ground: str = "authority", **more: Any
) -> str:
    """Let the dispatcher record a disclosure; return its id."""
    body = body_of(people, ground, **more)
    status, told = await call(client, "POST", REGISTER, people.dispatcher, body)
    assert status == 201, told
    return str(told["disclosure_id"])


async def act(client: ClientSession, disclosure_id: str, what: str, token: str) -> tuple[int, Any]:
    return await call(client, "POST", f"{REGISTER}/{disclosure_id}/{what}", token)


async def released(
    client: ClientSession, people: People, ground: str = "authority", **more: Any
) -> str:
    disclosure_id = await recorded(client, people, ground, **more)
    status, told = await act(client, disclosure_id, "release", people.boss)
    assert status == 200, told
    return disclosure_id


async def file_of(
    client: ClientSession, disclosure_id: str, token: str, form: str = "csv"
) -> tuple[int, bytes]:
    path = f"{REGISTER}/{disclosure_id}/file?format={form}"
    async with client.get(path, headers=bearer(token)) as answer:
        return answer.status, await answer.read()


async def mine(client: ClientSession, people: People) -> list[Any]:
    """Return what the driver finds in the register."""
    status, told = await call(client, "GET", MINE, people.driver)
    assert status == 200, told
    found: list[Any] = told["items"]
    return found


async def views(client: ClientSession, people: People) -> list[Any]:
    """Return who looked at the driver, as the driver is told."""
    status, told = await call(client, "GET", VIEWS, people.driver)
    assert status == 200, told
    found: list[Any] = told["items"]
    return found


async def acts(world: World, like: str = "disclosure%") -> list[str]:
    rows = await world.owner.fetch(
        "SELECT act FROM ledger_entry WHERE act LIKE $1 ORDER BY index", like
    )
    return [row["act"] for row in rows]


async def keep_sessions(world: World) -> None:
    """Let nobody have to log in again while the clock is moved."""
    await world.owner.execute(
        "UPDATE session SET expires_at = expires_at + interval '6 years',"
        " used_at = expires_at + interval '6 years'"
    )
