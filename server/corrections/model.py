"""Correcting a person's own data: what counts at once, and what needs a code first. Pure."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as kept
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from server.accounts.model import Locale, Profile
from server.credentials.model import MemberState
from server.kit import errors
from server.notice_kinds.kinds import Channel

CODE_DIGITS: Final = 6
CODE_LASTS: Final = timedelta(minutes=15)
CODE_TRIES_MAX: Final = 5
CODES_APART: Final = timedelta(minutes=1)
CODES_MAX: Final = 10
"""Codes to one person's new phone, or e-mail, in one day: others pay for what is sent there."""
CODES_COUNTED: Final = timedelta(days=1)
CORRECTIONS_SHOWN_MAX: Final = 500


class Field(StrEnum):
    """What a person may have corrected of themself."""

    NAME = "name"
    PHONE = "phone"
    EMAIL = "email"
    LOCALE = "locale"


CHANNELS: Final[Mapping[Field, Channel]] = MappingProxyType(
    {Field.PHONE: Channel.SMS, Field.EMAIL: Channel.EMAIL}
)
"""How the code gets to what somebody is reached by; nothing else needs one."""
WORDS: Final[Mapping[Field, str]] = MappingProxyType(
    {one: "language" if one is Field.LOCALE else one.value for one in Field}
)
"""What the notices call it."""


class Source(StrEnum):
    """Where something that is kept of a person comes from."""

    REGISTRATION = "registration"
    """Whoever registered the account entered it."""
    SELF = "self"
    STAFF = "staff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to stand there from now on, as it was typed. None: it stays."""

    name: str | None = kept(default=None, repr=False)
    phone: str | None = kept(default=None, repr=False)
    email: str | None = kept(default=None, repr=False)
    locale: Locale | None = None
    version: int | None = None
    """What was looked at before; None: whatever stands there by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Whose word it is."""

    source: Source
    member_id: UUID
    """Of the person themself, or of the staff."""

    @property
    def by_member(self) -> UUID | None:
        return self.member_id if self.source is Source.STAFF else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """As it is stored."""

    correction_id: UUID
    member_id: UUID
    field: Field
    source: Source
    by_member: UUID | None
    before_sealed: bytes | None = kept(repr=False)
    after_sealed: bytes = kept(repr=False)
    corrected_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCorrection:
    """What a person is told of one correction, or of what was entered first."""

    field: Field
    source: Source
    by_name: str | None = kept(repr=False)
    """Of the staff who corrected it; None where it was the person, or who entered it first."""
    before: str | None = kept(repr=False)
    after: str | None = kept(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactChange:
    """A phone or e-mail that waits for its code, as it is stored."""

    change_id: UUID
    field: Field
    source: Source
    by_member: UUID | None
    contact_sealed: bytes = kept(repr=False)
    code_hash: bytes = kept(repr=False)
    asked_at: datetime
    expires_at: datetime
    sent: int
    first_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What a person is told of such a change."""

    field: Field
    source: Source
    contact: str = kept(repr=False)
    asked_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is to be another, in its one spelling."""

    field: Field
    before: str | None = kept(repr=False)
    after: str = kept(repr=False)


def changes(before: Profile, wanted: Wanted) -> list[Change]:
    """Return what really changes; phone and e-mail are in their one spelling already."""
    is_now = {
        Field.NAME: before.name,
        Field.PHONE: before.phone,
        Field.EMAIL: before.email,
        Field.LOCALE: before.locale.value,
    }
    to_be = {
        Field.NAME: wanted.name,
        Field.PHONE: wanted.phone,
        Field.EMAIL: wanted.email,
        Field.LOCALE: None if wanted.locale is None else wanted.locale.value,
    }
    return [
        Change(field=one, before=is_now[one], after=after)
        for one, after in to_be.items()
        if after is not None and after != is_now[one]
    ]


def needs_code(change: Change, author: Author, state: MemberState) -> bool:
    """Tell whether it counts only once the code that is sent there is told.

    Whoever registered somebody may mend a slip until that person has accepted. From then on nobody
    else moves where they are reached and what they log in with.
    """
    if change.field not in CHANNELS:
        return False
    return author.source is Source.SELF or state is not MemberState.INVITED


def asked_again(before: ContactChange | None, now: datetime) -> tuple[int, datetime]:
    """Return how many codes it makes, and since when they are counted.

    Raises
    ------
    CodesTooMany
    """
    if before is None or before.first_at + CODES_COUNTED <= now:
        return 1, now
    free_at = before.asked_at + CODES_APART
    if before.sent >= CODES_MAX:
        free_at = before.first_at + CODES_COUNTED
    if now < free_at:
        raise CodesTooMany((free_at - now).total_seconds())
    return before.sent + 1, before.first_at


def new_code() -> str:
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


class DataChanged(errors.Conflict):
    slug = "data-changed"
    title = "It was corrected by somebody else"

    def __init__(self, version: int) -> None:
        super().__init__(f"What is kept is at version {version}. Look at it, and correct that.")


class ContactUnreachable(errors.Conflict):
    slug = "contact-unreachable"
    title = "No code can be sent there"

    def __init__(self) -> None:
        super().__init__(
            "This installation sends no text messages, or no e-mail, so nobody can prove here that "
            "a new one is theirs. Nothing was changed."
        )


class ContactCodeRefused(errors.Invalid):
    slug = "contact-code-refused"
    title = "This code does not fit"

    def __init__(self) -> None:
        super().__init__("It is wrong, ran out, or was tried too often. Ask for a new one.")


class CodesTooMany(errors.TooMany):
    slug = "contact-codes-too-many"
    title = "Too many codes were asked for"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("Wait before you ask for another.")
        self.retry_after_s = max(1.0, retry_after_s)
