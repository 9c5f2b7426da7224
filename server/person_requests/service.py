"""Requests of persons that came by letter, e-mail or phone: recorded in their name, and in time.

The person is told that it was recorded, by whom and until when it is answered, and sees all of it.
What nobody answers is told of before its time is over, and again as it is.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.credentials.model import MemberMissing, MemberState
from server.erasure import service as erasure
from server.erasure.model import Reason
from server.gate import service as gate
from server.kit import db
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.person_requests import store
from server.person_requests.model import (
    REMIND_BEFORE,
    Kind,
    NewRequest,
    PersonRequest,
    PersonRequestClosed,
    PersonRequestMissing,
    ShownRequest,
    State,
    due_at,
)
from server.vault.model import Category, SealedText
from server.vault.service import Vault

SAID_SCHEMA: Final = "person_request.said"
EVIDENCE_SCHEMA: Final = "person_request.evidence"
ANSWER_SCHEMA: Final = "person_request.answer"
TOLD_AT_ONCE: Final = 200


async def record(
    pool: Pool, vault: Vault, company_id: UUID, new: NewRequest, *, by: Actor, now: datetime
) -> ShownRequest:
    """Write a request down in the driver's name. Opens its own transaction.

    One for erasure asks for it as the driver would: tracking stops, and the request waits for a
    decision.

    Raises
    ------
    MemberMissing
        There is no such driver, or they are being erased.
    RequestTimesInvalid, ErasureUnderWay, ErasureActRefused
    """
    if new.kind is not Kind.ERASURE:
        async with db.tenant(pool, company_id) as conn:
            return await _record(conn, vault, company_id, new, by=by, now=now)
    async with db.tenant(pool, company_id, readonly=True) as conn:
        if not await accounts.is_driver(conn, company_id, new.driver_id):
            raise MemberMissing
    async with gate.stopping(pool, company_id, new.driver_id, now=now) as conn:
        shown = await _record(conn, vault, company_id, new, by=by, now=now)
        driver = Actor(kind=ActorKind.DRIVER, member_id=new.driver_id)
        await erasure.ask(
            conn,
            company_id,
            new.driver_id,
            by=driver,
            reason=Reason.OWN_WISH,
            recorded_by=by.member_id,
            now=now,
        )
        return shown


async def answer(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    person_request_id: UUID,
    text: str,
    *,
    by: Actor,
    now: datetime,
) -> ShownRequest:
    """Answer a request; the person is told so and reads it.

    Raises
    ------
    PersonRequestMissing, PersonRequestClosed
    """
    found = there(await store.lock(conn, company_id, person_request_id), PersonRequestMissing)
    if found.state is not State.OPEN:
        raise PersonRequestClosed
    sealed = await _seal(vault, company_id, found.driver_id, person_request_id, text, now)
    by_member = there(by.member_id, PersonRequestMissing)
    await store.answer(
        conn, company_id, person_request_id, answer_sealed=sealed, by=by_member, now=now
    )
    told = {"request": found.kind.value, "by": str(by_member), "answered_at": rfc3339(now)}
    kind = NoticeKind.PERSON_REQUEST_ANSWERED
    await notices.queue(conn, company_id, found.driver_id, kind, told, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.PERSON_REQUEST_ANSWERED,
        actor=by,
        subject_id=found.driver_id,
        detail={"person_request_id": str(person_request_id)},
        facts={"kind": found.kind.value},
        now=now,
    )
    after = there(await store.lock(conn, company_id, person_request_id), PersonRequestMissing)
    return (await _shown(conn, vault, company_id, [after]))[0]


async def requests(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    *,
    driver_id: UUID | None,
    state: State | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[ShownRequest], str | None]:
    """Return a page of the requests, of one driver or of all, the latest first.

    Raises
    ------
    CursorInvalid
    """
    before = None if cursor is None else place_of(cursor)
    found = await store.page(
        conn, company_id, driver_id=driver_id, state=state, before=before, limit=limit + 1
    )
    page, following = page_of(found, limit, lambda one: cursor_of(one.person_request_id))
    return await _shown(conn, vault, company_id, page), following


async def tell_due(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Remind the staff of requests that are to be answered within a day, and tell of late ones.

    Each once, the main users of both and the person of the latter. Returns how many. Due each
    minute.
    """
    near = await store.remind_due(
        conn, company_id, before=now + REMIND_BEFORE, now=now, limit=TOLD_AT_ONCE
    )
    late = await store.escalate_due(conn, company_id, now=now, limit=TOLD_AT_ONCE)
    bosses = await accounts.main_users(conn, company_id) if near or late else []
    staff = [*bosses, *await accounts.dispatchers(conn, company_id)] if near else []
    for one in near:
        told = _due(one) | {"driver": str(one.driver_id)}
        for member_id in staff:
            kind = NoticeKind.PERSON_REQUEST_DUE
            await notices.queue(conn, company_id, member_id, kind, told, now=now)
    for one in late:
        told = _due(one) | {"driver": str(one.driver_id)}
        for member_id in (*bosses, one.driver_id):
            kind = NoticeKind.PERSON_REQUEST_OVERDUE
            await notices.queue(conn, company_id, member_id, kind, told, now=now)
    return len(near) + len(late)


async def _record(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    new: NewRequest,
    *,
    by: Actor,
    now: datetime,
) -> ShownRequest:
    company = await accounts.company(conn, company_id)
    answer_by = due_at(new, company.time_zone, now)
    state = await accounts.state_of(conn, company_id, new.driver_id)
    if state is MemberState.ERASING or not await accounts.is_driver(
        conn, company_id, new.driver_id
    ):
        raise MemberMissing
    by_member = there(by.member_id, MemberMissing)
    request_id = uuid7()

    async def seal(text: str, schema: str) -> bytes:
        return await vault.seal_text(
            company_id,
            new.driver_id,
            Category.CONTACT,
            text,
            row_id=request_id,
            schema=schema,
            now=now,
        )

    made = PersonRequest(
        person_request_id=request_id,
        driver_id=new.driver_id,
        kind=new.kind,
        came_by=new.came_by,
        received_at=new.received_at,
        recorded_at=now,
        recorded_by=by_member,
        said_sealed=await seal(new.said, SAID_SCHEMA),
        evidence_sealed=None if new.evidence is None else await seal(new.evidence, EVIDENCE_SCHEMA),
        answer_by=answer_by,
        state=State.OPEN,
    )
    await store.insert(conn, company_id, made)
    told = _due(made) | {
        "by": str(by_member),
        "came_by": made.came_by.value,
        "received_at": rfc3339(made.received_at),
    }
    kind = NoticeKind.PERSON_REQUEST_RECORDED
    await notices.queue(conn, company_id, new.driver_id, kind, told, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.PERSON_REQUEST_RECORDED,
        actor=by,
        subject_id=new.driver_id,
        detail={"person_request_id": str(request_id)},
        facts={"kind": made.kind.value, "channel": made.came_by.value},
        now=now,
    )
    return (await _shown(conn, vault, company_id, [made]))[0]


async def _seal(
    vault: Vault, company_id: UUID, driver_id: UUID, request_id: UUID, text: str, now: datetime
) -> bytes:
    return await vault.seal_text(
        company_id,
        driver_id,
        Category.CONTACT,
        text,
        row_id=request_id,
        schema=ANSWER_SCHEMA,
        now=now,
    )


def _due(one: PersonRequest) -> dict[str, str]:
    return {"request": one.kind.value, "answer_by": rfc3339(one.answer_by)}


async def _shown(
    conn: Connection, vault: Vault, company_id: UUID, found: Sequence[PersonRequest]
) -> list[ShownRequest]:
    texts = iter(await vault.open_texts(company_id, [text for one in found for text in _of(one)]))
    staff = {one.recorded_by for one in found}
    staff |= {one.answered_by for one in found if one.answered_by is not None}
    names = await accounts.names(conn, vault, company_id, staff) if staff else {}
    return [
        ShownRequest(
            request=one,
            said=next(texts),
            evidence=next(texts),
            answer=next(texts),
            recorded_by_name=names.get(one.recorded_by),
            answered_by_name=None if one.answered_by is None else names.get(one.answered_by),
        )
        for one in found
    ]


def _of(one: PersonRequest) -> list[SealedText | None]:
    return [
        None
        if sealed is None
        else SealedText(sealed=sealed, row_id=one.person_request_id, schema=schema)
        for sealed, schema in (
            (one.said_sealed, SAID_SCHEMA),
            (one.evidence_sealed, EVIDENCE_SCHEMA),
            (one.answer_sealed, ANSWER_SCHEMA),
        )
    ]
