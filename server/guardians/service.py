"""Birth years, and the guardians without whom a minor cannot consent to their location.

A stated year and a guardian's record open nothing: they only say whether the driver's own consent
can be given. What needs the key database is done before anything is locked, so a driver who stops
never waits for it; what was read there names its statement, which is compared under the lock.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.gate import service as gate
from server.guardians import store
from server.guardians.model import (
    UNSTATED,
    Age,
    AgeStatedMeanwhile,
    BirthYear,
    BirthYearMissing,
    GuardianAgreement,
    GuardianConsentInFuture,
    GuardianConsentMissing,
    GuardianConsentNeeded,
    GuardianConsentUnneeded,
    SealedAgreement,
    SealedYear,
    refuse_implausible,
)
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.vault.model import Category, SealedText
from server.vault.service import Vault

YEAR_SCHEMA: Final = "birth_year.year"
NAME_SCHEMA: Final = "guardian_consent.name"
DOCUMENT_SCHEMA: Final = "guardian_consent.document"


async def age(conn: Connection, vault: Vault, company_id: UUID, driver_id: UUID) -> Age:
    """Return what is known of the driver's age; asks for a key only where a year was stated."""
    stated = await store.birth_year(conn, company_id, driver_id)
    return UNSTATED if stated is None else await opened(vault, company_id, stated)


async def time_zone(conn: Connection, company_id: UUID) -> str:
    """Return where a year ends for the company."""
    return (await accounts.company(conn, company_id)).time_zone


async def opened(vault: Vault, company_id: UUID, stated: BirthYear) -> Age:
    """Return the age as it was stated; without the year where its key is gone."""
    item = SealedText(sealed=stated.year_sealed, row_id=stated.statement_id, schema=YEAR_SCHEMA)
    (year,) = await vault.open_texts(company_id, [item])
    return Age(statement_id=stated.statement_id, birth_year=None if year is None else int(year))


async def age_to_record(
    conn: Connection, vault: Vault, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Age:
    """Return the age of a driver whose guardian agreed.

    Raises
    ------
    GateMissing
    GuardianConsentUnneeded
        Nothing says that the driver may be a minor: then nothing of a guardian is kept.
    """
    await gate.read(conn, company_id, driver_id)
    known = await age(conn, vault, company_id, driver_id)
    if not known.may_be_minor(now, await time_zone(conn, company_id)):
        raise GuardianConsentUnneeded
    return known


async def refuse_minor_alone(
    conn: Connection, company_id: UUID, driver_id: UUID, known: Age, *, now: datetime
) -> UUID | None:
    """Return the guardian's record that the driver's consent rests on; None where none is needed.

    Inside the transaction that gives, after ``gate.lock``: a guardian's record ends and a year
    changes under the same lock, so neither happens between this and the commit. After the company
    was read that the consent will name: another may take over at any moment, without that lock.

    Raises
    ------
    GuardianConsentNeeded
        The driver may be a minor, and no guardian's consent to the company of now is in force.
    AgeStatedMeanwhile
        ``known`` is not what is stated now.
    """
    if not await _may_be_minor(conn, company_id, driver_id, known, now):
        return None
    guardian = await store.guardian_consent(conn, company_id, driver_id)
    if guardian is None or guardian.is_to_company_before:
        raise GuardianConsentNeeded
    return guardian.guardian_id


async def seal_birth_year(
    vault: Vault, company_id: UUID, driver_id: UUID, birth_year: int, *, now: datetime
) -> SealedYear:
    """Return the year ready to be stated; asks the key database.

    Raises
    ------
    BirthYearImplausible, SubjectErased
    """
    refuse_implausible(birth_year, now)
    statement_id = uuid7()
    sealed = await vault.seal_text(
        company_id,
        driver_id,
        Category.IDENTITY,
        str(birth_year),
        row_id=statement_id,
        schema=YEAR_SCHEMA,
        now=now,
    )
    return SealedYear(age=Age(statement_id=statement_id, birth_year=birth_year), sealed=sealed)


async def state_birth_year(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    new: SealedYear,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> bool:
    """Write a driver's birth year down, and tell them; return whether a guardian is needed now.

    Inside ``gate.service.stopping``, and then the caller voids what was consented to alone; or in
    the transaction that adds the driver.
    """
    if new.age.statement_id is None:
        raise ValueError("a stated year has a statement")
    stated = BirthYear(
        driver_id=driver_id,
        statement_id=new.age.statement_id,
        year_sealed=new.sealed,
        stated_by=by_member,
        stated_at=now,
    )
    await store.state_birth_year(conn, company_id, stated)
    await notices.queue(
        conn,
        company_id,
        driver_id,
        NoticeKind.BIRTH_YEAR_STATED,
        {"by": str(by_member), "stated_at": rfc3339(now)},
        now=now,
    )
    await ledger.append(
        conn,
        company_id,
        Act.BIRTH_YEAR_STATED,
        actor=by,
        subject_id=driver_id,
        detail={"birth_year": new.age.birth_year},
        now=now,
    )
    if not await _may_be_minor(conn, company_id, driver_id, new.age, now):
        return False
    guardian = await store.guardian_consent(conn, company_id, driver_id)
    return guardian is None or guardian.is_to_company_before


async def dispute_birth_year(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> datetime:
    """Let the driver say that the year is wrong; return since when it is disputed.

    The main users are told. It lifts nothing: a year that says minor goes on to, until the company
    states another. Again changes nothing.

    Raises
    ------
    BirthYearMissing
    """
    stated = there(await store.birth_year(conn, company_id, driver_id), BirthYearMissing)
    if not await store.dispute_birth_year(conn, company_id, driver_id, now):
        return stated.disputed_at or now
    told = {"driver": str(driver_id), "disputed_at": rfc3339(now)}
    kind = NoticeKind.BIRTH_YEAR_DISPUTED
    await notices.queue_for_main_users(conn, company_id, kind, told, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.BIRTH_YEAR_DISPUTED,
        actor=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
        subject_id=driver_id,
        now=now,
    )
    return now


async def seal_agreement(
    vault: Vault, company_id: UUID, driver_id: UUID, agreement: GuardianAgreement, *, now: datetime
) -> SealedAgreement:
    """Return a guardian's agreement ready to be recorded; asks the key database.

    Raises
    ------
    GuardianConsentInFuture, SubjectErased
    """
    if agreement.told_at > now:
        raise GuardianConsentInFuture
    guardian_id = uuid7()

    async def seal(text: str, schema: str) -> bytes:
        return await vault.seal_text(
            company_id,
            driver_id,
            Category.IDENTITY,
            text,
            row_id=guardian_id,
            schema=schema,
            now=now,
        )

    document = agreement.document_reference
    return SealedAgreement(
        guardian_id=guardian_id,
        agreement=agreement,
        name_sealed=await seal(agreement.guardian_name, NAME_SCHEMA),
        document_sealed=None if document is None else await seal(document, DOCUMENT_SCHEMA),
    )


async def record(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    new: SealedAgreement,
    known: Age,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> None:
    """Record that a minor's guardian agreed, and tell the driver. It gives nothing for the driver.

    ``known`` is of :func:`age_to_record`.

    Raises
    ------
    GateMissing, AgeStatedMeanwhile
    GuardianConsentThere
        One is in force; it has to be revoked first.
    """
    await gate.lock(conn, company_id, driver_id)
    await _refuse_restated(conn, company_id, driver_id, known)
    agreement = new.agreement
    await store.insert_guardian_consent(
        conn, company_id, driver_id, new, by_member=by_member, now=now
    )
    told = {"by": str(by_member), "told_at": rfc3339(agreement.told_at)}
    kind = NoticeKind.GUARDIAN_CONSENT_RECORDED
    await notices.queue(conn, company_id, driver_id, kind, told, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.GUARDIAN_CONSENT_RECORDED,
        actor=by,
        subject_id=driver_id,
        detail={"guardian_id": str(new.guardian_id), "relation": agreement.relation.value},
        facts={"how": agreement.how.value, "told_at": rfc3339(agreement.told_at)},
        now=now,
    )


async def revoke(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> None:
    """End the guardian's consent and tell the driver, inside ``gate.service.stopping``.

    The caller voids what rested on it. Asks for no key: stopping never waits for one.

    Raises
    ------
    GuardianConsentMissing
    """
    kind = NoticeKind.GUARDIAN_CONSENT_REVOKED
    told = {"by": str(by_member), "revoked_at": rfc3339(now)}
    ended = await _end(conn, company_id, driver_id, kind, told, by=by, by_member=by_member, now=now)
    if not ended:
        raise GuardianConsentMissing


async def in_force(
    conn: Connection, company_id: UUID, driver_id: UUID, *, recorded_before: datetime
) -> UUID | None:
    """Return the guardian's record in force, if it was made before then; asks for no key."""
    found = await store.guardian_consent(conn, company_id, driver_id)
    return found.guardian_id if found and found.recorded_at < recorded_before else None


async def lapse(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> None:
    """End the guardian's consent, if one is in force, because another company took over.

    Inside ``gate.service.stopping``, by whoever ends what rested on it. The driver is told of the
    guardian's consent alone: consents of their own may rest on nobody, and go on.
    """
    kind = NoticeKind.GUARDIAN_CONSENT_LAPSED
    told = {"ended_at": rfc3339(now)}
    await _end(conn, company_id, driver_id, kind, told, by=SYSTEM, by_member=None, now=now)


async def end_again(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> None:
    """End the guardian's consent that a restored backup brought back, if one is in force.

    Who revoked it, and that the driver was told, was lost with what came after the backup.
    """
    ended = await store.revoke_guardian_consent(
        conn, company_id, driver_id, by_member=None, now=now
    )
    if ended is not None:
        await ledger.append(
            conn,
            company_id,
            Act.GUARDIAN_CONSENT_REVOKED,
            actor=Actor(kind=ActorKind.OPERATOR),
            subject_id=driver_id,
            detail={"guardian_id": str(ended)},
            now=now,
        )


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the birth year and every guardian of the driver; return the number of rows."""
    years = await store.delete_birth_year(conn, company_id, member_id)
    return years + await store.delete_guardian_consents(conn, company_id, member_id)


async def _end(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    kind: NoticeKind,
    told: Mapping[str, str],
    *,
    by: Actor,
    by_member: UUID | None,
    now: datetime,
) -> bool:
    """End the guardian's consent, tell the driver, write it down; False if none is in force."""
    ended = await store.revoke_guardian_consent(
        conn, company_id, driver_id, by_member=by_member, now=now
    )
    if ended is None:
        return False
    await notices.queue(conn, company_id, driver_id, kind, told, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.GUARDIAN_CONSENT_REVOKED,
        actor=by,
        subject_id=driver_id,
        detail={"guardian_id": str(ended)},
        now=now,
    )
    return True


async def _may_be_minor(
    conn: Connection, company_id: UUID, driver_id: UUID, known: Age, now: datetime
) -> bool:
    await _refuse_restated(conn, company_id, driver_id, known)
    if known.statement_id is None:
        return False
    return known.may_be_minor(now, await time_zone(conn, company_id))


async def _refuse_restated(conn: Connection, company_id: UUID, driver_id: UUID, known: Age) -> None:
    stated = await store.birth_year(conn, company_id, driver_id)
    if known.statement_id != (None if stated is None else stated.statement_id):
        raise AgeStatedMeanwhile
