"""What is known of a driver's age, readable: the same for staff and for the driver."""

from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.gate import service as gate
from server.guardians import service, store
from server.guardians.model import UNSTATED, AgeStanding, Guardian, GuardianConsent, StatedYear
from server.kit.db import Connection
from server.vault.model import SealedText
from server.vault.service import Vault


async def standing(
    conn: Connection, vault: Vault, company_id: UUID, driver_id: UUID, *, now: datetime
) -> AgeStanding:
    """Return all that is known of the driver's age, with the names of who stated it.

    Raises
    ------
    GateMissing
    """
    await gate.read(conn, company_id, driver_id)
    stated = await store.birth_year(conn, company_id, driver_id)
    guardian = await store.guardian_consent(conn, company_id, driver_id)
    known = UNSTATED if stated is None else await service.opened(vault, company_id, stated)
    by = {one for one in (stated and stated.stated_by, guardian and guardian.recorded_by) if one}
    names = await accounts.names(conn, vault, company_id, by)
    may_be_minor = known.may_be_minor(now, await service.time_zone(conn, company_id))
    return AgeStanding(
        birth_year=None
        if stated is None
        else StatedYear(
            year=known.birth_year,
            stated_by=names.get(stated.stated_by, ""),
            stated_at=stated.stated_at,
            disputed_at=stated.disputed_at,
        ),
        may_be_minor=may_be_minor,
        guardian_consent=None
        if guardian is None
        else await _readable(vault, company_id, guardian, names.get(guardian.recorded_by, "")),
        guardian_needed=may_be_minor and (guardian is None or guardian.is_to_company_before),
    )


async def disputed_year(conn: Connection, company_id: UUID, driver_id: UUID) -> UUID | None:
    """Return who stated the driver's birth year, if the driver disputes it."""
    stated = await store.birth_year(conn, company_id, driver_id)
    return None if stated is None or stated.disputed_at is None else stated.stated_by


async def _readable(
    vault: Vault, company_id: UUID, found: GuardianConsent, recorded_by: str
) -> Guardian:
    texts = (
        (found.name_sealed, service.NAME_SCHEMA),
        (found.document_sealed, service.DOCUMENT_SCHEMA),
    )
    name, document = await vault.open_texts(
        company_id,
        [
            None
            if sealed is None
            else SealedText(sealed=sealed, row_id=found.guardian_id, schema=schema)
            for sealed, schema in texts
        ],
    )
    return Guardian(
        guardian_id=found.guardian_id,
        guardian_name=name or "",
        relation=found.relation,
        how=found.how,
        told_at=found.told_at,
        document_reference=document,
        recorded_by=recorded_by,
        recorded_at=found.recorded_at,
    )
