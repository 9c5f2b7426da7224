"""Inviting members, and telling them who did and what was entered about them."""

from datetime import datetime
from uuid import UUID

from server.accounts import acts
from server.accounts import service as accounts
from server.accounts.model import Invitation, NewMember, Profile
from server.closure import service as closure
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.ledger.model import Actor
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.standing.model import Act, by_of
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
    CompanyClosing, PhoneUnreadable, EmailUnreadable, LoginTaken
    """
    await closure.refuse_joining(conn, company_id)
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
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    act: Act = Act.INVITE_AGAIN,
    by: Actor,
    now: datetime,
) -> Invitation:
    """Replace the invitation of a driver; the old code stops working. They are told.

    Of a driver who has not accepted; who left, and reads again what is kept; or by another ``act``.

    Raises
    ------
    GateMissing, MemberStateRefused, CompanyClosing
    """
    if act is Act.TAKE_BACK:
        await closure.refuse_joining(conn, company_id)
    invitation = await acts.invite_again(
        conn, company_id, driver_id, act=act, by=by_of(by), now=now
    )
    told_by = by.member_id or driver_id
    await _tell(conn, company_id, driver_id, invitation, by_member=told_by, now=now)
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
