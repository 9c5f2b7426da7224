"""What a decision needs to know of its driver, in PostgreSQL."""

from uuid import UUID

from server.accounts.model import Locale
from server.kit.db import Connection


async def locale_of(conn: Connection, company_id: UUID, driver_id: UUID) -> Locale | None:
    """Return in which language the driver reads; None where there is no such driver any more."""
    found: str | None = await conn.fetchval(
        "SELECT locale FROM member WHERE company_id = $1 AND member_id = $2", company_id, driver_id
    )
    return None if found is None else Locale(found)
