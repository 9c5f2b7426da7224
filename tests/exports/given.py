"""What was given of a driver to somebody outside, and an incident that they were told of."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.disclosures import service as disclosures
from server.disclosures.model import (
    Act,
    Category,
    Evidence,
    Ground,
    MadeFile,
    NewDisclosure,
    Span,
)
from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from tests.world import NOW, World, add_member

GIVEN: Final = "The name, and the track of that day"
POLICE: Final = "Police Department of Almaty"


async def give(world: World, driver_id: UUID, *, sealed_until: datetime | None = None) -> UUID:
    """Give an authority the driver's track, and make the file of it; return which disclosure."""
    company_id = world.company_id
    to = (world.vault, world.pool, company_id)
    boss = await add_member(*to, role="main_user", name="Boss")
    other = await add_member(*to, role="main_user", name="Other Boss")
    new = NewDisclosure(
        driver_id=driver_id,
        ground=Ground.AUTHORITY,
        categories=(Category.IDENTITY, Category.TRACK),
        span=Span(since=NOW - timedelta(hours=2), until=NOW),
        sealed_until=sealed_until,
        evidence=Evidence(
            recipient=POLICE,
            country="KZ",
            document_number="17-4/2026",
            document_date=NOW.date(),
            legal_article="Criminal Procedure Code, art. 65",
        ),
        given=GIVEN,
    )
    by, by_other = (
        Actor(kind=ActorKind.MAIN_USER, member_id=member_id) for member_id in (boss, other)
    )
    async with db.tenant(world.pool, company_id) as conn:
        shown = await disclosures.record(
            conn, world.vault, company_id, new, by=by, by_member=boss, now=NOW
        )
        disclosure_id = shown.disclosure.disclosure_id
        await disclosures.decide(
            conn,
            world.vault,
            company_id,
            disclosure_id,
            Act.RELEASE,
            by=by_other,
            by_member=other,
            now=NOW,
        )
        made = MadeFile(
            file_id=uuid7(),
            disclosure_id=disclosure_id,
            format="csv",
            positions=3,
            size_bytes=300,
            sha256=bytes(32),
            made_at=NOW,
            made_by=other,
        )
        await disclosures.note_file(conn, company_id, made, by=by_other, now=NOW)
    return disclosure_id


async def concern(world: World, driver_id: UUID, *, told: bool = True) -> UUID:
    """Let an incident concern the driver; return which."""
    incident_id = uuid7()
    pseudonym = await world.owner.fetchval(
        "SELECT pseudonym FROM ledger_subject WHERE member_id = $1", driver_id
    )
    await world.owner.execute(
        "INSERT INTO incident (company_id, incident_id, state, reported_role, noticed_at,"
        " recorded_at, authority_due_at, members_due_at, what_sealed)"
        " VALUES ($1, $2, 'assessed', 'driver', $3, $3, $3, $3, '')",
        world.company_id,
        incident_id,
        NOW,
    )
    await world.owner.execute(
        "INSERT INTO incident_assessment (company_id, incident_id, round, cause, source, since,"
        " until, categories, consequences, advice, assessed_at, found, added, erased, list_hash)"
        " VALUES ($1, $2, 1, 'misuse', 'tracks', $3::timestamptz - interval '1 hour', $3,"
        " '{track}', '{location_known}', '{tell_police}', $3, 1, 1, 0, $4)",
        world.company_id,
        incident_id,
        NOW,
        bytes(32),
    )
    await world.owner.execute(
        "INSERT INTO incident_member (company_id, incident_id, pseudonym, member_id, round,"
        " told_at) VALUES ($1, $2, $3, $4, 1, $5)",
        world.company_id,
        incident_id,
        pseudonym,
        driver_id,
        NOW if told else None,
    )
    return incident_id
