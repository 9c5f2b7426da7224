"""Doing once more to an account what was done to it after the backup that was restored."""

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.consent import service as consent
from server.credentials import service as credentials
from server.credentials.model import MemberState
from server.erasure import restoring
from server.kit.db import Connection
from server.ledger.model import Act, Actor, ActorKind
from server.life import service
from server.standing.model import BlockReason

OPERATOR: Final = Actor(kind=ActorKind.OPERATOR)
STAYS: Final = frozenset({MemberState.INVITED, MemberState.ACTIVE, MemberState.BLOCKED})


async def take_away(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    lost: AbstractSet[Act],
    *,
    now: datetime,
) -> None:
    """Block, off-board and disconnect a driver again, inside ``gate.service.stopping``.

    By ``lost``, what is known to have been done to them. Why it was is not.

    Raises
    ------
    GateMissing
    """
    if Act.MEMBER_BLOCKED in lost:
        state = await accounts.state_of(conn, company_id, driver_id)
        if state is MemberState.ACTIVE:
            other = BlockReason.OTHER
            await consent.block(conn, company_id, driver_id, other, by=OPERATOR, now=now)
        # It may have been a lost phone, and whoever found it is not the driver.
        await credentials.end_sessions_and_devices(conn, company_id, driver_id, now=now)
    if Act.PHONE_LOST in lost:
        await service.end_credentials(conn, company_id, driver_id, now=now)
    if Act.MEMBER_OFFBOARDED in lost:
        state = await accounts.state_of(conn, company_id, driver_id)
        if state in STAYS:
            await service.off_board(conn, company_id, driver_id, by=OPERATOR, now=now)
    if lost & {Act.MEMBER_BLOCKED, Act.MEMBER_OFFBOARDED}:
        # Whose erasure was asked for then, and called off before that.
        await restoring.stay_blocked(conn, company_id, driver_id)
