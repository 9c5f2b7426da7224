"""Accounts: companies, their members, and what may become of them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from server.accounts.logins import masked
from server.credentials.model import MemberState, Role
from server.kit import errors

INVITATION_LASTS: Final = timedelta(days=7)
TRACK_DAYS_MIN: Final = 1
TRACK_DAYS_MAX: Final = 365

Hashes: TypeAlias = tuple[bytes | None, bytes | None]
"""Blind indexes of a phone and of an e-mail."""


class Locale(StrEnum):
    RU = "ru"
    KK = "kk"
    EN = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    company_id: UUID
    name: str
    time_zone: str
    buffer_max_s: int
    """How long a phone may hold positions back before they are refused."""
    shift_max_s: int
    erasure_grace_s: int
    track_days: int | None
    """How many days positions are kept; no fewer than phones may hold them back.

    None: until the driver is erased, as in a company that is older than this setting.
    """
    created_at: datetime

    def tracks_kept_since(self, now: datetime) -> datetime | None:
        """Return the time before which no position is shown any more, and each is removed."""
        return None if self.track_days is None else now - timedelta(days=self.track_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """A person to invite. Phone and e-mail as they were typed; at least one of them."""

    name: str = field(repr=False)
    role: Role
    locale: Locale
    phone: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member as stored: what is personal is sealed."""

    company_id: UUID
    member_id: UUID
    role: Role
    state: MemberState
    locale: Locale
    name_sealed: bytes = field(repr=False)
    phone_sealed: bytes | None = field(repr=False)
    email_sealed: bytes | None = field(repr=False)
    phone_hash: bytes | None = field(repr=False)
    email_hash: bytes | None = field(repr=False)
    password_hash: str | None = field(repr=False)
    created_at: datetime

    @property
    def login_hashes(self) -> tuple[bytes, ...]:
        return tuple(one for one in (self.phone_hash, self.email_hash) if one is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A member, readable. Texts are empty where the keys are already destroyed."""

    member_id: UUID
    role: Role
    state: MemberState
    locale: Locale
    name: str = field(repr=False)
    phone: str | None = field(repr=False)
    email: str | None = field(repr=False)
    created_at: datetime

    @property
    def phone_masked(self) -> str | None:
        return None if self.phone is None else masked(self.phone)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverProfile:
    """A driver as the staff see them."""

    member_id: UUID
    name: str = field(repr=False)
    phone_masked: str
    state: MemberState
    locale: Locale
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverPage:
    items: tuple[DriverProfile, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A one-time code, shown once."""

    code: str = field(repr=False)
    expires_at: datetime


def refuse_time_zone(name: str) -> None:
    """Refuse a name that is not in the IANA time zone database.

    Raises
    ------
    TimeZoneUnknown
    """
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise TimeZoneUnknown from None


class CompanyMissing(errors.NotFound):
    slug = "company-not-found"
    title = "No such company"


class LoginTaken(errors.Conflict):
    slug = "login-taken"
    title = "Another member of this company has this phone or e-mail"


class InvitationNotUsable(errors.NotFound):
    slug = "invitation-not-usable"
    title = "This invitation cannot be used"

    def __init__(self) -> None:
        super().__init__("It was used, replaced or ran out. Ask for a new one.")


class TimeZoneUnknown(errors.Invalid):
    slug = "time-zone-unknown"
    title = "No such time zone"
