"""A look is committed before it is answered, costs nothing twice, and is closed into one entry."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from server.kit import db
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.ledger.verify import Reason, Verdict, verify
from server.reads import store
from server.reads.closed import ClosedReads
from server.reads.model import ClosedBucket, ReadPurpose, ReadRow, Screen
from server.reads.service import Reads, close_buckets
from server.rights.service import tell_of_alert
from tests.ledger.chains import enrolled
from tests.world import NOW, World

MINUTE = timedelta(minutes=1)
PURPOSE = ReadPurpose.DISPATCH_TRACKING
SCREEN = Screen.LIVE_MAP


async def kept(world: World) -> list[asyncpg.Record]:
    """Return every committed read with the pseudonyms that were looked at."""
    return await world.owner.fetch(
        "SELECT r.*, s.drivers FROM location_read r JOIN location_read_set s USING"
        " (company_id, set_hash) WHERE company_id = $1 ORDER BY r.read_at, r.viewer_id",
        world.company_id,
    )


async def pseudonym(world: World, member_id: UUID) -> UUID:
    found = await world.owner.fetchval(
        "SELECT pseudonym FROM ledger_subject WHERE member_id = $1", member_id
    )
    assert isinstance(found, UUID)
    return found


async def close(world: World, minutes: int) -> int:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await close_buckets(conn, world.company_id, NOW + minutes * MINUTE)


async def test_a_look_is_committed_when_it_is_answered(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers[:2], NOW)

    (row,) = await kept(world)
    assert row["viewer_id"] == await pseudonym(world, dispatcher.member_id or uuid7())
    assert row["drivers"] == sorted([await pseudonym(world, one) for one in drivers[:2]])
    assert (row["purpose"], row["screen"]) == ("dispatch_tracking", "live_map")
    assert (row["bucket_at"], row["read_at"]) == (NOW, NOW)


async def test_the_same_look_again_writes_nothing_and_a_new_driver_is_added(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers[:2], NOW)

    # Whoever tried to write now, even if nothing came of it, would be refused.
    await world.owner.execute("REVOKE INSERT ON location_read_set FROM jolda_app")
    try:
        for ids in (drivers[:2], drivers[:1], set(drivers[1:2]), []):
            await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, ids, NOW + MINUTE)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await looking.record(
                world.company_id, dispatcher, PURPOSE, SCREEN, drivers[:3], NOW + 2 * MINUTE
            )
    finally:
        await world.owner.execute("GRANT INSERT ON location_read_set TO jolda_app")
    await looking.record(
        world.company_id, dispatcher, PURPOSE, SCREEN, drivers[:3], NOW + 2 * MINUTE
    )

    first, second = await kept(world)
    assert len(first["drivers"]) == 2
    assert second["drivers"] == [await pseudonym(world, drivers[2])]


async def transactions(world: World) -> int:
    """Return how many transactions wrote the reads that are kept.

    Their ids stand in the rows; the server's counters move with other tests' work too.
    """
    return int(await world.owner.fetchval("SELECT count(DISTINCT xmin::text) FROM location_read"))


async def test_each_purpose_screen_viewer_and_bucket_is_a_look_of_its_own(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    other = Actor(kind=ActorKind.MAIN_USER, member_id=await enrolled(world, "main_user"))
    token = Actor(kind=ActorKind.API_TOKEN, reference_id=uuid7())
    for viewer, purpose, screen, at in (
        (dispatcher, PURPOSE, SCREEN, NOW),
        (other, PURPOSE, SCREEN, NOW),
        (token, PURPOSE, SCREEN, NOW),
        (dispatcher, ReadPurpose.PLAN_FACT, SCREEN, NOW),
        (dispatcher, PURPOSE, Screen.TRACK, NOW),
        (dispatcher, PURPOSE, SCREEN, NOW + 5 * MINUTE),
    ):
        await looking.record(world.company_id, viewer, purpose, screen, drivers, at)

    rows = await kept(world)

    assert len(rows) == 6
    assert len({row["set_hash"] for row in rows}) == 1
    assert token.reference_id in {row["viewer_id"] for row in rows}


async def test_a_clock_that_was_set_back_hides_no_look(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    for at in (NOW + 60 * MINUTE, NOW):
        await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers, at)

    assert [row["read_at"] for row in await kept(world)] == [NOW, NOW + 60 * MINUTE]


async def test_a_look_that_cannot_be_written_is_refused_and_not_remembered(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await world.owner.execute("REVOKE INSERT ON location_read FROM jolda_app")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers, NOW)
    finally:
        await world.owner.execute("GRANT INSERT ON location_read TO jolda_app")
    assert await kept(world) == []

    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers, NOW)

    assert len(await kept(world)) == 1


async def test_nobody_looks_namelessly(world: World, looking: Reads, drivers: list[UUID]) -> None:
    nobody = Actor(kind=ActorKind.CUSTOMER)
    with pytest.raises(ValueError, match="somebody"):
        await looking.record(world.company_id, nobody, PURPOSE, SCREEN, drivers, NOW)


async def test_looks_at_the_same_moment_share_their_transactions(
    world: World, looking: Reads, drivers: list[UUID]
) -> None:
    viewers = [Actor(kind=ActorKind.API_TOKEN, reference_id=uuid7()) for _ in range(50)]

    await asyncio.gather(
        *(
            looking.record(world.company_id, viewer, PURPOSE, SCREEN, drivers, NOW)
            for viewer in viewers
        )
    )

    assert await transactions(world) <= 2
    assert len(await kept(world)) == 50


async def test_an_erased_viewer_does_not_blind_the_others(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    gone = Actor(kind=ActorKind.DISPATCHER, member_id=uuid7())

    answers = await asyncio.gather(
        *(
            looking.record(world.company_id, viewer, PURPOSE, SCREEN, drivers, NOW)
            for viewer in (gone, dispatcher)
        ),
        return_exceptions=True,
    )

    assert isinstance(answers[0], LookupError)
    assert answers[1] is None
    assert len(await kept(world)) == 1


async def test_who_gave_up_waiting_does_not_stop_the_others(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    token = Actor(kind=ActorKind.API_TOKEN, reference_id=uuid7())
    impatient, patient = (
        asyncio.create_task(looking.record(world.company_id, viewer, PURPOSE, SCREEN, drivers, NOW))
        for viewer in (token, dispatcher)
    )
    await asyncio.sleep(0)
    impatient.cancel()

    await patient

    assert impatient.cancelled()
    viewer = await pseudonym(world, dispatcher.member_id or uuid7())
    assert viewer in {row["viewer_id"] for row in await kept(world)}


async def test_a_driver_who_was_erased_meanwhile_is_not_brought_back(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    gone = uuid7()

    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, [gone], NOW)
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, [gone, *drivers], NOW)

    (row,) = await kept(world)
    assert len(row["drivers"]) == len(drivers)


# ---- closing


async def test_a_bucket_that_is_over_becomes_one_entry_with_the_hash_of_its_rows(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers[:2], NOW)
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers, NOW + MINUTE)

    early = await close(world, 5)
    closed, again = await close(world, 6), await close(world, 7)

    assert (early, closed, again) == (0, 1, 0)
    entry = await world.owner.fetchrow(
        "SELECT * FROM ledger_entry WHERE company_id = $1", world.company_id
    )
    assert entry is not None
    rows = [ReadRow(**{name: row[name] for name in ReadRow.__slots__}) for row in await kept(world)]
    expected = ClosedBucket.of(NOW, rows)
    assert (entry["act"], entry["subject_id"]) == ("location_read_bucket", None)
    assert json.loads(entry["facts"]) == {
        "bucket_at": "2026-11-22T12:00:00.000000Z",
        "hash": expected.hash.hex(),
        "rows": 2,
    }


async def test_nothing_comes_into_a_bucket_that_was_closed(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers[:1], NOW)
    await close(world, 6)

    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers, NOW + 4 * MINUTE)

    first, late = await kept(world)
    assert (first["bucket_at"], late["bucket_at"]) == (NOW, NOW + 5 * MINUTE)
    assert late["read_at"] == NOW + 4 * MINUTE
    assert await close(world, 11) == 1
    verdict = await verify(
        world.owner, world.company_id, public_keys={}, counterparts=[ClosedReads()]
    )
    assert (verdict.entries, verdict.sound) == (2, True)


async def closed_while_adding(
    world: World, viewer: Actor, drivers: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> tuple[bool, Verdict]:
    """Close a bucket between the look at it and the row; tell whether that waited, and how it is.

    The job is given what it needs: another look's row was committed before.
    """
    await Reads(world.pool, tell_of_alert).record(
        world.company_id, viewer, PURPOSE, SCREEN, drivers[:1], NOW
    )
    insert_rows = store.insert_rows
    closings: list[asyncio.Task[int]] = []
    waited: list[bool] = []

    async def slowly(
        conn: db.Connection, company_id: UUID, bucket_at: datetime, rows: Sequence[ReadRow]
    ) -> None:
        closings.append(asyncio.create_task(close(world, 6)))
        await asyncio.wait(closings, timeout=0.5)
        waited.append(not closings[0].done())
        await insert_rows(conn, company_id, bucket_at, rows)

    monkeypatch.setattr(store, "insert_rows", slowly)
    await Reads(world.pool, tell_of_alert).record(
        world.company_id, viewer, PURPOSE, SCREEN, drivers, NOW
    )
    assert await closings[0] == 1
    return waited[0], await verify(
        world.owner, world.company_id, public_keys={}, counterparts=[ClosedReads()]
    )


async def test_closing_waits_for_who_is_adding(
    world: World, dispatcher: Actor, drivers: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited, verdict = await closed_while_adding(world, dispatcher, drivers, monkeypatch)

    assert waited
    assert verdict.sound
    assert len(await kept(world)) == 2


async def test_control_without_the_shared_lock_a_read_comes_too_late(
    world: World, dispatcher: Actor, drivers: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def looked(conn: db.Connection, company_id: UUID, bucket_at: datetime) -> bool:
        return bool(
            await conn.fetchval(
                "SELECT ledger_index IS NULL FROM location_read_bucket"
                " WHERE company_id = $1 AND bucket_at = $2",
                company_id,
                bucket_at,
            )
        )

    monkeypatch.setattr(store, "share_open_bucket", looked)
    waited, verdict = await closed_while_adding(world, dispatcher, drivers, monkeypatch)

    assert not waited
    assert verdict.reason is Reason.READS


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE location_read SET screen = 'track'",
        "DELETE FROM location_read",
        "UPDATE location_read_set SET drivers = drivers[2:]",
    ],
)
async def test_a_read_changed_after_its_bucket_was_closed_is_found(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID], change: str
) -> None:
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers, NOW)
    await close(world, 6)
    before = await verify(
        world.owner, world.company_id, public_keys={}, counterparts=[ClosedReads()]
    )

    await world.owner.execute(change)

    after = await verify(
        world.owner, world.company_id, public_keys={}, counterparts=[ClosedReads()]
    )
    assert before.sound
    assert (after.first_bad_index, after.reason) == (1, Reason.READS)
