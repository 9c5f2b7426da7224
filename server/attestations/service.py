"""Attesting that a driver was told, and disputing it.

An attestation is what a member of staff says. It gives no consent, opens no gate and leaves the
account invited: only the driver accepts and consents, personally.
"""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from server.attestations import store
from server.attestations.model import (
    Attestation,
    AttestationInFuture,
    AttestationMissing,
    Dispute,
    Disputed,
    Told,
)
from server.consent import service as consent
from server.guardians import service as guardians
from server.guardians.model import BirthYearMissing
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.policies import service as policies
from server.policies.model import PREVAILING
from server.tracking import service as tracking


async def attest(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    told: Told,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> Attestation:
    """Record that a driver was told; the driver gets a notice of what is said of them.

    Raises
    ------
    AttestationInFuture
    EditionMissing
        The company has no such edition.
    """
    if told.at > now:
        raise AttestationInFuture
    for document, edition in told.editions:
        await policies.edition(conn, company_id, document, edition, language=PREVAILING)
    new = Attestation(driver_id=driver_id, attested_by=by_member, told=told, attested_at=now)
    await store.insert(conn, company_id, new)
    await notices.queue(
        conn,
        company_id,
        driver_id,
        NoticeKind.ATTESTATION_MADE,
        {"by": str(by_member), "told_at": rfc3339(told.at)},
        now=now,
    )
    await ledger.append(
        conn,
        company_id,
        Act.ATTESTATION_MADE,
        actor=by,
        subject_id=driver_id,
        facts={
            "how": told.how.value,
            "told_at": rfc3339(told.at),
            "editions": {document.value: edition for document, edition in told.editions},
        },
        now=now,
    )
    return new


async def attestation(conn: Connection, company_id: UUID, driver_id: UUID) -> Attestation:
    """Return what was attested of the driver.

    Raises
    ------
    AttestationMissing
    """
    return there(await store.attestation(conn, company_id, driver_id), AttestationMissing)


async def dispute(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    of: Disputed = Disputed.EVERYTHING,
    now: datetime,
) -> Dispute:
    """Let the driver say that what was attested of them is not true.

    Of a birth year alone nothing else is disputed, and nothing is void by it.

    Inside ``gate.service.stopping``.

    Raises
    ------
    AttestationMissing, BirthYearMissing, GateMissing
    """
    if of is Disputed.BIRTH_YEAR:
        disputed_at = await guardians.dispute_birth_year(conn, company_id, driver_id, now=now)
        return Dispute(disputed_at=disputed_at, invalidated=(), set_apart=0)
    disputed = await _dispute_told(conn, company_id, driver_id, now=now)
    with suppress(BirthYearMissing):
        # Only now: its entry holds the head of the ledger, and setting apart takes its time.
        await guardians.dispute_birth_year(conn, company_id, driver_id, now=now)
    return disputed


async def _dispute_told(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Dispute:
    """Let the driver say that they were not told so.

    Every consent they gave is void, the shift ends, and what was collected is set apart: the
    company never sees it again, also after a new consent; the driver still does. The main users
    are told. Final; again changes nothing more.
    """
    found = await attestation(conn, company_id, driver_id)
    if found.disputed_at is not None or not await store.insert_dispute(
        conn, company_id, driver_id, now
    ):
        return Dispute(disputed_at=found.disputed_at or now, invalidated=(), set_apart=0)
    positions = await tracking.set_apart(conn, company_id, driver_id, now=now)
    told = {"driver": str(driver_id), "disputed_at": rfc3339(now)}
    kind = NoticeKind.ATTESTATION_DISPUTED
    await notices.queue_for_main_users(conn, company_id, kind, told, now=now)
    # It holds the head of the ledger from its first entry to the end of the transaction.
    void = await consent.invalidate(conn, company_id, driver_id, now=now)
    invalidated = tuple(sorted(one.item.value for one in void))
    await ledger.append(
        conn,
        company_id,
        Act.ATTESTATION_DISPUTED,
        actor=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
        subject_id=driver_id,
        facts={"invalidated": list(invalidated), "set_apart": positions},
        now=now,
    )
    return Dispute(disputed_at=now, invalidated=invalidated, set_apart=positions)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what was attested of the driver, and their dispute; return the number of rows."""
    disputes = await store.delete_dispute(conn, company_id, member_id)
    return disputes + await store.delete(conn, company_id, member_id)
