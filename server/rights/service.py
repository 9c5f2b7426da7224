"""A person's rights over their own data."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.credentials import service as credentials
from server.kit.cursors import page_of
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.ledger.model import ActorKind
from server.notices import service as notices
from server.notices.kinds import NoticeKind
from server.reads import service as reads
from server.reads.alerts import Alert, AlertKind
from server.reads.retention import reads_kept_since
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

    Also the cursor of the next page. Nothing is left out, whoever looked; but what is older than
    a year is not told any more, whether it was removed yet or not.

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
