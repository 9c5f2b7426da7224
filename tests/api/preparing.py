"""What operations need that nothing else leaves behind, for the schemathesis proof."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
import requests

from server.closure import service as closure
from server.closure.model import DAYS_MIN
from server.credentials.model import OpenSession, Role
from server.demo.api import Api
from server.kit import db, tokens
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from server.passwords import store as passwords
from server.passwords.model import Reset
from server.passwords.resetting import CODE_INDEX
from server.second_factor import model, service, store
from tests.api.people import People, fresh_session
from tests.running import Demo
from tests.waiting import until
from tests.world import step_up

PHONES: Final = ("+77010000194", "+77010000195")
PASSWORD: Final = "seven otters crossed the Ili"  # noqa: S105 - of nobody
GRACE_S: Final = 3_600
REFUSED: Final = "read_refusal"
WAIVED: Final = "waive_grace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Another driver of the company, and their request for erasure."""

    token: str = field(repr=False)
    request_id: str


async def asking(served: Demo) -> dict[str, Asking]:
    """Let a driver's erasure be refused and another's be in its grace, by the operation for it."""
    dispatcher = await served.dispatcher()
    refused, waiting = [await _joined(served, dispatcher, phone) for phone in PHONES]
    own = served.api.acting_with(refused.token)
    asked = await own.post("/v1/erasure-requests", {"driver_id": refused.request_id})
    held_until = rfc3339(served.clock() + timedelta(days=30))
    item = {"category": "consent", "ground": "legal_claim", "until": held_until}
    words = {"notice_text": "A claim is open.", "locale": "en"}
    path = f"/v1/erasure-requests/{asked['request_id']}/decision"
    await dispatcher.post(path, {"outcome": "refuse", "items": [item], **words})
    owner = await asyncpg.connect(served.databases.main)
    try:
        # The demo has none.
        await owner.execute("UPDATE company SET erasure_grace_s = $1", GRACE_S)
        graced = await dispatcher.post("/v1/erasure-requests", {"driver_id": waiting.request_id})
        await owner.execute("UPDATE company SET erasure_grace_s = 0")
    finally:
        await owner.close()
    return {
        REFUSED: Asking(token=refused.token, request_id=asked["request_id"]),
        WAIVED: Asking(token=waiting.token, request_id=graced["request_id"]),
    }


async def _joined(served: Demo, dispatcher: Api, phone: str) -> Asking:
    """Let a driver join who does nothing else; the id is theirs."""
    added = await dispatcher.post("/v1/drivers", {"name": "Asking", "phone": phone, "locale": "en"})
    code = added["invitation"]["code"]
    await served.api.post("/v1/invitations/accept", {"code": code, "password": PASSWORD})
    opened = await served.api.post(
        "/v1/session", {"login": phone, "password": PASSWORD, "transport": "bearer"}
    )
    return Asking(token=opened["token"], request_id=added["driver"]["driver_id"])


async def given(served: Demo) -> str:
    """Give somebody outside a track, of a driver who is asked nothing else; return its id."""
    dispatcher, at = await served.dispatcher(), served.clock()
    evidence = {"recipient": "Insurer", "document_number": "7", "document_date": "2020-01-01"}
    told = {"driver_id": served.company.drivers[3].driver_id, "ground": "consent"}
    span = {"from": rfc3339(at - timedelta(hours=1)), "to": rfc3339(at)}
    track = {"categories": ["track"], "span": span, "given": "The track of an hour"}
    made = await dispatcher.post("/v1/disclosures", {**told, "evidence": evidence, **track})
    await dispatcher.post(f"/v1/disclosures/{made['disclosure_id']}/release", {})
    return str(made["disclosure_id"])


async def packed(served: Demo, people: People) -> Callable[[], str]:
    """Wait for the driver's package; return what makes a new link to it, from a thread."""
    export_id = people.things["export_id"]
    owner = await asyncpg.connect(served.databases.main)
    try:
        ready = "SELECT state = 'ready' FROM export_package WHERE export_id = $1::uuid"
        await until(owner, ready, export_id)
    finally:
        await owner.close()
    headers = {"Authorization": f"Bearer {people.tokens[Role.DRIVER]}"}

    def link() -> str:
        address = f"{served.url}/v1/me/exports/{export_id}/link"
        answer = requests.post(address, headers=headers, timeout=10)
        answer.raise_for_status()
        return str(answer.json()["token"])

    return link


async def forgotten(served: Demo, people: People) -> dict[str, str]:
    """Let a driver who is asked nothing else wait for a code, which nobody was sent."""
    driver, code, reset_id = served.company.drivers[2], "31415926", uuid7()
    vault, now = served.running.opened.vault, served.clock()
    waiting = Reset(
        reset_id=reset_id,
        code_hash=vault.blind_index(CODE_INDEX, f"{reset_id}:{code}"),
        asked_at=now,
        expires_at=now + timedelta(days=1),
        sent=1,
        first_at=now,
    )
    async with db.tenant(served.running.opened.pool, people.company_id) as conn:
        await passwords.put(conn, people.company_id, UUID(driver.driver_id), waiting)
    return {"login": driver.phone, "code": code, "password": PASSWORD}


@asynccontextmanager
async def closing(served: Demo, people: People, caller: str) -> AsyncIterator[None]:
    """Let the company close some day while its driver asks: the staff need to invite people."""
    if caller != Role.DRIVER:
        yield
        return
    by, at = Actor(kind=ActorKind.OPERATOR), served.clock()
    async with db.tenant(served.running.opened.pool, people.company_id) as conn:
        await closure.ask(conn, people.company_id, days=DAYS_MIN, by=by, now=at)
    yield
    async with db.tenant(served.running.opened.pool, people.company_id) as conn:
        await closure.keep_open(conn, people.company_id, by=by, now=at)


async def with_second_factors(served: Demo, people: People) -> None:
    """Give the staff second factors: who asks it of the others needs one, and somebody loses it."""
    now = served.clock()
    async with db.tenant(served.running.opened.pool, people.company_id) as conn:
        for role in (Role.DISPATCHER, Role.MAIN_USER):
            member_id = people.member_ids[role]
            vault = served.running.opened.vault
            secret = await service.begin(conn, vault, people.company_id, member_id, now=now)
            await service.confirm(
                conn,
                vault,
                people.company_id,
                member_id,
                model.code_at(secret, model.step_at(now)),
                by=Actor(kind=ActorKind(role), member_id=member_id),
                now=now,
            )


async def ask_for_no_second_factor(served: Demo, people: People) -> None:
    """Let the staff log in with the password alone, as before these rules were tried."""
    async with db.tenant(served.running.opened.pool, people.company_id) as conn:
        await store.set_required(conn, people.company_id, required=False)


async def proven(served: Demo, people: People, caller: str) -> tuple[str, str]:
    """Return the token of a new session that was proven anew, and its id."""
    token = await step_up(served.running.opened.pool, await fresh_session(served, people, caller))
    parsed, at = tokens.parse(token), served.clock()
    assert parsed is not None
    session = OpenSession(digest=parsed.digest, created_at=at, expires_at=at)
    return token, str(session.session_id)
