"""Deleting much, a little at a time: no transaction is long, and a crash leaves only the rest."""

from typing import Final, Protocol
from uuid import UUID

from server.kit import db
from server.kit.db import Connection, Pool

AT_ONCE: Final = 5_000


class Delete(Protocol):
    async def __call__(self, conn: Connection, company_id: UUID, /, *, limit: int) -> int:
        """Delete at most so many rows; return how many."""
        ...


async def delete_all(pool: Pool, company_id: UUID, delete: Delete, *, limit: int = AT_ONCE) -> int:
    """Delete until nothing is left, each time in a transaction of its own; return how many."""
    gone = 0
    while True:
        async with db.tenant(pool, company_id) as conn:
            batch = await delete(conn, company_id, limit=limit)
        gone += batch
        if batch < limit:
            return gone
