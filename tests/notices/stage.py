"""Members who can be told things, and what they want."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.consent.acts import message_consents
from server.credentials.model import Role
from server.gate import service as gate
from server.kit import db
from server.notice_kinds.kinds import MARKETING_CHANNELS, Channel, NoticeKind
from server.notices import service
from server.notices.model import MessageConsent
from tests import consents
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
        if role is Role.DRIVER:
            ids = (world.company_id, profile.member_id)
            await gate.set_account_active(conn, *ids, active=True)
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


async def agree(world: World, driver_id: UUID, *items: str, now: datetime = NOW) -> None:
    """Give consents as the driver."""
    async with db.tenant(world.pool, world.company_id) as conn:
        await consents.give(conn, world.company_id, driver_id, *items, now=now)


async def take_back(world: World, driver_id: UUID, *items: str, now: datetime = NOW) -> None:
    """Withdraw consents as the driver, until it is answered."""
    async with gate.stopping(world.pool, world.company_id, driver_id, now=now) as conn:
        await consents.withdraw(conn, world.company_id, driver_id, *items, now=now)
    await service.drain(world.pool, world.company_id, driver_id)


async def want(world: World, driver_id: UUID, **marketing: bool) -> None:
    """Switch a driver's marketing on or off, by channel, until it is answered.

    With the consent to it, if it is not given: then nothing but what is named is on.
    """
    wish = {Channel(name): wanted for name, wanted in marketing.items()}
    async with db.tenant(world.pool, world.company_id) as conn:
        given = await message_consents(conn, world.company_id, driver_id, NOW)
        if MessageConsent.MARKETING not in given:
            await consents.give(conn, world.company_id, driver_id, "marketing", now=NOW)
            wish = dict.fromkeys(MARKETING_CHANNELS, False) | wish
        await service.set_preference(
            conn,
            world.company_id,
            driver_id,
            by=Role.DRIVER,
            marketing=wish,
            service={},
            now=NOW,
        )
    await service.drain(world.pool, world.company_id, driver_id)
