"""The connections of all processes fit into what PostgreSQL takes, or the start is refused."""

import asyncpg
import pytest

from server import connections
from server.background import ASKING_MAX
from server.connections import (
    COMMITTER,
    JOBS_OWN,
    KEYS_POOL_MAX,
    KEYS_POOL_MIN,
    POOL_MAX,
    POOL_MIN,
    SPARE,
    ConnectionsShort,
    PoolSizes,
    Room,
    shares,
)
from server.deposits.committer import CONNECTIONS as LANES
from tests.conftest import Databases

USUAL = 97  # of 100, three are the superuser's


@pytest.mark.parametrize("same_server", [True, False])
@pytest.mark.parametrize("main", [40, 60, USUAL, 200, 1_000])
def test_what_is_dealt_out_fits(main: int, *, same_server: bool) -> None:
    room = Room(main=main, keys=main, same_server=same_server)
    for workers in range(1, 65):
        refuse_overdrawn(workers, room)


def refuse_overdrawn(workers: int, room: Room) -> None:
    try:
        dealt = shares(workers, room)
    except ConnectionsShort:
        return

    on_main = workers * (dealt.worker.main + COMMITTER) + dealt.jobs.main + JOBS_OWN
    on_keys = workers * dealt.worker.keys + dealt.jobs.keys
    assert POOL_MIN <= dealt.worker.main <= POOL_MAX
    assert KEYS_POOL_MIN <= dealt.worker.keys <= KEYS_POOL_MAX
    if room.same_server:
        assert on_main + on_keys + SPARE <= room.main
    else:
        assert on_main + SPARE <= room.main
        assert on_keys + SPARE <= room.keys


@pytest.mark.parametrize(
    ("workers", "sizes"),
    [(2, PoolSizes(main=20, keys=5)), (4, PoolSizes(main=11, keys=2))],
)
def test_the_embedded_postgres_has_enough_for_four(workers: int, sizes: PoolSizes) -> None:
    assert shares(workers, Room(main=USUAL, keys=USUAL, same_server=True)).worker == sizes


def test_two_servers_with_the_usual_number_are_enough_for_five() -> None:
    usual = Room(main=USUAL, keys=USUAL, same_server=False)

    assert shares(5, usual).worker == PoolSizes(main=10, keys=6)
    with pytest.raises(ConnectionsShort, match=r"enough for 5\."):
        shares(6, usual)


@pytest.mark.parametrize(("main", "most"), [(USUAL, 4), (50, 1), (20, 0)])
def test_too_many_workers_are_told_how_many_there_could_be(main: int, most: int) -> None:
    with pytest.raises(ConnectionsShort, match=f"enough for {most}\\. Lower it"):
        shares(64, Room(main=main, keys=main, same_server=True))


def test_a_small_server_of_the_keys_is_no_less_a_reason() -> None:
    with pytest.raises(ConnectionsShort, match=r"enough for 3\."):
        shares(8, Room(main=500, keys=20, same_server=False))


async def test_the_room_is_what_ordinary_users_get(databases: Databases) -> None:
    admin = await asyncpg.connect(databases.admin)
    names = ("max_connections", "superuser_reserved_connections", "reserved_connections")
    whole, *reserved = [
        int(await admin.fetchval("SELECT current_setting($1)", name)) for name in names
    ]
    await admin.close()

    room = await connections.room(databases.main, databases.keys)

    assert room == Room(main=whole - sum(reserved), keys=whole - sum(reserved), same_server=True)


def test_what_is_counted_is_what_is_opened() -> None:
    assert COMMITTER == LANES + 1  # and one for uploads whose gate is locked
    # The queue, compaction, the retention of reads; and those that ask for the companies.
    assert JOBS_OWN == 3 + ASKING_MAX
