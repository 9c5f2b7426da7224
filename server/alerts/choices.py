"""What a company and its staff chose about alerts: the limits, and who is told of what."""

from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.alerts import store
from server.alerts.model import (
    EVERYTHING,
    NOTHING,
    USUAL,
    Limits,
    Wishes,
    refuse_uneven,
)
from server.credentials.model import Role
from server.kit.db import Connection


async def limits(conn: Connection, company_id: UUID) -> Limits:
    """Return when the company is alerted."""
    return await store.limits(conn, company_id) or USUAL


async def set_limits(conn: Connection, company_id: UUID, new: Limits, *, now: datetime) -> Limits:
    """Choose when the company is alerted; it holds from the next judging on.

    Raises
    ------
    AlertLimitsUneven
    """
    refuse_uneven(new)
    await store.set_limits(conn, company_id, new, now=now)
    return new


async def wishes(conn: Connection, company_id: UUID, member_id: UUID, *, role: Role) -> Wishes:
    """Return of which alerts the member wants notices."""
    chosen = await store.wishes(conn, company_id, [member_id])
    return {**_usual(role), **chosen.get(member_id, {})}


async def set_wishes(
    conn: Connection, company_id: UUID, member_id: UUID, new: Wishes, *, now: datetime
) -> None:
    """Choose of which alerts the member wants notices."""
    await store.set_wishes(conn, company_id, member_id, new, now=now)


async def wishing(conn: Connection, company_id: UUID) -> dict[UUID, Wishes]:
    """Return what each active member of the staff wants to be told of."""
    usual = {
        **dict.fromkeys(await accounts.dispatchers(conn, company_id), _usual(Role.DISPATCHER)),
        **dict.fromkeys(await accounts.main_users(conn, company_id), _usual(Role.MAIN_USER)),
    }
    chosen = await store.wishes(conn, company_id, list(usual))
    return {one: {**wanted, **chosen.get(one, {})} for one, wanted in usual.items()}


def _usual(role: Role) -> Wishes:
    """Return what who never chose is told of: it is the dispatchers who see to alerts."""
    return EVERYTHING if role is Role.DISPATCHER else NOTHING
