"""What the registers of disclosures and of incidents, packages and a second factor keep."""

from datetime import date, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from server.disclosures import reading
from server.disclosures import service as disclosures
from server.disclosures.model import Act, Evidence, Ground, NewDisclosure, Span
from server.disclosures.model import Category as Given
from server.incidents import service as incidents
from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.second_factor import service as second_factor
from server.vault.model import Category, SealedText
from tests.erasure.life import main_user
from tests.world import NOW, World

GIVEN: Final = "Her round of Tuesday, from the blue door on"
SECRET: Final = "KANAROVASECONDSECRET"  # noqa: S105 - a canary
SAID: Final = (GIVEN, SECRET)
BEFORE: Final = NOW - timedelta(days=2)
"""Packages of today are counted."""


async def leave(world: World, driver_id: UUID) -> tuple[SealedText, ...]:
    """Give the driver's data out, let an incident concern them, and leave a package they took.

    Return what is sealed under the driver's own keys.
    """
    disclosed = await _disclose(world, driver_id)
    await _incident(world, driver_id)
    await _package(world, driver_id)
    return (disclosed, await _second_factor(world, driver_id))


async def _disclose(world: World, driver_id: UUID) -> SealedText:
    company_id, boss = world.company_id, await main_user(world)
    by = Actor(kind=ActorKind.MAIN_USER, member_id=boss)
    new = NewDisclosure(
        driver_id=driver_id,
        ground=Ground.CONSENT,
        categories=(Given.TRACK,),
        span=Span(since=NOW - timedelta(hours=1), until=NOW),
        sealed_until=None,
        evidence=Evidence(
            recipient="Insurer", country="KZ", document_number="3", document_date=date(2026, 11, 2)
        ),
        given=GIVEN,
    )
    async with db.tenant(world.pool, company_id) as conn:
        shown = await disclosures.record(
            conn, world.vault, company_id, new, by=by, by_member=boss, now=NOW
        )
        kept = shown.disclosure
        await disclosures.decide(
            conn,
            world.vault,
            company_id,
            kept.disclosure_id,
            Act.RELEASE,
            by=by,
            by_member=boss,
            now=NOW,
        )
    assert kept.given_sealed is not None
    return SealedText(
        sealed=kept.given_sealed, row_id=kept.disclosure_id, schema=reading.GIVEN_SCHEMA
    )


async def _incident(world: World, driver_id: UUID) -> None:
    """Let the driver report an incident that their own account was the source of."""
    company_id = world.company_id
    async with db.tenant(world.pool, company_id) as conn:
        opened = await incidents.report(
            conn,
            world.vault,
            company_id,
            "A phone is lost.",
            noticed_at=None,
            by=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
            by_member=driver_id,
            now=NOW,
        )
    await world.owner.execute(
        "INSERT INTO incident_assessment (company_id, incident_id, round, cause, source, member_id,"
        " since, until, categories, consequences, advice, assessed_at, found, added, erased,"
        " list_hash) VALUES ($1, $2, 1, 'lost_device', 'account', $3, $4, $5, '{track}',"
        " '{location_known}', '{change_password}', $5, 1, 1, 0, sha256('list'))",
        company_id,
        opened.incident_id,
        driver_id,
        NOW - timedelta(hours=1),
        NOW,
    )
    await world.owner.execute(
        "INSERT INTO incident_member (company_id, incident_id, pseudonym, member_id, round,"
        " told_at) SELECT company_id, $2, pseudonym, member_id, 1, $4 FROM ledger_subject"
        " WHERE company_id = $1 AND member_id = $3",
        company_id,
        opened.incident_id,
        driver_id,
        NOW,
    )


async def _package(world: World, driver_id: UUID) -> None:
    """Leave a package that was never made whole, with what there is of one that is."""
    key = (world.company_id, export_id := uuid7(), driver_id)
    await world.owner.execute(
        "INSERT INTO export_package (company_id, export_id, driver_id, language, state, asked_at,"
        " expires_at, runs, rows_done) VALUES ($1, $2, $3, 'kk', 'failed', $4, $5, 20, 1)",
        *key,
        BEFORE,
        NOW + timedelta(days=5),
    )
    await world.owner.execute(
        "INSERT INTO export_step (company_id, export_id, driver_id, step, done_at, files_sealed)"
        " VALUES ($1, $2, $3, 'profile', $4, 'sealed')",
        *key,
        BEFORE,
    )
    await world.owner.execute(
        "INSERT INTO export_chunk (company_id, export_id, driver_id, place, number, sealed)"
        " VALUES ($1, $2, $3, 0, 0, 'sealed')",
        *key,
    )
    await world.owner.execute(
        "INSERT INTO export_link (company_id, export_id, driver_id, token_hash, created_at,"
        " expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        *key,
        sha256(export_id.bytes).digest(),
        BEFORE,
        BEFORE + timedelta(minutes=10),
    )


async def _second_factor(world: World, driver_id: UUID) -> SealedText:
    """Begin a second factor, which is never confirmed: nothing asks for it."""
    company_id = world.company_id
    sealed = await world.vault.seal_text(
        company_id,
        driver_id,
        Category.CONTACT,
        SECRET,
        row_id=driver_id,
        schema=second_factor.SECRET_SCHEMA,
        now=NOW,
    )
    await world.owner.execute(
        "INSERT INTO second_factor (company_id, member_id, secret_sealed, begun_at)"
        " VALUES ($1, $2, $3, $4)",
        company_id,
        driver_id,
        sealed,
        NOW,
    )
    await world.owner.execute(
        "INSERT INTO recovery_code (company_id, member_id, code_hash, created_at)"
        " VALUES ($1, $2, $3, $4)",
        company_id,
        driver_id,
        sha256(driver_id.bytes).digest(),
        NOW,
    )
    await world.owner.execute(
        "INSERT INTO password_reset (company_id, member_id, reset_id, code_hash, tries, asked_at,"
        " expires_at, sent, first_at) VALUES ($1, $2, $3, $4, 0, $5, $5, 1, $5)",
        company_id,
        driver_id,
        uuid7(),
        sha256(driver_id.bytes).digest(),
        NOW,
    )
    return SealedText(sealed=sealed, row_id=driver_id, schema=second_factor.SECRET_SCHEMA)
