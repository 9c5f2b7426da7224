"""Asking what a policy means before agreeing to it: questions, answers, and evidence of both.

Question and answer are sealed under the key of whoever asked: they go with the person. The ledger
says of which edition was asked and when it was answered, and holds no text.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.clarifications import store
from server.clarifications.model import (
    Clarification,
    ClarificationAct,
    ClarificationMissing,
    ClarificationOwn,
    ClarificationState,
    ClarificationsTooMany,
    Place,
    Question,
    ShownClarification,
    free_slot,
    next_state,
    place_of,
    refuse_blank,
)
from server.kit import cursors
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, Json
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.policies import service as policies
from server.policies.model import Answered, Clarified, Document
from server.vault.model import Category, SealedText
from server.vault.service import Vault

QUESTION_SCHEMA: Final = "clarification.question"
ANSWER_SCHEMA: Final = "clarification.answer"


async def ask(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    question: Question,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> ShownClarification:
    """Ask about any published edition; the main users are told that a question waits.

    Raises
    ------
    ClarificationBlank, EditionMissing, SubjectErased
    ClarificationsTooMany
        As many as there may be of this member are open.
    """
    refuse_blank(question.text)
    shown = await policies.edition(
        conn, company_id, question.document, question.edition, language=question.language
    )
    clarification_id = uuid7()
    asked = Clarification(
        clarification_id=clarification_id,
        member_id=by_member,
        document=question.document,
        edition=question.edition,
        language=shown.language,
        state=ClarificationState.OPEN,
        asked_at=now,
        question_sealed=await vault.seal_text(
            company_id,
            by_member,
            Category.CONTACT,
            question.text,
            row_id=clarification_id,
            schema=QUESTION_SCHEMA,
            now=now,
        ),
    )
    await _insert(conn, company_id, asked)
    kind = NoticeKind.CLARIFICATION_ASKED
    await notices.queue_for_main_users(
        conn, company_id, kind, _particulars(asked), but=by_member, now=now
    )
    said: dict[str, Json] = {"question_sha256": _sha256(question.text)}
    await _enter(conn, company_id, Act.CLARIFICATION_ASKED, asked, by=by, detail=said, now=now)
    return (await _shown(conn, vault, company_id, [asked]))[0]


async def withdraw(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    clarification_id: UUID,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> ShownClarification:
    """Take back one's own question: the company does not see it any more. Again changes nothing.

    Raises
    ------
    ClarificationMissing
        There is none, or it is somebody else's.
    ClarificationActRefused
        It is answered.
    """
    found = await _locked(conn, company_id, clarification_id)
    if found.member_id != by_member:
        raise ClarificationMissing
    after = next_state(found.state, ClarificationAct.WITHDRAW)
    if after is not found.state:
        found = replace(found, state=after, closed_at=now)
        await store.close(conn, company_id, found)
        await _enter(conn, company_id, Act.CLARIFICATION_WITHDRAWN, found, by=by, now=now)
    return (await _shown(conn, vault, company_id, [found]))[0]


async def answer(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    clarification_id: UUID,
    text: str,
    *,
    by: Actor,
    by_member: UUID,
    now: datetime,
) -> ShownClarification:
    """Answer a question, once and for good; whoever asked is told.

    Raises
    ------
    ClarificationBlank, ClarificationMissing, ClarificationOwn, SubjectErased
    ClarificationActRefused
        It is answered or withdrawn already.
    """
    refuse_blank(text)
    found = await _locked(conn, company_id, clarification_id)
    after = next_state(found.state, ClarificationAct.ANSWER)
    if found.member_id == by_member:
        raise ClarificationOwn
    answered = replace(
        found,
        state=after,
        closed_at=now,
        answered_by=by_member,
        answer_sealed=await vault.seal_text(
            company_id,
            found.member_id,
            Category.CONTACT,
            text,
            row_id=clarification_id,
            schema=ANSWER_SCHEMA,
            now=now,
        ),
    )
    await store.close(conn, company_id, answered)
    kind = NoticeKind.CLARIFICATION_ANSWERED
    await notices.queue(conn, company_id, found.member_id, kind, _particulars(answered), now=now)
    said: dict[str, Json] = {"answer_sha256": _sha256(text)}
    act = Act.CLARIFICATION_ANSWERED
    await _enter(conn, company_id, act, answered, by=by, detail=said, now=now)
    return (await _shown(conn, vault, company_id, [answered]))[0]


async def own(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    *,
    cursor: str | None,
    limit: int,
) -> tuple[list[ShownClarification], str | None]:
    """Return a page of what the member asked, newest first, and the next cursor.

    Raises
    ------
    CursorInvalid
    """
    before = None if cursor is None else cursors.place_of(cursor)
    found = await store.of_member(conn, company_id, member_id, before=before, limit=limit + 1)
    page, following = cursors.page_of(
        found, limit, lambda one: cursors.cursor_of(one.clarification_id)
    )
    return await _shown(conn, vault, company_id, page, of_many=True), following


async def asked(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    *,
    state: ClarificationState | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[ShownClarification], str | None]:
    """Return a page of what the company was asked, and the next cursor.

    Open ones come first, and of each the oldest first; withdrawn ones not at all.

    Raises
    ------
    CursorInvalid
    """
    found = await store.open_first(
        conn, company_id, state=state, after=place_of(cursor), limit=limit + 1
    )
    page, following = cursors.page_of(found, limit, lambda one: Place.of(one).cursor())
    return await _shown(conn, vault, company_id, page, of_many=True), following


async def answered_before(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    document: Document,
    edition: int,
    now: datetime,
) -> Clarified:
    """Return what had become of the member's questions about an edition, for evidence.

    An answer that is not committed yet could not be read, and counts as open.
    """
    found = await store.about(conn, company_id, member_id, document, edition)
    answered = tuple(
        Answered(clarification_id=clarification_id, answered_at=at)
        for clarification_id, at in found
        if at is not None and at <= now
    )
    return Clarified(answered=answered, open=len(found) - len(answered))


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what the member asked, with the answers; return the number of rows.

    What they answered to others stays, and names them no more.
    """
    await store.forget_answerer(conn, company_id, member_id)
    return await store.delete(conn, company_id, member_id)


async def _insert(conn: Connection, company_id: UUID, new: Clarification) -> None:
    # Two questions of a moment may choose one slot: the later waits, and chooses again.
    taken = await store.slots(conn, company_id, new.member_id)
    while (slot := free_slot(taken)) is not None:
        if await store.insert(conn, company_id, new, slot):
            return
        taken = await store.slots(conn, company_id, new.member_id)
    raise ClarificationsTooMany


async def _locked(conn: Connection, company_id: UUID, clarification_id: UUID) -> Clarification:
    return there(await store.lock(conn, company_id, clarification_id), ClarificationMissing)


def _particulars(about: Clarification) -> dict[str, str]:
    """Return which question a notice is about, and never what it says."""
    return {
        "document": about.document.value,
        "edition": str(about.edition),
        "asked_at": rfc3339(about.asked_at),
    }


async def _enter(
    conn: Connection,
    company_id: UUID,
    act: Act,
    about: Clarification,
    *,
    by: Actor,
    detail: Mapping[str, Json] | None = None,
    now: datetime,
) -> None:
    await ledger.append(
        conn,
        company_id,
        act,
        actor=by,
        subject_id=about.member_id,
        detail={"clarification_id": str(about.clarification_id), **(detail or {})},
        facts={"document": about.document.value, "edition": about.edition},
        now=now,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def _shown(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    found: Sequence[Clarification],
    *,
    of_many: bool = False,
) -> list[ShownClarification]:
    """Return the questions readable, with one look-up of keys for all texts."""
    texts = await vault.open_texts(
        company_id, [text for one in found for text in _texts(one)], of_many=of_many
    )
    people = {one.member_id for one in found} | {one.answered_by for one in found}
    members = {one for one in people if one is not None}
    names = await accounts.names(conn, vault, company_id, members) if members else {}
    opened = iter(texts)
    return [
        ShownClarification(
            clarification=one,
            question=next(opened) or "",
            answer=_if_answered(one, next(opened)),
            asked_by=names.get(one.member_id, ""),
            answered_by=_if_answered(one, _name(names, one.answered_by)),
        )
        for one in found
    ]


def _texts(one: Clarification) -> tuple[SealedText | None, SealedText | None]:
    question = SealedText(
        sealed=one.question_sealed, row_id=one.clarification_id, schema=QUESTION_SCHEMA
    )
    if one.answer_sealed is None:
        return question, None
    return question, SealedText(
        sealed=one.answer_sealed, row_id=one.clarification_id, schema=ANSWER_SCHEMA
    )


def _name(names: Mapping[UUID, str], member_id: UUID | None) -> str | None:
    return None if member_id is None else names.get(member_id)


def _if_answered(one: Clarification, text: str | None) -> str | None:
    return (text or "") if one.state is ClarificationState.ANSWERED else None
