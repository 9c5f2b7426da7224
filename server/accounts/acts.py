"""What is done to an account: inviting, joining, blocking, off-boarding; each as the table says.

`standing.model` is the table: which act of whom leads from where to where.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import store
from server.accounts.model import INVITATION_LASTS, Invitation, InvitationNotUsable, Member
from server.credentials import service as credentials
from server.credentials.model import MemberState, Role
from server.gate import service as gate
from server.kit import tokens
from server.kit.db import Connection
from server.kit.tokens import Token
from server.standing import service as standing
from server.standing.model import Act, BlockReason, By, is_let, next_state, refuse_lifting

INVITATION_KIND: Final = "ji"
ENDS_CREDENTIALS: Final = frozenset({BlockReason.LOST_PHONE, BlockReason.IDLE})
"""Of an account that is blocked for one of these, log-ins and devices end as well."""


async def invite(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> Invitation:
    """Give the member a new one-time code; one from before stops working."""
    code, code_hash = tokens.mint(INVITATION_KIND, company_id)
    invitation = Invitation(code=code, expires_at=now + INVITATION_LASTS)
    await store.replace_invitation(
        conn,
        company_id,
        member_id,
        code_hash=code_hash,
        expires_at=invitation.expires_at,
        now=now,
    )
    return invitation


async def invite_again(
    conn: Connection, company_id: UUID, driver_id: UUID, *, act: Act, by: By, now: datetime
) -> Invitation:
    """Replace the invitation of a driver; the old code stops working.

    By ``act`` they were not there yet, lost their phone, or left.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    await gate.lock(conn, company_id, driver_id)
    await _move(conn, company_id, driver_id, act, by)
    return await invite(conn, company_id, driver_id, now)


async def invited(conn: Connection, code: Token, *, now: datetime) -> Member:
    """Return whom the code invites.

    Raises
    ------
    InvitationNotUsable
        It was used, replaced or ran out.
    """
    member_id = await store.invited_member(conn, code.company_id, code.digest, now)
    member = None if member_id is None else await store.member(conn, code.company_id, member_id)
    if member is None or not is_let(member.state, Act.JOIN, By.PERSON):
        raise InvitationNotUsable
    return member


async def accept(conn: Connection, code: Token, *, password_hash: str, now: datetime) -> Member:
    """Use the invitation up: the account has a password, and is active if it was invited.

    Raises
    ------
    InvitationNotUsable
    """
    member = await invited(conn, code, now=now)
    company_id, member_id = member.company_id, member.member_id
    if member.role is Role.DRIVER:
        # The gate first, as every act on a driver does: two orders would deadlock.
        await gate.lock(conn, company_id, member_id)
    state = await credentials.locked_state(conn, company_id, member_id)
    used = await store.delete_invitation(conn, company_id, code.digest)
    if not is_let(state, Act.JOIN, By.PERSON) or not used:
        raise InvitationNotUsable
    if state is MemberState.INVITED and member.role is Role.DRIVER:
        await gate.set_account_active(conn, company_id, member_id, active=True)
    if state is MemberState.OFFBOARDED:
        await standing.let_read(conn, company_id, member_id, now)
    await store.set_state(conn, company_id, member_id, next_state(state, Act.JOIN, By.PERSON))
    await set_password(conn, company_id, member_id, password_hash)
    await standing.note_joined(conn, company_id, member_id, now)
    return member


async def set_password(
    conn: Connection, company_id: UUID, member_id: UUID, password_hash: str | None
) -> None:
    """Write the account's password; with None nobody logs in until an invitation is accepted.

    A code that was sent to stand in for the one before ends with it.
    """
    await credentials.end_reset_codes(conn, company_id, member_id)
    await store.set_password(conn, company_id, member_id, password_hash)


async def password_hash(conn: Connection, company_id: UUID, member_id: UUID) -> str | None:
    """Return the hash of the account's password; None where there is none, or no such member."""
    member = await store.member(conn, company_id, member_id)
    return None if member is None else member.password_hash


async def block(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    reason: BlockReason,
    *,
    by: By,
    order: str | None = None,
    now: datetime,
) -> None:
    """Close the gate for the account; inside ``gate.stopping`` only, after the shift was ended.

    A driver who is blocked still reads, withdraws and asks for erasure. With a lost phone, log-ins
    and devices end as well: whoever found it is not the driver. So they do of an idle account.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    await gate.set_account_active(conn, company_id, driver_id, active=False)
    await _move(conn, company_id, driver_id, Act.BLOCK, by)
    await standing.note_blocked(
        conn, company_id, driver_id, reason, by, order_reference=order, now=now
    )
    if reason in ENDS_CREDENTIALS:
        await credentials.end_sessions_and_devices(conn, company_id, driver_id, now=now)


async def unblock(
    conn: Connection, company_id: UUID, driver_id: UUID, *, by: By, now: datetime
) -> None:
    """Open the gate for the account again; consents are as they were left, no shift is on.

    Raises
    ------
    GateMissing, MemberStateRefused, BlockNotYours
    """
    await gate.set_account_active(conn, company_id, driver_id, active=True)
    await gate.moment(conn, company_id, driver_id, now)
    await _move(conn, company_id, driver_id, Act.UNBLOCK, by)
    refuse_lifting(await standing.standing(conn, company_id, driver_id), by)
    await standing.note_lifted(conn, company_id, driver_id)
    # Whoever lets them in again counts on them: they are not idle from the past.
    await standing.note_used(conn, company_id, driver_id, now)


async def offboard(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    reason: BlockReason,
    *,
    by: By,
    now: datetime,
) -> datetime:
    """Close the gate for who left, and end what they prove themself with; return when they read to.

    Inside ``gate.stopping`` only, after the shift was ended. Their password stays: they log in
    anew, to read, to export and to ask for erasure.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    await gate.set_account_active(conn, company_id, driver_id, active=False)
    await _move(conn, company_id, driver_id, Act.OFFBOARD, by)
    await store.delete_invitation_of(conn, company_id, driver_id)
    await credentials.end_sessions_and_devices(conn, company_id, driver_id, now=now)
    return await standing.note_left(conn, company_id, driver_id, reason, by, now)


async def close_staff_account(
    conn: Connection, company_id: UUID, member_id: UUID, *, now: datetime
) -> None:
    """End the account of a member of staff, whose company closes: they log in no more."""
    await credentials.locked_state(conn, company_id, member_id)
    await store.set_state(conn, company_id, member_id, MemberState.OFFBOARDED)
    await store.delete_invitation_of(conn, company_id, member_id)
    await store.set_password(conn, company_id, member_id, None)
    await credentials.end_sessions_and_devices(conn, company_id, member_id, now=now)


async def has_never_joined(conn: Connection, company_id: UUID, member_id: UUID) -> bool:
    """Tell whether the account is as it was made: nobody has ever accepted an invitation to it."""
    if await credentials.locked_state(conn, company_id, member_id) is not MemberState.INVITED:
        return False
    return (await standing.standing(conn, company_id, member_id)).joined_at is None


async def _move(conn: Connection, company_id: UUID, member_id: UUID, act: Act, by: By) -> None:
    state = await credentials.locked_state(conn, company_id, member_id)
    await store.set_state(conn, company_id, member_id, next_state(state, act, by))
