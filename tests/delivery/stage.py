"""A sender, and what became of what it was given."""

from collections.abc import Mapping
from uuid import UUID

from server.consent.acts import message_consents
from server.credentials.model import Role
from server.delivery import service
from server.delivery.deliverer import Deliverer
from server.delivery.ports import Port, SmtpServer, ports_of
from server.kit import db
from server.kit.outgoing import Destination
from server.notice_kinds.kinds import Channel
from server.notices.model import DeliveryEvent
from tests.http import Clock
from tests.world import World


async def events(world: World, notice_id: UUID) -> list[DeliveryEvent]:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        return await service.evidence(conn, world.company_id, notice_id, role=Role.MAIN_USER)


async def happened(world: World, notice_id: UUID, channel: Channel) -> list[str]:
    """Return what happened on one channel, with the reason where there is one."""
    return [
        one.event.value if one.reason is None else f"{one.event.value}: {one.reason.value}"
        for one in await events(world, notice_id)
        if one.channel is channel
    ]


def deliverer(
    world: World, server: SmtpServer | None, push: str | None = None, clock: Clock | None = None
) -> Deliverer:
    """Return a sender over these ways out; ``push`` is the adapter's address."""
    destination = None if push is None else Destination(url=push, token=None)
    return deliverer_over(world, ports_of(server, None, destination), clock)


def deliverer_over(
    world: World, ports: Mapping[Channel, Port], clock: Clock | None = None
) -> Deliverer:
    return Deliverer(
        world.pool, world.vault, ports, consents=message_consents, clock=clock or Clock()
    )
