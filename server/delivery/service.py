"""Where messages stand, and the evidence of what happened to them."""

from uuid import UUID

from server.credentials.model import Role
from server.delivery import store
from server.kit.cursors import cursor_of, place_of
from server.kit.db import Connection
from server.notice_kinds.kinds import NoticeKind
from server.notice_kinds.table import OF_INCIDENTS
from server.notices.model import Delivery, DeliveryEvent, DeliveryState, NoticeMissing


async def deliveries(
    conn: Connection,
    company_id: UUID,
    *,
    member_id: UUID | None,
    kind: NoticeKind | None,
    state: DeliveryState | None,
    role: Role | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[Delivery], str | None]:
    """Return where the deliveries of a page of notices stand, newest notice first.

    ``limit`` counts notices. No text, no address, and only what ``role`` may know of.

    Raises
    ------
    CursorInvalid
    """
    found = await store.deliveries(
        conn,
        company_id,
        member_id=member_id,
        kind=kind,
        state=state,
        but=_kept_from(role),
        before=None if cursor is None else place_of(cursor),
        limit=limit + 1,
    )
    notices = list(dict.fromkeys(one.notice_id for one in found))
    if len(notices) <= limit:
        return found, None
    kept = set(notices[:limit])
    return [one for one in found if one.notice_id in kept], cursor_of(notices[limit - 1])


async def evidence(
    conn: Connection, company_id: UUID, notice_id: UUID, *, role: Role | None
) -> list[DeliveryEvent]:
    """Return everything that happened to a notice's deliveries, in order.

    A notice that ``role`` may not know of is answered as one that is not there.

    Raises
    ------
    NoticeMissing
    """
    found = await store.events(conn, company_id, notice_id, but=_kept_from(role))
    if not found:
        raise NoticeMissing
    return found


async def export(
    conn: Connection, company_id: UUID, member_id: UUID
) -> dict[UUID, list[DeliveryEvent]]:
    """Return everything that happened to what the member was told, by notice."""
    return await store.events_of_member(conn, company_id, member_id)


def _kept_from(role: Role | None) -> frozenset[NoticeKind]:
    """Return the kinds of which only main users see whom they went to."""
    return frozenset() if role is Role.MAIN_USER else OF_INCIDENTS
