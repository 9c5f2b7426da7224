"""Members who can be told things, and what stands in the outbox."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.credentials.model import Role
from server.kit import db
from server.notices import service
from server.notices.delivery import Deliverer
from server.notices.kinds import Channel, NoticeKind
from server.notices.model import DeliveryEvent
from server.notices.ports import SmtpServer, ports_of
from tests.world import NOW, World, open_session

NAME = "Санжар Қайратұлы"
EMAIL = "sanzhar@driver.example"
PHONE = "+77011234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    member_id: UUID
    session: str


async def add_reader(
    world: World,
    *,
    role: Role = Role.DRIVER,
    name: str = NAME,
    email: str | None = EMAIL,
    phone: str | None = PHONE,
    locale: Locale = Locale.RU,
) -> Reader:
    new = NewMember(name=name, role=role, locale=locale, phone=phone, email=email)
    async with db.tenant(world.pool, world.company_id) as conn:
        profile, _ = await accounts.add_member(conn, world.vault, world.company_id, new, now=NOW)
    await world.owner.execute(
        "UPDATE member SET state = 'active' WHERE company_id = $1 AND member_id = $2",
        world.company_id,
        profile.member_id,
    )
    session = await open_session(world.pool, world.company_id, profile.member_id)
    return Reader(member_id=profile.member_id, session=session)


async def tell(
    world: World,
    member_id: UUID,
    kind: NoticeKind = NoticeKind.DEVICE_ADDED,
    *,
    dedupe: str | None = None,
    now: datetime = NOW,
    **values: str,
) -> UUID:
    """Queue a notice in a transaction of its own."""
    values = values or {"added_at": NOW.isoformat()}
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.queue(
            conn, world.company_id, member_id, kind, values, now=now, dedupe=dedupe
        )


async def tell_news(world: World, member_id: UUID) -> UUID:
    return await tell(
        world, member_id, NoticeKind.MARKETING_NEWS, headline="Скидка", message="Всё для шин."
    )


async def want(world: World, member_id: UUID, **marketing: bool) -> None:
    """Switch marketing on or off, by channel."""
    wish = {Channel(name): wanted for name, wanted in marketing.items()}
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.set_preference(
            conn, world.company_id, member_id, marketing=wish, service={}, now=NOW
        )


async def events(world: World, notice_id: UUID) -> list[DeliveryEvent]:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        return await service.evidence(conn, world.company_id, notice_id)


async def happened(world: World, notice_id: UUID, channel: Channel) -> list[str]:
    """Return what happened on one channel, with the reason where there is one."""
    return [
        one.event.value if one.reason is None else f"{one.event.value}: {one.reason.value}"
        for one in await events(world, notice_id)
        if one.channel is channel
    ]


def deliverer(world: World, server: SmtpServer | None) -> Deliverer:
    return Deliverer(world.pool, world.vault, ports_of(server, None, None))
