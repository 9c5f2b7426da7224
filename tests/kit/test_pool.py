"""A connection that comes back to the pool keeps nothing of the company it was used for."""

import asyncpg
import pytest

from server.kit import db
from server.kit.db import ROLE_APP
from server.kit.ids import uuid7
from tests.conftest import Databases


async def test_the_next_who_gets_the_connection_sees_no_company(databases: Databases) -> None:
    async with db.pool(databases.main, role=ROLE_APP, size_max=1) as pool:
        company_id = uuid7()
        async with db.tenant(pool, company_id) as conn:
            assert await conn.fetchval("SELECT current_company()") == company_id

        async with pool.acquire() as conn:
            assert await conn.fetchval("SELECT current_company()") is None
            assert await conn.fetchval("SELECT current_user") == ROLE_APP


async def test_neither_after_a_transaction_that_failed(databases: Databases) -> None:
    async with db.pool(databases.main, role=ROLE_APP, size_max=1) as pool:

        async def fail() -> None:
            async with db.tenant(pool, uuid7()) as conn:
                await conn.execute("SET LOCAL lock_timeout = '7s'")
                await conn.fetchval("SELECT 1 / 0")

        with pytest.raises(asyncpg.DivisionByZeroError):
            await fail()

        async with pool.acquire() as conn:
            assert await conn.fetchval("SELECT current_company()") is None
            assert await conn.fetchval("SHOW lock_timeout") == "0"
