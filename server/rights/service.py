"""A person's rights over their own data."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.credentials import service as credentials
from server.disclosures import service as disclosures
from server.kit.cursors import page_of
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.ledger.model import ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.reads import service as reads
from server.reads.alerts import Alert, AlertKind
from server.reads.retention import reads_kept_since
from server.rights import store
from server.rights.kept import Counted, Kept, kept_of
from server.rights.model import Looked, cursor_after, place_after
from server.vault.service import Vault

NOTICES: Final[Mapping[AlertKind, NoticeKind]] = {
    AlertKind.BULK_READ: NoticeKind.BULK_READ,
    AlertKind.UNKNOWN_IDS: NoticeKind.UNKNOWN_IDS,
}


async def views(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    *,
    since: datetime,
    cursor: str | None,
    limit: int,
    now: datetime,
) -> tuple[list[Looked], str | None]:
    """Return a page of who looked at a driver's positions since then, the latest first.

    Also the cursor of the next page. Nothing is left out, whoever looked, but what an authority
    ordered to keep secret, until that ends; and what is older than a year is not told any more,
    whether it was removed yet or not.

    Raises
    ------
    CursorInvalid
    """
    found = await reads.views_of(
        conn,
        company_id,
        member_id,
        since=max(since, reads_kept_since(now)),
        before=place_after(cursor),
        but=await disclosures.sealed_reads(conn, company_id, member_id, now),
        limit=limit + 1,
    )
    shown, following = page_of(found, limit, cursor_after)
    members = {one.viewer_member_id for one in shown if one.viewer_member_id is not None}
    integrations = {one.viewer_id for one in shown if one.viewer_kind == ActorKind.API_TOKEN}
    names = await accounts.names(conn, vault, company_id, members) if members else {}
    if integrations:
        names |= await credentials.api_token_names(conn, company_id, integrations)
    looked = [
        Looked(view=one, name=names.get(one.viewer_member_id or one.viewer_id)) for one in shown
    ]
    return looked, following


async def data_map(
    conn: Connection, company_id: UUID, member_id: UUID, *, now: datetime
) -> list[Kept]:
    """Return what is kept of a member in `main`: all that the catalogue knows as personal.

    Tables of which no row is theirs are there as well: that nothing is kept is an answer. Of
    disclosures it counts what the member finds in the register: no number tells of a sealed one.
    """
    counted = {
        place.table: await store.count(conn, place, company_id, member_id)
        for place in await store.places(conn)
    }
    rows, since, until = await disclosures.count_own(conn, company_id, member_id, now)
    counted["disclosure"] = Counted(rows=rows, since=since, until=until)
    return kept_of(await store.columns(conn), counted, await store.kept_days(conn, company_id))


async def tell_of_alert(conn: Connection, company_id: UUID, alert: Alert) -> None:
    """Tell the main users of a viewer who looks at many drivers, or for many who are not there.

    Whoever it is: also one of them.
    """
    viewer = alert.viewer
    told = {
        "by_role": viewer.kind.value,
        "count": str(alert.count),
        "at": rfc3339(alert.at),
        **({} if viewer.member_id is None else {"by": str(viewer.member_id)}),
    }
    kind = NOTICES[alert.kind]
    await notices.queue_for_main_users(conn, company_id, kind, told, now=alert.at)
