"""What a driver sees of who looked at them."""

from datetime import timedelta
from uuid import UUID

from server.kit import db
from server.kit.ids import uuid7
from server.ledger import service
from server.ledger.model import Actor, ActorKind
from server.reads.model import ReadPurpose, Screen, View
from server.reads.service import Reads, views_of
from server.rights.service import tell_of_alert
from tests.world import NOW, World, begin_erasing

MINUTE = timedelta(minutes=1)
PURPOSE = ReadPurpose.DISPATCH_TRACKING
SCREEN = Screen.LIVE_MAP


async def seen_by(world: World, member_id: UUID, **more: object) -> list[View]:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        return await views_of(
            conn,
            world.company_id,
            member_id,
            **{"since": NOW - timedelta(days=1), "limit": 100, **more},  # type: ignore[arg-type]
        )


async def test_a_driver_sees_who_looked_and_nobody_elses(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers[:2], NOW)
    await Reads(world.pool, tell_of_alert).record(
        world.company_id, dispatcher, PURPOSE, SCREEN, drivers[:1], NOW + MINUTE
    )

    (view,) = await seen_by(world, drivers[0])

    assert (view.viewer_kind, view.viewer_member_id) == ("dispatcher", dispatcher.member_id)
    assert (view.purpose, view.screen) == ("dispatch_tracking", "live_map")
    assert (view.bucket_at, view.read_at) == (NOW, NOW)
    assert len(await seen_by(world, drivers[1])) == 1
    assert await seen_by(world, drivers[2]) == []
    assert await seen_by(world, uuid7()) == []
    assert await seen_by(world, drivers[0], since=NOW + 5 * MINUTE) == []


async def test_views_come_in_pages_the_latest_first(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    token = Actor(kind=ActorKind.API_TOKEN, reference_id=uuid7())
    for number in range(3):
        for viewer in (dispatcher, token):
            at = NOW + number * 5 * MINUTE
            await looking.record(world.company_id, viewer, PURPOSE, SCREEN, drivers[:1], at)

    paged: list[View] = []
    while page := await seen_by(world, drivers[0], limit=2, before=paged[-1] if paged else None):
        paged += page

    assert paged == await seen_by(world, drivers[0])
    assert len(paged) == 6
    assert [one.bucket_at for one in paged] == sorted(
        (one.bucket_at for one in paged), reverse=True
    )


async def test_an_erased_viewer_stays_seen_but_nameless(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await looking.record(world.company_id, dispatcher, PURPOSE, SCREEN, drivers, NOW)
    await begin_erasing(world, dispatcher.member_id or uuid7())
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.erase(conn, world.company_id, dispatcher.member_id or uuid7())

    (view,) = await seen_by(world, drivers[0])

    assert view.viewer_member_id is None
    assert view.viewer_kind == "dispatcher"
