"""What a driver disputes, of whatever feature: who is party to it does not decide alone."""

from contextlib import suppress
from uuid import UUID

from server.attestations import service as attestations
from server.attestations.model import AttestationMissing
from server.guardians import standing
from server.kit.db import Connection


async def disputed_by_driver(
    conn: Connection, company_id: UUID, driver_id: UUID
) -> frozenset[UUID]:
    """Return who of the staff said what the driver disputes; nobody where nothing is disputed."""
    found = set()
    with suppress(AttestationMissing):
        attested = await attestations.attestation(conn, company_id, driver_id)
        if attested.disputed_at is not None:
            found.add(attested.attested_by)
    stated = await standing.disputed_year(conn, company_id, driver_id)
    return frozenset(found if stated is None else {*found, stated})
