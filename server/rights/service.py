"""A person's rights over their own data."""

from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.credentials import service as credentials
from server.kit.db import Connection
from server.ledger import reads
from server.ledger.model import ActorKind
from server.rights.model import Looked, cursor_after, place_after
from server.vault.service import Vault


async def views(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    *,
    since: datetime,
    cursor: str | None,
    limit: int,
) -> tuple[list[Looked], str | None]:
    """Return a page of who looked at a driver's positions since then, the latest first.

    Also the cursor of the next page. Nothing is left out, whoever looked.

    Raises
    ------
    CursorInvalid
    """
    found = await reads.views_of(
        conn, company_id, member_id, since=since, before=place_after(cursor), limit=limit + 1
    )
    shown = found[:limit]
    members = {one.viewer_member_id for one in shown if one.viewer_member_id is not None}
    integrations = {one.viewer_id for one in shown if one.viewer_kind == ActorKind.API_TOKEN}
    names = await accounts.names(conn, vault, company_id, members) if members else {}
    if integrations:
        names |= await credentials.api_token_names(conn, company_id, integrations)
    looked = [
        Looked(view=one, name=names.get(one.viewer_member_id or one.viewer_id)) for one in shown
    ]
    return looked, cursor_after(shown[-1]) if len(found) > limit else None
