"""Much is deleted a little at a time."""

from uuid import UUID

import pytest

from server.kit.batches import delete_all
from server.kit.db import Connection
from tests.world import World


@pytest.mark.parametrize(
    ("rows", "batches"), [(0, [0]), (2, [2]), (3, [3, 0]), (7, [3, 3, 1]), (9, [3, 3, 3, 0])]
)
async def test_all_goes_in_transactions_of_so_many(
    world: World, rows: int, batches: list[int]
) -> None:
    found: list[int] = []
    transactions: list[int] = []

    async def delete(conn: Connection, company_id: UUID, /, *, limit: int) -> int:
        assert str(company_id) == await conn.fetchval("SELECT current_setting('app.company_id')")
        transactions.append(await conn.fetchval("SELECT txid_current()"))
        found.append(min(limit, rows - sum(found)))
        return found[-1]

    assert await delete_all(world.pool, world.company_id, delete, limit=3) == rows

    assert found == batches
    assert len(set(transactions)) == len(batches)
