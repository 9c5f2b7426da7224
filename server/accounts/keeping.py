"""How long a company keeps the tracks of its drivers."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import service
from server.kit.db import Connection

TRACK_DAYS_MIN: Final = 1
TRACK_DAYS_MAX: Final = 365


async def shown_since(
    conn: Connection, company_id: UUID, since: datetime, *, now: datetime
) -> datetime:
    """Return from when on, of what is after ``since``, the company may be shown positions.

    What is older than it keeps them is as good as gone, also before the daily job has removed it.
    """
    if since >= now - timedelta(days=TRACK_DAYS_MIN):  # as mostly: nothing more is asked for
        return since
    company = await service.company(conn, company_id)
    return max(since, company.tracks_kept_since(now) or since)
