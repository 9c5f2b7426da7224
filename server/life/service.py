"""What becomes of an account beside being blocked: a lost phone, leaving, coming back.

What stops recording is called inside ``gate.service.stopping``; the head of the ledger comes last.
"""

from datetime import datetime
from uuid import UUID

from server.accounts import acts
from server.accounts.model import Invitation
from server.consent import expiry
from server.credentials import service as credentials
from server.credentials.model import MemberState
from server.erasure import service as erasure
from server.gate import service as gate
from server.invitations import service as invitations
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act as LedgerAct
from server.ledger.model import Actor
from server.life.model import Account
from server.links import service as links
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.shifts import service as shifts
from server.shifts.model import ShiftEnd
from server.standing import service as standing
from server.standing.model import Act, BlockReason, by_of, role_word


async def lose_phone(
    conn: Connection, company_id: UUID, driver_id: UUID, *, by: Actor, now: datetime
) -> Invitation:
    """End every log-in and device of a driver, and invite them anew for another phone.

    Inside ``gate.service.stopping``. Nothing is taken from the lost phone any more, nor from any
    other until the driver has accepted, added it and acknowledged its notice. The password may be
    stored in the phone, so it ends as well. Consents are as they were left.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    await shifts.end(conn, company_id, driver_id, by=ShiftEnd.BLOCK, now=now)
    invitation = await acts.invite_again(
        conn, company_id, driver_id, act=Act.LOSE_PHONE, by=by_of(by), now=now
    )
    await end_credentials(conn, company_id, driver_id, now=now)
    told = {"by_role": role_word(by), "reported_at": rfc3339(now)}
    await notices.queue(conn, company_id, driver_id, NoticeKind.PHONE_LOST, told, now=now)
    await ledger.append(
        conn, company_id, LedgerAct.PHONE_LOST, actor=by, subject_id=driver_id, now=now
    )
    return invitation


async def end_credentials(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    """Let nobody be taken for the driver who does not accept an invitation."""
    await credentials.end_sessions_and_devices(conn, company_id, driver_id, now=now)
    await acts.set_password(conn, company_id, driver_id, None)


async def off_board(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    reason: BlockReason = BlockReason.LEFT,
    by: Actor,
    now: datetime,
) -> datetime:
    """Part with a driver; return until when they log in to read and export what is kept.

    Inside ``gate.service.stopping``. Log-ins, devices, customers' links and consents end; what was
    collected stays to the end of its retention, and the driver may ask for its erasure.

    Raises
    ------
    GateMissing, MemberStateRefused
    """
    await shifts.end(conn, company_id, driver_id, by=ShiftEnd.BLOCK, now=now)
    until = await acts.offboard(conn, company_id, driver_id, reason, by=by_of(by), now=now)
    await links.erase(conn, company_id, driver_id)
    told = {"by_role": role_word(by), "reason": reason.value, "reads_until": rfc3339(until)}
    await notices.queue(conn, company_id, driver_id, NoticeKind.ACCOUNT_OFFBOARDED, told, now=now)
    # From here on the head of the ledger is held.
    await expiry.end_all(conn, company_id, driver_id, now=now)
    await ledger.append(
        conn,
        company_id,
        LedgerAct.MEMBER_OFFBOARDED,
        actor=by,
        subject_id=driver_id,
        facts={"reason": reason.value},
        now=now,
    )
    return until


async def take_back(
    conn: Connection, company_id: UUID, driver_id: UUID, *, by: Actor, now: datetime
) -> Invitation:
    """Invite a driver who had left. Nothing they had agreed to is in force: they are asked anew.

    Raises
    ------
    GateMissing, MemberStateRefused, ErasureUnderWay
    """
    # Whoever asks for an erasure holds the gate too, so the two cannot pass each other.
    await gate.lock(conn, company_id, driver_id)
    await erasure.refuse_under_way(conn, company_id, driver_id)
    invitation = await invitations.invite_again(
        conn, company_id, driver_id, act=Act.TAKE_BACK, by=by, now=now
    )
    await end_credentials(conn, company_id, driver_id, now=now)
    await standing.note_lifted(conn, company_id, driver_id)
    await ledger.append(
        conn, company_id, LedgerAct.MEMBER_TAKEN_BACK, actor=by, subject_id=driver_id, now=now
    )
    return invitation


async def end_reading(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Log out for good whose time to read is over; return of how many. Due each minute.

    A new invitation lets them read again, and an erasure can still be asked for on their behalf.
    """
    over = await standing.done_reading(conn, company_id, now)
    for driver_id in over:
        await gate.lock(conn, company_id, driver_id)
        if await credentials.locked_state(conn, company_id, driver_id) is MemberState.OFFBOARDED:
            await end_credentials(conn, company_id, driver_id, now=now)
        await standing.end_reading(conn, company_id, driver_id)
    return len(over)


async def account(conn: Connection, company_id: UUID, member_id: UUID) -> Account:
    """Return how the account of a member stands.

    Raises
    ------
    MemberMissing
    """
    state = await credentials.locked_state(conn, company_id, member_id)
    found = await standing.standing(conn, company_id, member_id)
    return Account(member_id=member_id, state=state, standing=found)
