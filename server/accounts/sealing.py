"""A member's texts: canonical, sealed and indexed on the way in, opened on the way out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from server.accounts.logins import canonical_email, canonical_phone
from server.accounts.model import DriverProfile, Member, NewMember, Profile
from server.credentials.model import MemberState
from server.vault.model import Category, SealedText
from server.vault.service import Vault

NAME_SCHEMA = "member.name"
PHONE_SCHEMA = "member.phone"
EMAIL_SCHEMA = "member.email"


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """The one spelling of each login and its blind index."""

    phone: str | None = field(repr=False)
    email: str | None = field(repr=False)
    phone_hash: bytes | None = field(repr=False)
    email_hash: bytes | None = field(repr=False)

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return tuple(one for one in (self.phone_hash, self.email_hash) if one is not None)


def logins_of(vault: Vault, new: NewMember) -> Logins:
    """Return under what the member will be found.

    Raises
    ------
    PhoneUnreadable, EmailUnreadable
    """
    phone = None if new.phone is None else canonical_phone(new.phone)
    email = None if new.email is None else canonical_email(new.email)
    return Logins(
        phone=phone,
        email=email,
        phone_hash=None if phone is None else vault.blind_index("phone", phone),
        email_hash=None if email is None else vault.blind_index("email", email),
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


async def profiles(vault: Vault, company_id: UUID, found: Sequence[Member]) -> list[Profile]:
    """Return the members readable, with one look-up of keys for all of them."""
    texts = [text for one in found for text in _texts(one)]
    opened = iter(await vault.open_texts(company_id, texts))
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
