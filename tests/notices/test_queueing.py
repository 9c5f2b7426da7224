import asyncio
from contextlib import suppress

from server.credentials.model import Role
from server.kit import db
from server.notice_kinds.kinds import NoticeKind
from server.notices import service
from tests.notices.stage import add_reader, tell
from tests.told import told
from tests.world import NOW, World


async def test_the_same_thing_is_told_once(world: World) -> None:
    reader = await add_reader(world)
    other = await add_reader(world, email=None, phone="+77017654321")

    told = await asyncio.gather(
        *(tell(world, reader.member_id, dedupe="shift 1") for _ in range(5))
    )

    assert len(set(told)) == 1
    assert await tell(world, reader.member_id, dedupe="shift 2") not in told
    assert await tell(world, other.member_id, dedupe="shift 1") not in told
    assert await tell(world, reader.member_id) != await tell(world, reader.member_id)


async def test_what_is_queued_in_a_transaction_that_fails_was_never_told(world: World) -> None:
    reader = await add_reader(world)

    with suppress(SystemError):
        async with db.tenant(world.pool, world.company_id) as conn:
            await service.queue(
                conn,
                world.company_id,
                reader.member_id,
                NoticeKind.DEVICE_ADDED,
                {"added_at": NOW.isoformat()},
                now=NOW,
            )
            raise SystemError

    assert await world.owner.fetchval("SELECT count(*) FROM notice") == 0
    assert await world.owner.fetchval("SELECT count(*) FROM jobs.pgqueuer") == 0


async def test_the_main_users_are_told_all_but_who_did_it(world: World) -> None:
    readers = [
        await add_reader(world, role=role, email=f"{name}@company.example", phone=None)
        for name, role in (
            ("first", Role.MAIN_USER),
            ("second", Role.MAIN_USER),
            ("dispatcher", Role.DISPATCHER),
        )
    ]
    values = {"added_at": NOW.isoformat()}

    async with db.tenant(world.pool, world.company_id) as conn:
        for but in (None, readers[0].member_id):
            await service.queue_for_main_users(
                conn, world.company_id, NoticeKind.DEVICE_ADDED, values, but=but, now=NOW
            )

    assert [len(await told(world, one.member_id)) for one in readers] == [1, 2, 0]
