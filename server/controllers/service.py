"""Announcing another controller, agreeing to it, and carrying it out.

What a company promised stays promised: nothing here touches an edition, a period of keeping, or
what was written before.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.consent import service as consent
from server.controllers import consents, store
from server.controllers.model import (
    ChangeAgreement,
    ChangeStanding,
    ControllerChange,
    ControllerChangeMissing,
    ControllerChangeNeeded,
    ControllerChangeOpen,
    ControllerChangeOver,
    ControllerUnchanged,
    NewController,
    StandingPage,
    refuse_early,
    refuse_short_notice,
)
from server.credentials.model import MemberState
from server.gate import service as gate
from server.guardians import service as guardians
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.policies import service as policies
from server.policies.model import Controller


async def state(
    conn: Connection,
    company_id: UUID,
    *,
    business_number: str | None,
    privacy_contact: str | None,
    now: datetime,
) -> Controller:
    """State who the company is; None takes a statement back.

    Raises
    ------
    CompanyMissing
    ControllerChangeNeeded
        Another number is stated already, and drivers consented to the company of that number.
    """
    before = (await policies.controller(conn, company_id)).bin
    if before not in {None, business_number} and await consent.any_given(conn, company_id):
        raise ControllerChangeNeeded
    return await policies.set_controller(
        conn,
        company_id,
        business_number=business_number,
        privacy_contact=privacy_contact,
        now=now,
    )


async def announce(
    conn: Connection,
    company_id: UUID,
    to: NewController,
    *,
    effective_at: datetime,
    by: Actor,
    now: datetime,
) -> ControllerChange:
    """Announce that another company becomes the controller; every member is told at once.

    Raises
    ------
    ControllerNoticeTooShort, ControllerUnchanged
    ControllerChangeOpen
        Another change is announced, or still being carried out.
    """
    refuse_short_notice(effective_at, now)
    if to.bin == (await policies.controller(conn, company_id)).bin:
        raise ControllerUnchanged
    change = ControllerChange(change_id=uuid7(), to=to, noticed_at=now, effective_at=effective_at)
    if not await store.insert_change(conn, company_id, change):
        raise ControllerChangeOpen
    told = await tell(conn, company_id, change, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.CONTROLLER_CHANGE_ANNOUNCED,
        actor=by,
        subject_id=None,
        facts={
            "change_id": str(change.change_id),
            "bin": to.bin,
            "effective_at": rfc3339(effective_at),
            "told": told,
        },
        now=now,
    )
    return change


async def tell(
    conn: Connection, company_id: UUID, change: ControllerChange, *, now: datetime
) -> int:
    """Queue the notice of a change for every member who has none yet; return how many."""
    known = await store.told(conn, company_id, change.change_id)
    states = await accounts.member_states(conn, company_id)
    untold = [
        member_id
        for member_id, state in states.items()
        if member_id not in known and state is not MemberState.ERASING
    ]
    for member_id in untold:
        notice_id = await notices.queue(
            conn,
            company_id,
            member_id,
            NoticeKind.CONTROLLER_CHANGE_ANNOUNCED,
            {
                "name": change.to.name,
                "bin": change.to.bin,
                "contact": change.to.privacy_contact,
                "effective_at": rfc3339(change.effective_at),
            },
            now=now,
            dedupe=str(change.change_id),
        )
        await store.insert_told(conn, company_id, change.change_id, member_id, notice_id, now)
    return len(untold)


async def standings(
    conn: Connection, company_id: UUID, member_id: UUID, *, cursor: str | None, limit: int
) -> StandingPage:
    """Return a page of the changes, the oldest first, with what the member agreed to.

    Raises
    ------
    CursorInvalid
    """
    found = await store.changes(conn, company_id, after=place_of(cursor), limit=limit + 1)
    page, following = page_of(found, limit, lambda one: cursor_of(one.change_id))
    agreed = await store.agreements(conn, company_id, member_id, [one.change_id for one in page])
    return StandingPage(
        items=tuple(
            ChangeStanding(change=one, agreed_at=agreed.get(one.change_id)) for one in page
        ),
        next_cursor=following,
    )


async def cancel(
    conn: Connection, company_id: UUID, change_id: UUID, *, by: Actor, now: datetime
) -> None:
    """Call a change off before it is in effect, and tell whoever was told of it.

    Raises
    ------
    ControllerChangeMissing, ControllerChangeOver
    """
    change = there(await store.lock_change(conn, company_id, change_id), ControllerChangeMissing)
    if not change.is_open(now):
        raise ControllerChangeOver
    await store.set_cancelled(conn, company_id, change_id, now)
    for member_id in sorted(await store.told(conn, company_id, change_id)):
        await notices.queue(
            conn,
            company_id,
            member_id,
            NoticeKind.CONTROLLER_CHANGE_CANCELLED,
            {"name": change.to.name, "effective_at": rfc3339(change.effective_at)},
            now=now,
            dedupe=str(change_id),
        )
    await ledger.append(
        conn,
        company_id,
        Act.CONTROLLER_CHANGE_CANCELLED,
        actor=by,
        subject_id=None,
        facts={"change_id": str(change_id)},
        now=now,
    )


async def agree(
    conn: Connection, company_id: UUID, driver_id: UUID, change_id: UUID, *, now: datetime
) -> ChangeAgreement:
    """Let the driver agree that their consents go on under the new controller.

    Whatever they give or withdraw until then counts as it is then. To agree again changes nothing
    and returns what was recorded.

    Raises
    ------
    GateMissing, ControllerChangeMissing
    ControllerChangeOver
        It was cancelled, or its time has come.
    """
    # The job moves a driver under the same lock: it sees this agreement, or this sees the job.
    await gate.lock(conn, company_id, driver_id)
    change = there(await store.change(conn, company_id, change_id), ControllerChangeMissing)
    agreed = await store.agreements(conn, company_id, driver_id, [change_id])
    if change_id in agreed:
        return ChangeAgreement(change_id=change_id, agreed_at=agreed[change_id])
    if not change.is_open(now):
        raise ControllerChangeOver
    await store.insert_agreement(conn, company_id, driver_id, change, now)
    await ledger.append(
        conn,
        company_id,
        Act.CONTROLLER_AGREED,
        actor=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
        subject_id=driver_id,
        facts={"change_id": str(change_id), "bin": change.to.bin},
        now=now,
    )
    return ChangeAgreement(change_id=change_id, agreed_at=now)


async def apply(
    conn: Connection, company_id: UUID, change_id: UUID, *, now: datetime
) -> ControllerChange:
    """Change who the company is, once; from here on new records name the new controller.

    Raises
    ------
    ControllerChangeMissing
    ControllerChangeOver
        It was cancelled.
    ControllerChangeEarly
        Its time has not come, or nobody was told of it 30 days before.
    """
    change = there(await store.lock_change(conn, company_id, change_id), ControllerChangeMissing)
    if change.cancelled_at is not None:
        raise ControllerChangeOver
    if change.applied_at is not None:
        return change
    refuse_early(change, await store.first_told_at(conn, company_id, change_id), now)
    before = await policies.controller(conn, company_id)
    applied = replace(change, applied_at=now)
    await store.set_applied(conn, company_id, change_id, now)
    await accounts.rename(conn, company_id, change.to.name)
    await policies.set_controller(
        conn,
        company_id,
        business_number=change.to.bin,
        privacy_contact=change.to.privacy_contact,
        now=now,
    )
    await ledger.append(
        conn,
        company_id,
        Act.CONTROLLER_CHANGED,
        actor=SYSTEM,
        subject_id=None,
        facts={"change_id": str(change_id), "bin": change.to.bin, "bin_before": before.bin},
        now=now,
    )
    return applied


async def move(
    conn: Connection, company_id: UUID, driver_id: UUID, change: ControllerChange, *, now: datetime
) -> None:
    """Move one driver's consents to the new controller, or end them and ask anew; once.

    What a guardian agreed to before the change ends with it: they agreed to the company of then.
    Inside ``gate.service.stopping``, after :func:`apply`, one driver in a transaction.

    Raises
    ------
    GateMissing, ConsentRecordIncomplete
    """
    await gate.lock(conn, company_id, driver_id)
    if await store.is_moved(conn, company_id, change.change_id, driver_id):
        return
    agreed = await store.agreements(conn, company_id, driver_id, [change.change_id])
    guardian_id = await guardians.in_force(
        conn, company_id, driver_id, recorded_before=change.applied_at or now
    )
    done = await consents.move(
        conn,
        company_id,
        driver_id,
        name=change.to.name,
        business_number=change.to.bin,
        agreed=change.change_id in agreed,
        guardian_id=guardian_id,
        now=now,
    )
    if guardian_id is not None:
        await guardians.lapse(conn, company_id, driver_id, now=now)
    kept, lapsed = ([one.value for one in items] for items in (done.kept, done.lapsed))
    await store.insert_move(conn, company_id, driver_id, change, kept=kept, lapsed=lapsed, at=now)
    if not kept and not lapsed:
        return
    told = {"name": change.to.name, "bin": change.to.bin}
    if kept:
        told["kept"] = ",".join(kept)
    if lapsed:
        told["lapsed"] = ",".join(lapsed)
    kind = NoticeKind.CONTROLLER_CHANGED
    await notices.queue(
        conn, company_id, driver_id, kind, told, now=now, dedupe=str(change.change_id)
    )


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the member's agreements and what was told and moved; return the number of rows."""
    return await store.delete_member(conn, company_id, member_id)
