"""What a stated birth year, or a guardian's consent that ends, does to a driver's own consents.

A minor does not consent to their location alone. So whatever leaves them alone voids, in the same
transaction, what they gave: no position is stored and no frame leaves after it is answered.
"""

from datetime import datetime
from uuid import UUID

from server.consent import service as consent
from server.consent.acts import Who
from server.consent.model import USING_LOCATION, ConsentActor, ConsentItem
from server.guardians import service as guardians
from server.guardians.model import SealedYear
from server.kit.db import Connection
from server.ledger.model import Actor


async def state_birth_year(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    new: SealedYear,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> tuple[ConsentItem, ...]:
    """State a driver's birth year, inside ``gate.service.stopping``; return what is void by it.

    Nothing is, unless the driver may be a minor by it and no guardian agreed.

    Raises
    ------
    GateMissing
    """
    guardian_needed = await guardians.state_birth_year(
        conn, company_id, driver_id, new, by=by, by_member=by_member, now=now
    )
    return await _void(conn, company_id, driver_id, now) if guardian_needed else ()


async def revoke_guardian_consent(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> tuple[ConsentItem, ...]:
    """End a guardian's consent, inside ``gate.service.stopping``; return what is void by it.

    Whatever needs the location, also of a driver who came of age since then: how old they are is
    only known with a key, and stopping waits for none. An adult can give again at once.

    Raises
    ------
    GateMissing, GuardianConsentMissing
    """
    await guardians.revoke(conn, company_id, driver_id, by=by, by_member=by_member, now=now)
    return await _void(conn, company_id, driver_id, now)


async def _void(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> tuple[ConsentItem, ...]:
    system = Who(actor=ConsentActor.SYSTEM)
    void = await consent.invalidate(
        conn, company_id, driver_id, items=USING_LOCATION, who=system, now=now
    )
    return tuple(sorted(one.item for one in void))
