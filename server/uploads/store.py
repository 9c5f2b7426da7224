"""The counters of what was refused."""

from datetime import date
from uuid import UUID

from server.kit.db import Connection


async def count_refusals(
    conn: Connection, company_id: UUID, driver_id: UUID, day: date, counts: dict[str, int]
) -> None:
    """Add to the day's counters while the account is active: never again of an erased driver.

    The lock is one that no change of the gate waits for, or refused uploads would hold up every
    withdrawal. Its deletion does wait, and an erasure looks for what is left only after that.
    """
    await conn.execute(
        """
        INSERT INTO refusal_count AS c (company_id, driver_id, day, reason, count)
        SELECT g.company_id, g.driver_id, $3, r.reason, r.count
          FROM (SELECT company_id, driver_id FROM gate
                 WHERE company_id = $1 AND driver_id = $2 AND account_active
                   FOR KEY SHARE) AS g,
               unnest($4::text[], $5::bigint[]) AS r (reason, count)
         ORDER BY r.reason
        ON CONFLICT (company_id, driver_id, day, reason)
        DO UPDATE SET count = c.count + excluded.count
        """,
        company_id,
        driver_id,
        day,
        list(counts),
        list(counts.values()),
    )


async def delete_driver(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    """Delete the driver's counters; return how many rows went."""
    rows = await conn.fetch(
        """
        DELETE FROM refusal_count WHERE company_id = $1 AND driver_id = $2
        RETURNING reason
        """,
        company_id,
        driver_id,
    )
    return len(rows)
