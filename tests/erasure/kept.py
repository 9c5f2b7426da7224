"""What staff once held of a driver, and wrote to them when they refused."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from server.holds import service as holds
from server.holds.model import Ground, HeldCategory, Reason
from server.holds.service import NewHold
from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.vault.model import Category, SealedText
from tests.world import NOW, World

EVIDENCE: Final = "Her claim against us, page nine"
LETTER: Final = "You never gave the blue keys back"
SAID: Final = (EVIDENCE, LETTER)


async def leave(world: World, driver_id: UUID) -> tuple[SealedText, SealedText]:
    """Hold the driver's tracks, let them go, and write a refusal; return both texts."""
    company_id, request_id, hold_id = world.company_id, uuid7(), uuid7()
    by = Actor(kind=ActorKind.MAIN_USER)
    evidence = await holds.sealed_evidence(
        world.vault, company_id, driver_id, hold_id, EVIDENCE, now=NOW
    )
    letter = await world.vault.seal_text(
        company_id,
        driver_id,
        Category.CONTACT,
        LETTER,
        row_id=request_id,
        schema=holds.TEXT_SCHEMA,
        now=NOW,
    )
    new = NewHold(
        category=HeldCategory.TRACK,
        reason=Reason(ground=Ground.LEGAL_CLAIM, until=NOW + timedelta(days=9)),
        hold_id=hold_id,
        evidence_sealed=evidence,
    )
    async with db.tenant(world.pool, company_id) as conn:
        await holds.ask(conn, company_id, driver_id, new, by=by, now=NOW)
        await holds.put_text(
            conn, company_id, driver_id, request_id, text_sealed=letter, locale="kk", at=NOW
        )
    async with db.tenant(world.pool, company_id) as conn:
        await holds.release(conn, company_id, hold_id, by=by, now=NOW)
    return (
        SealedText(sealed=evidence, row_id=hold_id, schema=holds.EVIDENCE_SCHEMA),
        SealedText(sealed=letter, row_id=request_id, schema=holds.TEXT_SCHEMA),
    )
