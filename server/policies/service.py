"""Publishing policies, telling members, reading what is in force, accepting it."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import CompanyMissing, Locale
from server.credentials.model import MemberState
from server.gate.model import GateMissing
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.policies import store
from server.policies.difference import compared
from server.policies.model import (
    APPLIED_AFTER,
    PREVAILING,
    Acceptance,
    Acceptances,
    ChangeClass,
    Controller,
    Difference,
    Document,
    DocumentMissing,
    DocumentStanding,
    Draft,
    Edition,
    EditionMissing,
    EditionOutdated,
    EditionTaken,
    Shown,
    Text,
    TextDiffers,
    edition_in_force,
    next_edition,
    sha256_of,
    shown,
    standing,
)

Supersede = Callable[[UUID, UUID, Edition, datetime], Awaitable[object]]
"""Suspend what the edition adds for one driver, if it was given before the edition was in force:
``(company_id, driver_id, edition, now)``. To do it again changes nothing."""

TEXTS: Final = Path(__file__).parent / "texts"


async def in_force(
    conn: Connection, company_id: UUID, document: Document, at: datetime, *, language: Locale
) -> Shown:
    """Return the text in force at ``at``, in ``language`` or, where that is missing, in Russian.

    Raises
    ------
    DocumentMissing
        No edition was in force then.
    """
    found = there(
        edition_in_force(await store.editions(conn, company_id, document), at), DocumentMissing
    )
    return await _shown(conn, company_id, found, language)


async def edition(
    conn: Connection, company_id: UUID, document: Document, number: int, *, language: Locale
) -> Shown:
    """Return any published edition, in force or not.

    Raises
    ------
    EditionMissing
    """
    editions = await store.editions(conn, company_id, document)
    return await _shown(conn, company_id, _numbered(editions, number), language)


async def standings(conn: Connection, company_id: UUID, at: datetime) -> list[DocumentStanding]:
    """Return how each document of the company stands; without those never published."""
    found = [
        standing(document, await store.editions(conn, company_id, document), at)
        for document in Document
    ]
    return [one for one in found if one.editions]


async def standing_of(
    conn: Connection, company_id: UUID, document: Document, at: datetime
) -> DocumentStanding:
    """Return how one document stands.

    Raises
    ------
    DocumentMissing
    """
    found = standing(document, await store.editions(conn, company_id, document), at)
    if not found.editions:
        raise DocumentMissing
    return found


async def controller(conn: Connection, company_id: UUID) -> Controller:
    """Return the company as the texts name it.

    Raises
    ------
    CompanyMissing
    """
    return there(await store.controller(conn, company_id), CompanyMissing)


async def set_controller(
    conn: Connection,
    company_id: UUID,
    *,
    business_number: str | None,
    privacy_contact: str | None,
    now: datetime,
) -> Controller:
    """State the company's business number and privacy contact; None takes one back.

    Raises
    ------
    CompanyMissing
    """
    await store.set_controller(
        conn,
        company_id,
        business_number=business_number,
        privacy_contact=privacy_contact,
        changed_at=now,
    )
    return await controller(conn, company_id)


async def difference(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    document: Document,
    *,
    since: int | None,
    language: Locale,
) -> Difference:
    """Return what the newest edition changes against ``since``, in a language that both have.

    Without ``since`` it is what the member accepted last; if that is nothing, all of it is new.

    Raises
    ------
    DocumentMissing, EditionMissing
    """
    editions = await store.editions(conn, company_id, document)
    if not editions:
        raise DocumentMissing
    newest = editions[-1]
    if since is None:
        accepted = await store.acceptances(conn, company_id, member_id)
        numbers = [one.edition for one in accepted if one.document is document]
        since = max(numbers, default=None)
    before = None if since is None else _numbered(editions, since)
    asked = {language, PREVAILING}
    after_texts = await store.texts(conn, company_id, document, newest.edition, asked)
    before_texts = {}
    if before is not None:
        before_texts = await store.texts(conn, company_id, document, before.edition, asked)
    return compared(before, before_texts, newest, after_texts, language)


async def publish(
    conn: Connection, company_id: UUID, draft: Draft, *, actor: Actor, now: datetime
) -> Edition:
    """Publish an edition and queue the notice of it to every member, at the same moment.

    Raises
    ------
    ChangeClassMisplaced, NoticeTooShort, EditionOrder, TextUnfit
    EditionTaken
        Another request published this edition's number meanwhile.
    """
    editions = await store.editions(conn, company_id, draft.document)
    made = next_edition(editions[-1] if editions else None, draft, now)
    if not await store.insert_edition(conn, company_id, made):
        raise EditionTaken
    await _write_texts(conn, company_id, made, draft.texts)
    await _tell_everybody(conn, company_id, made, now=now)
    await _enter(conn, company_id, made, draft.texts, actor=actor, now=now)
    return made


async def accept(
    conn: Connection,
    company_id: UUID,
    acceptance: Acceptance,
    *,
    actor: Actor,
) -> Acceptance:
    """Record that the member accepted this text of the edition in force, or of one to come.

    It says nothing of other documents or editions, and is no consent to anything. To accept again
    changes nothing and returns what was recorded then.

    Raises
    ------
    EditionMissing, EditionOutdated
    TextDiffers
        The hash is not that of the edition's text in the language.
    """
    member_id, now = acceptance.member_id, acceptance.accepted_at
    document, number, language = acceptance.document, acceptance.edition, acceptance.language
    editions = await store.editions(conn, company_id, document)
    chosen = _numbered(editions, number)
    current = edition_in_force(editions, now)
    if current is not None and chosen.edition < current.edition:
        raise EditionOutdated(current.edition)
    found = await store.texts(conn, company_id, document, number, {language})
    if language not in found or found[language].sha256 != acceptance.sha256:
        raise TextDiffers
    if not await store.insert_acceptance(conn, company_id, acceptance):
        before = await store.acceptances(conn, company_id, member_id)
        return next(
            one
            for one in before
            if (one.document, one.edition, one.language) == (document, number, language)
        )
    clarified = acceptance.clarified
    await ledger.append(
        conn,
        company_id,
        Act.EDITION_ACCEPTED,
        actor=actor,
        subject_id=member_id,
        detail={"clarified": clarified.said()} if clarified.answered else None,
        facts={
            "document": document.value,
            "edition": number,
            "language": language.value,
            "sha256": acceptance.sha256,
            "clarifications_answered": len(clarified.answered),
            "clarifications_open": clarified.open,
        },
        now=now,
    )
    return acceptance


async def acceptances(
    conn: Connection, company_id: UUID, member_id: UUID, at: datetime
) -> Acceptances:
    """Return what the member accepted, and the documents in force that they did not."""
    items = await store.acceptances(conn, company_id, member_id)
    accepted = {(one.document, one.edition) for one in items}
    outstanding = tuple(
        one.document
        for one in await standings(conn, company_id, at)
        if one.in_force is not None and (one.document, one.in_force.edition) not in accepted
    )
    return Acceptances(items=tuple(items), outstanding=outstanding)


async def apply_editions(pool: Pool, company_id: UUID, now: datetime, supersede: Supersede) -> int:
    """Suspend what editions that came into force have added, and nothing else; return how many.

    Each driver is a transaction of ``supersede``'s own. An edition counts as applied, and is not
    applied again, once it was for all drivers a minute after it came into force: who then still
    consented by the edition before it, for their clock said so, has done so by now.
    """
    applied = 0
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting = await store.editions_to_apply(conn, company_id, now)
        states = await accounts.driver_states(conn, company_id) if waiting else {}
    for due in waiting:
        for driver_id, state in sorted(states.items()):
            if state is not MemberState.ERASING:
                with suppress(GateMissing):  # erased since
                    await supersede(company_id, driver_id, due, now)
        if now >= due.effective_at + APPLIED_AFTER:
            async with db.tenant(pool, company_id) as conn:
                applied += await store.insert_applied(conn, company_id, due, now)
    return applied


async def tell_newcomers(conn: Connection, company_id: UUID, now: datetime) -> None:
    """Tell of the editions to come whoever joined since they were published."""
    for one in await standings(conn, company_id, now):
        for coming in one.upcoming:
            await _tell_everybody(conn, company_id, coming, now=now)


async def ship(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Publish our own texts, in force at once, of what the company has none of; return how many.

    Safe to call again, also from several processes at a time.
    """
    made = {}
    for document in Document:
        if await store.editions(conn, company_id, document):
            continue
        draft = Draft(document=document, change_class=ChangeClass.FIRST, texts=shipped(document))
        first = next_edition(None, draft, now)
        if await store.insert_edition(conn, company_id, first):
            await _write_texts(conn, company_id, first, draft.texts)
            await _tell_everybody(conn, company_id, first, now=now)
            made[first] = draft.texts
    for first, texts in made.items():
        await _enter(conn, company_id, first, texts, actor=SYSTEM, now=now)
    return len(made)


def shipped(document: Document) -> dict[Locale, str]:
    """Return our own first edition of the document, in every language."""
    return {
        language: (TEXTS / f"{document.value}.1.{language.value}.md").read_text("utf-8")
        for language in Locale
    }


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what the member accepted; return the number of rows."""
    return await store.delete_acceptances(conn, company_id, member_id)


async def _write_texts(
    conn: Connection, company_id: UUID, made: Edition, texts: Mapping[Locale, str]
) -> None:
    for language, text in sorted(texts.items()):
        stored = Text(language=language, text=text, sha256=sha256_of(text))
        await store.insert_text(conn, company_id, made.document, made.edition, stored)


async def _tell_everybody(
    conn: Connection, company_id: UUID, made: Edition, *, now: datetime
) -> None:
    left_out = {MemberState.ERASING}
    if made.change_class is ChangeClass.FIRST:
        left_out.add(MemberState.INVITED)  # news to nobody who has yet to join
    states = await accounts.member_states(conn, company_id)
    kind, dedupe = NoticeKind.EDITION_PUBLISHED, f"{made.document.value}:{made.edition}"
    values = {
        "document": made.document.value,
        "edition": str(made.edition),
        "change": made.change_class.value,
        "effective_at": rfc3339(made.effective_at),
    }
    told = await notices.told(conn, company_id, states, kind, dedupe)
    for member_id in sorted(states.keys() - told):
        if states[member_id] not in left_out:
            await notices.queue(conn, company_id, member_id, kind, values, now=now, dedupe=dedupe)


async def _enter(
    conn: Connection,
    company_id: UUID,
    made: Edition,
    texts: Mapping[Locale, str],
    *,
    actor: Actor,
    now: datetime,
) -> None:
    await ledger.append(
        conn,
        company_id,
        Act.EDITION_PUBLISHED,
        actor=actor,
        subject_id=None,
        facts={
            "document": made.document.value,
            "edition": made.edition,
            "change_class": made.change_class.value,
            "adds_purpose": None if made.adds_purpose is None else made.adds_purpose.value,
            "effective_at": rfc3339(made.effective_at),
            "sha256": {language.value: sha256_of(text) for language, text in texts.items()},
        },
        now=now,
    )


async def _shown(conn: Connection, company_id: UUID, found: Edition, language: Locale) -> Shown:
    asked = {language, PREVAILING}
    texts = await store.texts(conn, company_id, found.document, found.edition, asked)
    return shown(found, texts, language)


def _numbered(editions: list[Edition], number: int) -> Edition:
    for one in editions:
        if one.edition == number:
            return one
    raise EditionMissing
