"""What tests of the policies do and look at."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from aiohttp import ClientSession

from server.accounts.model import Locale
from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import SYSTEM
from server.policies import service
from server.policies.model import AddedItem, ChangeClass, Document, Draft, Edition
from server.vault.service import Vault
from tests.http import bearer
from tests.world import CONSENTED, NOW, World

TEXTS: Mapping[Locale, str] = {
    language: "\n".join((f"# {heading}", "", paragraph, ""))
    for language, heading, paragraph in (
        (Locale.RU, "Документ", "Текст."),
        (Locale.KK, "Құжат", "Мәтін."),
        (Locale.EN, "Document", "Text."),
    )
}


async def bare_company(vault: Vault, owner: "asyncpg.Connection[asyncpg.Record]") -> UUID:
    """Add a company that has published nothing and stated nothing."""
    company_id = uuid7()
    await owner.execute(
        "INSERT INTO company (company_id, name, time_zone, created_at)"
        " VALUES ($1, 'Aral Freight', 'Asia/Almaty', $2)",
        company_id,
        CONSENTED,
    )
    await vault.create_company(company_id, CONSENTED)
    return company_id


async def publish(
    world: World,
    change_class: ChangeClass = ChangeClass.MATERIAL,
    *,
    document: Document = Document.DRIVER_NOTICE,
    purpose: AddedItem | None = None,
    texts: Mapping[Locale, str] = TEXTS,
    effective_at: datetime | None = None,
    now: datetime = NOW,
) -> Edition:
    draft = Draft(
        document=document,
        change_class=change_class,
        adds_purpose=purpose,
        effective_at=effective_at,
        texts=texts,
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.publish(conn, world.company_id, draft, actor=SYSTEM, now=now)


async def current(
    client: ClientSession, world: World, document: str = "driver_notice", language: str = "ru"
) -> dict[str, Any]:
    """Read what is in force, without a log-in."""
    answer = await client.get(
        f"/v1/policies/{document}/current",
        params={"company_id": str(world.company_id), "language": language},
    )
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def accept(
    client: ClientSession, token: str, shown: Mapping[str, Any], **other: Any
) -> tuple[int, dict[str, Any]]:
    """Accept what was shown; ``other`` replaces members of the body."""
    body = {name: shown[name] for name in ("document", "edition", "language", "sha256")}
    answer = await client.post(
        "/v1/me/policy-acceptances", json={**body, **other}, headers=bearer(token)
    )
    return answer.status, await answer.json()


async def told(world: World) -> list[tuple[UUID, str]]:
    """Return who was told of which edition."""
    rows = await world.owner.fetch(
        "SELECT member_id, dedupe FROM notice WHERE kind = 'edition_published'"
        " ORDER BY member_id, dedupe"
    )
    return [(row["member_id"], row["dedupe"]) for row in rows]


async def entries(world: World, act: str) -> list[dict[str, Any]]:
    """Return the facts of the ledger's entries of this act, with whom they are about."""
    rows = await world.owner.fetch(
        "SELECT e.facts::json AS facts, e.actor_kind, s.member_id"
        " FROM ledger_entry e LEFT JOIN ledger_subject s ON s.pseudonym = e.subject_id"
        " WHERE e.act = $1 ORDER BY e.index",
        act,
    )
    return [
        {**json.loads(row["facts"]), "by": row["actor_kind"], "about": row["member_id"]}
        for row in rows
    ]
