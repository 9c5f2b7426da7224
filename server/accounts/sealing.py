"""A member's texts: canonical, sealed and indexed on the way in, opened on the way out."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidTag

from server.accounts import store
from server.accounts.logins import canonical_email, canonical_phone
from server.accounts.model import DriverProfile, Hashes, Locale, Member, NewMember, Profile
from server.credentials import service as credentials
from server.credentials.model import MemberMissing, MemberState, Role
from server.kek.model import KeyDamaged
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.vault.model import Category, SealedText, SubjectErased
from server.vault.service import Vault

log = structlog.get_logger(__name__)

NAME_SCHEMA = "member.name"
PHONE_SCHEMA = "member.phone"
EMAIL_SCHEMA = "member.email"
REINDEXED: Final = 500
"""Members in one transaction."""
_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """The one spelling of each login and its blind index."""

    phone: str | None = field(repr=False)
    email: str | None = field(repr=False)
    phone_hash: bytes | None = field(repr=False)
    email_hash: bytes | None = field(repr=False)
    every_hash: tuple[tuple[bytes, ...], ...] = field(repr=False)
    """Of each login, under every pepper there is."""


def logins_of(vault: Vault, new: NewMember) -> Logins:
    """Return under what the member will be found.

    Raises
    ------
    PhoneUnreadable, EmailUnreadable
    """
    phone = None if new.phone is None else canonical_phone(new.phone)
    email = None if new.email is None else canonical_email(new.email)
    phone_hash, email_hash = _hashes(vault, phone, email)
    return Logins(
        phone=phone,
        email=email,
        phone_hash=phone_hash,
        email_hash=email_hash,
        every_hash=tuple(
            vault.blind_indexes(kind, text)
            for kind, text in (("phone", phone), ("email", email))
            if text is not None
        ),
    )


def _hashes(vault: Vault, phone: str | None, email: str | None) -> Hashes:
    return (
        None if phone is None else vault.blind_index("phone", phone),
        None if email is None else vault.blind_index("email", email),
    )


async def sealed(
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    new: NewMember,
    logins: Logins,
    *,
    now: datetime,
) -> Member:
    """Return the invited member as it is stored."""

    async def seal(category: Category, text: str, schema: str) -> bytes:
        return await vault.seal_text(
            company_id, member_id, category, text, row_id=member_id, schema=schema, now=now
        )

    async def contact(text: str | None, schema: str) -> bytes | None:
        return None if text is None else await seal(Category.CONTACT, text, schema)

    return Member(
        company_id=company_id,
        member_id=member_id,
        role=new.role,
        state=MemberState.INVITED,
        locale=new.locale,
        name_sealed=await seal(Category.IDENTITY, new.name, NAME_SCHEMA),
        phone_sealed=await contact(logins.phone, PHONE_SCHEMA),
        email_sealed=await contact(logins.email, EMAIL_SCHEMA),
        phone_hash=logins.phone_hash,
        email_hash=logins.email_hash,
        password_hash=None,
        created_at=now,
    )


async def rewrite(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    *,
    name: str | None = None,
    phone: str | None = None,
    email: str | None = None,
    locale: Locale | None = None,
    now: datetime,
) -> None:
    """Write parts of a member's profile anew, and let them log in with what is new.

    Phone and e-mail in their one spelling; what is None stays. The member is locked, and the vault
    has the newest pepper (``renew``).

    Raises
    ------
    MemberMissing, LoginTaken
    """
    before = there(await store.member(conn, company_id, member_id), MemberMissing)

    async def seal(
        old: bytes | None, category: Category, text: str | None, schema: str
    ) -> bytes | None:
        if text is None:
            return old
        return await vault.seal_text(
            company_id, member_id, category, text, row_id=member_id, schema=schema, now=now
        )

    hashes = _hashes(vault, phone, email)
    after = replace(
        before,
        locale=locale or before.locale,
        name_sealed=await seal(before.name_sealed, Category.IDENTITY, name, NAME_SCHEMA)
        or before.name_sealed,
        phone_sealed=await seal(before.phone_sealed, Category.CONTACT, phone, PHONE_SCHEMA),
        email_sealed=await seal(before.email_sealed, Category.CONTACT, email, EMAIL_SCHEMA),
        phone_hash=hashes[0] or before.phone_hash,
        email_hash=hashes[1] or before.email_hash,
    )
    await store.rewrite(conn, after)
    old = set(before.login_hashes) - set(after.login_hashes)
    if old:
        # A code on its way to what is not theirs any more must not stand in for the password.
        await credentials.end_reset_codes(conn, company_id, member_id)
    await store.delete_log_ins(conn, company_id, list(old))
    await store.insert_logins(conn, company_id, after.login_hashes)


async def profiles(
    vault: Vault, company_id: UUID, found: Sequence[Member], *, of_many: bool = False
) -> list[Profile]:
    """Return the members readable, with one look-up of keys for all of them.

    ``of_many``: in a list, whose key is damaged has no name, and everybody else is there as ever.
    """
    texts = [text for one in found for text in _texts(one)]
    opened = iter(await vault.open_texts(company_id, texts, of_many=of_many))
    return [
        Profile(
            member_id=one.member_id,
            role=one.role,
            state=one.state,
            locale=one.locale,
            name=next(opened) or "",
            phone=next(opened),
            email=next(opened),
            created_at=one.created_at,
        )
        for one in found
    ]


async def reindex(pool: Pool, vault: Vault, company_id: UUID) -> int:
    """Index every login of the company under the newest pepper; return of how many members.

    Opens its own transactions. Whose keys are gone is being erased, and left out; so is, with a
    line in the log, whoever was damaged: everybody else's erasure would wait for them.

    Raises
    ------
    KekUnusable
        Nobody can be read just now.
    """
    count, damaged, after = 0, 0, _FIRST
    while True:
        async with db.tenant(pool, company_id) as conn:
            found = await store.members(
                conn, company_id, roles=tuple(Role), state=None, after=after, limit=REINDEXED
            )
            readable = await _logins(vault, company_id, found)
            count += await _reindex(conn, company_id, readable)
        damaged += len(found) - len(readable)
        if len(found) < REINDEXED:
            break
        after = found[-1].member_id
    if damaged:
        log.error("members_damaged", company=str(company_id), count=damaged)
    return count


async def _logins(
    vault: Vault, company_id: UUID, found: Sequence[Member]
) -> list[tuple[Member, Hashes]]:
    """Return the members whose log-ins can be read, with what these are found by from now on."""
    try:
        # No names: a damaged one takes nobody's log-in.
        texts = [text for one in found for text in _texts(one)[1:]]
        opened = iter(await vault.open_texts(company_id, texts))
        return [(one, _hashes(vault, next(opened), next(opened))) for one in found]
    except SubjectErased:
        return []  # the company has no key
    except (InvalidTag, KeyDamaged, ValueError):
        # A text or its key was changed, or is none: each by itself, it is one of many.
        if len(found) == 1:
            return []
        return [pair for one in found for pair in await _logins(vault, company_id, [one])]


async def _reindex(
    conn: Connection, company_id: UUID, readable: Sequence[tuple[Member, Hashes]]
) -> int:
    anew = [
        (member, hashes)
        for member, hashes in readable
        if any(hashes) and hashes != (member.phone_hash, member.email_hash)
    ]
    if not anew:
        return 0
    written = set(await _set_hashes(conn, company_id, anew))
    moved = [(member, hashes) for member, hashes in anew if member.member_id in written]
    old = [one for member, _ in moved for one in member.login_hashes]
    await store.delete_log_ins(conn, company_id, old)
    new = [one for _, hashes in moved for one in hashes if one]
    await store.insert_logins(conn, company_id, new)
    return len(written)


async def _set_hashes(
    conn: Connection, company_id: UUID, anew: Sequence[tuple[Member, Hashes]]
) -> list[UUID]:
    with suppress(db.UniqueViolation):
        async with conn.transaction():
            return await store.set_hashes(conn, company_id, anew)
    # Two who joined in the same instant, each under another pepper, have one login: the first
    # keeps it, and the others are not held up.
    written = []
    for one in anew:
        with suppress(db.UniqueViolation):
            async with conn.transaction():
                written += await store.set_hashes(conn, company_id, [one])
    return written


def _texts(one: Member) -> list[SealedText | None]:
    return [
        None if text is None else SealedText(sealed=text, row_id=one.member_id, schema=schema)
        for text, schema in (
            (one.name_sealed, NAME_SCHEMA),
            (one.phone_sealed, PHONE_SCHEMA),
            (one.email_sealed, EMAIL_SCHEMA),
        )
    ]


def driver_profile(one: Profile) -> DriverProfile:
    """Return a driver as the staff see them."""
    return DriverProfile(
        member_id=one.member_id,
        name=one.name,
        phone_masked=one.phone_masked or "",
        state=one.state,
        locale=one.locale,
        created_at=one.created_at,
    )
