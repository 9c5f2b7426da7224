"""A person's own data, corrected by themself or by the staff; and what was corrected before.

A new phone or e-mail counts once the code that was sent there is told: until then nothing changes,
and whoever has the account is told at the old one that somebody asked.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import sealing
from server.accounts import service as accounts
from server.accounts.logins import canonical_email, canonical_phone
from server.accounts.model import Locale, Profile
from server.corrections import contacts, store
from server.corrections.model import (
    CHANNELS,
    CODE_TRIES_MAX,
    CODES_COUNTED,
    CORRECTIONS_SHOWN_MAX,
    WORDS,
    Author,
    Change,
    ContactCodeRefused,
    Correction,
    DataChanged,
    Field,
    ShownCorrection,
    Source,
    Wanted,
    changes,
    needs_code,
)
from server.credentials.model import MemberMissing, MemberState
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices import elsewhere
from server.notices import service as notices
from server.vault.model import Category, SealedText
from server.vault.service import Vault

BEFORE_SCHEMA: Final = "correction.before"
AFTER_SCHEMA: Final = "correction.after"


async def correct(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    wanted: Wanted,
    *,
    author: Author,
    ways_out: Collection[Channel],
    now: datetime,
) -> Profile:
    """Correct what differs; return the account as it is then. What needs a code waits for it.

    Raises
    ------
    DataChanged
        Something else was corrected since what ``wanted`` names was looked at.
    MemberMissing, PhoneUnreadable, EmailUnreadable, LoginTaken, ContactUnreachable, CodesTooMany
    """
    wanted = replace(
        wanted,
        phone=None if wanted.phone is None else canonical_phone(wanted.phone),
        email=None if wanted.email is None else canonical_email(wanted.email),
    )
    await vault.renew()  # a login under a pepper that is exchanged just now would be found nowhere
    state = await accounts.state_of(conn, company_id, member_id)
    version = await store.count(conn, company_id, member_id)
    if wanted.version not in {None, version}:
        raise DataChanged(version)
    before = await accounts.profile(conn, vault, company_id, member_id)
    differing = changes(before, wanted)
    waiting = [one for one in differing if needs_code(one, author, state)]
    at_once = [one for one in differing if one not in waiting]
    for one in waiting:
        await contacts.ask(
            conn, vault, company_id, before, one, author=author, ways_out=ways_out, now=now
        )
    if at_once:
        await _put(conn, vault, company_id, before, at_once, author=author, now=now)
    return await accounts.profile(conn, vault, company_id, member_id)


async def correct_driver(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    driver_id: UUID,
    wanted: Wanted,
    *,
    by_member: UUID,
    ways_out: Collection[Channel],
    now: datetime,
) -> Profile:
    """Correct what the company keeps of a driver, who is told what, and by whom.

    Raises
    ------
    MemberMissing
        There is no such driver, or they are being erased.
    DataChanged, PhoneUnreadable, EmailUnreadable, LoginTaken, ContactUnreachable, CodesTooMany
    """
    state = await accounts.state_of(conn, company_id, driver_id)
    if state is MemberState.ERASING or not await accounts.is_driver(conn, company_id, driver_id):
        raise MemberMissing
    author = Author(source=Source.STAFF, member_id=by_member)
    return await correct(
        conn, vault, company_id, driver_id, wanted, author=author, ways_out=ways_out, now=now
    )


async def confirm(
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    field: Field,
    code: str,
    *,
    now: datetime,
) -> Profile:
    """Let a new phone or e-mail count whose code the member tells.

    Opens its own transactions: a try counts before it is known whether it is right.

    Raises
    ------
    ContactCodeRefused, LoginTaken
    """
    async with db.tenant(pool, company_id) as conn:
        asked = await store.take_try(
            conn, company_id, member_id, field, tries_max=CODE_TRIES_MAX, now=now
        )
    if asked is None or not contacts.fits(vault, asked, code):
        raise ContactCodeRefused
    await vault.renew()
    async with db.tenant(pool, company_id) as conn:
        await accounts.state_of(conn, company_id, member_id)
        before = await accounts.profile(conn, vault, company_id, member_id)
        if not await store.use_up(conn, company_id, member_id, asked.change_id):
            raise ContactCodeRefused
        (contact,) = await vault.open_texts(company_id, [contacts.contact_of(asked)])
        if contact is None:
            raise ContactCodeRefused
        author = Author(source=asked.source, member_id=asked.by_member or member_id)
        change = _change_of(before, field, contact)
        await _put(conn, vault, company_id, before, [change], author=author, now=now)
        return await accounts.profile(conn, vault, company_id, member_id)


async def history(
    conn: Connection, vault: Vault, company_id: UUID, member_id: UUID
) -> list[ShownCorrection]:
    """Return what was entered first and the latest that was corrected since, oldest first.

    Raises
    ------
    MemberMissing
    """
    profile = await accounts.profile(conn, vault, company_id, member_id)
    found = await store.corrections(conn, company_id, member_id, limit=CORRECTIONS_SHOWN_MAX)
    texts = iter(await vault.open_texts(company_id, [text for one in found for text in _of(one)]))
    staff = {one.by_member for one in found if one.by_member is not None}
    names = await accounts.names(conn, vault, company_id, staff) if staff else {}
    shown = [
        ShownCorrection(
            field=one.field,
            source=one.source,
            by_name=None if one.by_member is None else names.get(one.by_member),
            before=next(texts),
            after=next(texts),
            at=one.corrected_at,
        )
        for one in found
    ]
    return [*_entered(profile, shown), *shown]


version_of = store.count


async def forget_waiting(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Delete changes that nobody confirmed; return how many. Due each day."""
    return await store.delete_waiting_before(conn, company_id, now - CODES_COUNTED)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what was corrected of the member, or waits for a code; return how many rows."""
    return await store.delete_member(conn, company_id, member_id)


async def erase_requests(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what the member asked for past the API; return how many rows.

    Here and not in ``person_requests``: that asks for erasures, so none of them can ask for it.
    """
    return await store.delete_requests(conn, company_id, member_id)


async def _put(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    before: Profile,
    made: Sequence[Change],
    *,
    author: Author,
    now: datetime,
) -> None:
    """Write changes that count, with their history, and tell of them; the ledger's entry last."""
    after = {one.field: one.after for one in made}
    locale = after.get(Field.LOCALE)
    await sealing.rewrite(
        conn,
        vault,
        company_id,
        before.member_id,
        name=after.get(Field.NAME),
        phone=after.get(Field.PHONE),
        email=after.get(Field.EMAIL),
        locale=None if locale is None else Locale(locale),
        now=now,
    )
    written = [
        await _sealed(vault, company_id, before.member_id, one, author=author, now=now)
        for one in made
    ]
    await store.insert(conn, company_id, written)
    told = {
        "fields": ",".join(WORDS[one.field] for one in made),
        "corrected_at": rfc3339(now),
        **({} if author.by_member is None else {"by": str(author.by_member)}),
    }
    moved = [one for one in made if one.field in CHANNELS]
    if moved or author.source is Source.STAFF:
        await notices.queue(
            conn, company_id, before.member_id, NoticeKind.DATA_CORRECTED, told, now=now
        )
    for one in moved:
        if one.before is not None:
            # Whoever still reads what comes there learns that nothing will any more.
            await elsewhere.queue(
                conn,
                vault,
                company_id,
                before.member_id,
                NoticeKind.DATA_CORRECTED,
                told,
                to=(CHANNELS[one.field], one.before),
                now=now,
            )
    await ledger.append(
        conn,
        company_id,
        Act.DATA_CORRECTED,
        actor=await _actor(conn, vault, company_id, before, author),
        subject_id=before.member_id,
        facts={
            "fields": sorted(one.field.value for one in made),
            "source": author.source.value,
        },
        now=now,
    )


async def _sealed(
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    change: Change,
    *,
    author: Author,
    now: datetime,
) -> Correction:
    correction_id = uuid7()

    async def seal(text: str, schema: str) -> bytes:
        return await vault.seal_text(
            company_id,
            member_id,
            Category.IDENTITY,
            text,
            row_id=correction_id,
            schema=schema,
            now=now,
        )

    return Correction(
        correction_id=correction_id,
        member_id=member_id,
        field=change.field,
        source=author.source,
        by_member=author.by_member,
        before_sealed=None if change.before is None else await seal(change.before, BEFORE_SCHEMA),
        after_sealed=await seal(change.after, AFTER_SCHEMA),
        corrected_at=now,
    )


async def _actor(
    conn: Connection, vault: Vault, company_id: UUID, person: Profile, author: Author
) -> Actor:
    role = person.role
    if author.source is Source.STAFF:
        role = (await accounts.profile(conn, vault, company_id, author.member_id)).role
    return Actor(kind=ActorKind(role.value), member_id=author.member_id)


def _change_of(before: Profile, field: Field, contact: str) -> Change:
    old = before.phone if field is Field.PHONE else before.email
    return Change(field=field, before=old, after=contact)


def _of(one: Correction) -> tuple[SealedText | None, SealedText]:
    after = SealedText(sealed=one.after_sealed, row_id=one.correction_id, schema=AFTER_SCHEMA)
    if one.before_sealed is None:
        return None, after
    before = SealedText(sealed=one.before_sealed, row_id=one.correction_id, schema=BEFORE_SCHEMA)
    return before, after


def _entered(profile: Profile, corrected: Sequence[ShownCorrection]) -> list[ShownCorrection]:
    """Return what stood in each field when the account was registered."""
    first = {
        Field.NAME: profile.name,
        Field.PHONE: profile.phone,
        Field.EMAIL: profile.email,
        Field.LOCALE: profile.locale.value,
    }
    for one in reversed(corrected):
        first[one.field] = one.before
    return [
        ShownCorrection(
            field=field,
            source=Source.REGISTRATION,
            by_name=None,
            before=None,
            after=text,
            at=profile.created_at,
        )
        for field, text in first.items()
        if text is not None
    ]
