"""Inviting members, and telling them who did and what was entered about them."""

from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import Invitation, NewMember, Profile
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.notices import service as notices
from server.notices.kinds import NoticeKind
from server.vault.service import Vault


async def invite(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    new: NewMember,
    *,
    by_member: UUID,
    now: datetime,
) -> tuple[Profile, Invitation]:
    """Add a member in state ``invited``, and tell them that somebody else entered their data.

    Raises
    ------
    PhoneUnreadable, EmailUnreadable, LoginTaken
    """
    profile, invitation = await accounts.add_member(conn, vault, company_id, new, now=now)
    await _tell(conn, company_id, profile.member_id, invitation, by_member=by_member, now=now)
    logins = {"phone": new.phone, "email": new.email}
    fields = ["name", "language", *(name for name, text in logins.items() if text is not None)]
    await notices.queue(
        conn,
        company_id,
        profile.member_id,
        NoticeKind.INDIRECT_SOURCE,
        {"by": str(by_member), "fields": ",".join(fields), "entered_at": rfc3339(now)},
        now=now,
    )
    return profile, invitation


async def invite_again(
    conn: Connection, company_id: UUID, driver_id: UUID, *, by_member: UUID, now: datetime
) -> Invitation:
    """Replace the invitation of a driver who has not accepted; the old code stops working.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    invitation = await accounts.invite_again(conn, company_id, driver_id, now=now)
    await _tell(conn, company_id, driver_id, invitation, by_member=by_member, now=now)
    return invitation


async def _tell(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    invitation: Invitation,
    *,
    by_member: UUID,
    now: datetime,
) -> None:
    told = {"by": str(by_member), "expires_at": rfc3339(invitation.expires_at)}
    await notices.queue(conn, company_id, member_id, NoticeKind.ACCOUNT_INVITED, told, now=now)
