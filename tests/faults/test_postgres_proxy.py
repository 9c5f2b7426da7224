"""The proxy passes on what was said, and fails exactly what it is told to."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from tests.conftest import Databases
from tests.faults.postgres_proxy import Cut, ErrorInstead, Exchange, Fault, Kind, Proxy, proxied

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def table(owner: Connection) -> AsyncIterator[None]:
    await owner.execute("CREATE TABLE fault_proof (n integer)")
    yield
    await owner.execute("DROP TABLE fault_proof")


GONE = (OSError, asyncpg.PostgresConnectionError)


class Failing:
    """Fails the exchanges of one statement; keeps what it saw."""

    def __init__(self, fault: Fault, statement: str, kind: Kind = Kind.EXECUTE) -> None:
        self.fault = fault
        self.statement = statement
        self.kind = kind
        self.seen: list[Exchange] = []

    async def __call__(self, exchange: Exchange) -> Fault | None:
        self.seen.append(exchange)
        hit = exchange.kind is self.kind and self.statement in exchange.statement
        return self.fault if hit else None


async def closed(conn: Connection) -> None:
    """Return when the client has noticed that its connection is gone."""
    async with asyncio.timeout(10):
        while not conn.is_closed():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("tcp", [False, True])
async def test_every_way_to_ask_goes_through_unchanged(databases: Databases, *, tcp: bool) -> None:
    async with proxied(databases.main, tcp=tcp) as proxy:
        conn = await asyncpg.connect(proxy.dsn(databases.main))
        large = "x" * 3_000_000
        heard: list[object] = []
        await conn.add_listener("fault_proof", lambda *told: heard.append(told[-1]))

        assert await conn.fetchval("SELECT $1::text", large) == large
        found = await conn.fetch("SELECT g FROM generate_series(1, 3) AS g")
        assert [row["g"] for row in found] == [1, 2, 3]
        with pytest.raises(asyncpg.DivisionByZeroError):
            await conn.fetchval("SELECT 1 / $1::integer", 0)
        with pytest.raises(asyncpg.UndefinedTableError):
            await conn.fetchval("SELECT $1::integer FROM nowhere", 0)
        async with conn.transaction():
            await conn.execute("CREATE TEMP TABLE copied (n integer)")
            await conn.copy_records_to_table("copied", records=[(1,), (2,)])
            assert await conn.fetchval("SELECT count(*) FROM copied") == 2
            await conn.execute("NOTIFY fault_proof, 'told'")
        with pytest.raises(TimeoutError):
            await conn.execute("SELECT pg_sleep(60)", timeout=0.05)  # cancels by a connection
        assert await conn.fetchval("SELECT 1") == 1
        assert heard == ["told"]
        await conn.close()


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(("cut", "there"), [(Cut.BEFORE, 0), (Cut.AFTER, 1)])
async def test_a_cut_leaves_the_statement_undone_or_unknown(
    databases: Databases, owner: Connection, cut: Cut, there: int
) -> None:
    async with proxied(databases.main) as proxy:
        proxy.judge = failing = Failing(cut, "INSERT")
        conn = await asyncpg.connect(proxy.dsn(databases.main))

        with pytest.raises(GONE):
            await conn.execute("INSERT INTO fault_proof VALUES ($1)", 1)

        assert conn.is_closed()
        assert await owner.fetchval("SELECT count(*) FROM fault_proof") == there
        assert [one.kind for one in failing.seen] == [Kind.CONNECT, Kind.PREPARE, Kind.EXECUTE]
        assert [one.number for one in failing.seen] == [1, 2, 3]


@pytest.mark.usefixtures("table")
async def test_between_a_commit_and_its_answer_all_is_stored_and_nobody_knows(
    databases: Databases, owner: Connection
) -> None:
    async with proxied(databases.main) as proxy:
        proxy.judge = Failing(Cut.AFTER, "COMMIT", Kind.QUERY)
        conn = await asyncpg.connect(proxy.dsn(databases.main))

        with pytest.raises(GONE):
            async with conn.transaction():
                await conn.execute("INSERT INTO fault_proof VALUES ($1)", 1)

        assert await owner.fetchval("SELECT count(*) FROM fault_proof") == 1


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("statement", "kind"),
    [("INSERT", Kind.PREPARE), ("INSERT", Kind.EXECUTE), ("COMMIT", Kind.QUERY)],
)
async def test_an_error_is_the_servers_own_and_the_session_goes_on(
    databases: Databases, owner: Connection, statement: str, kind: Kind
) -> None:
    async with proxied(databases.main) as proxy:
        proxy.judge = failing = Failing(ErrorInstead("53100"), statement, kind)
        conn = await asyncpg.connect(proxy.dsn(databases.main))

        with pytest.raises(asyncpg.DiskFullError):
            async with conn.transaction():
                await conn.execute("INSERT INTO fault_proof VALUES ($1)", 1)

        assert not conn.is_in_transaction()
        assert await owner.fetchval("SELECT count(*) FROM fault_proof") == 0
        failing.statement = "never said"
        async with conn.transaction():
            await conn.execute("INSERT INTO fault_proof VALUES ($1)", 1)
        assert await owner.fetchval("SELECT count(*) FROM fault_proof") == 1
        await conn.close()


@pytest.mark.parametrize("fault", [Cut.BEFORE, ErrorInstead("57P03")])
async def test_a_connection_can_be_refused(databases: Databases, fault: Fault) -> None:
    async with proxied(databases.main) as proxy:
        proxy.judge = Failing(fault, "", Kind.CONNECT)

        with pytest.raises((*GONE, asyncpg.CannotConnectNowError)):
            await asyncpg.connect(proxy.dsn(databases.main))


async def test_a_session_can_be_ended_by_its_server(databases: Databases) -> None:
    async with proxied(databases.main) as proxy:
        proxy.judge = Failing(ErrorInstead("57P01"), "SELECT 7", Kind.QUERY)
        conn = await asyncpg.connect(proxy.dsn(databases.main))

        with pytest.raises(GONE) as told:
            await conn.execute("SELECT 7")
        assert isinstance(told.value.__cause__, asyncpg.AdminShutdownError)
        await closed(conn)


async def test_all_links_break_at_once_and_a_new_one_can_be_had(databases: Databases) -> None:
    async with proxied(databases.main) as proxy:
        dsn = proxy.dsn(databases.main)
        conns = [await asyncpg.connect(dsn) for _ in range(3)]

        proxy.cut_all()

        for conn in conns:
            await closed(conn)
        conn = await asyncpg.connect(dsn)
        assert await conn.fetchval("SELECT 1") == 1
        asking = asyncio.create_task(conn.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.05)
        proxy.cut_all()
        with pytest.raises(GONE):
            await asking


def test_a_dsn_keeps_user_and_database() -> None:
    proxy = Proxy("postgresql://jolda@/main?host=/tmp/a")
    proxy.place = ("127.0.0.1:7", "")

    assert proxy.dsn("postgresql://u%40:p@h:1/keys?x=1") == "postgresql://u%40:p@127.0.0.1:7/keys"
