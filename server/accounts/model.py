"""Accounts: companies, members, roles, what may become of them, and who is calling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.accounts.logins import masked
from server.kit import errors

INVITATION_LASTS: Final = timedelta(days=7)
SESSION_LASTS: Final[Mapping[str, timedelta]] = {
    "bearer": timedelta(days=30),
    "cookie": timedelta(hours=12),
}
DEVICE_NUMBER_MAX: Final = 255


class Role(StrEnum):
    MAIN_USER = "main_user"
    DISPATCHER = "dispatcher"
    DRIVER = "driver"


class Locale(StrEnum):
    RU = "ru"
    KK = "kk"
    EN = "en"


class Scope(StrEnum):
    """What an API token may do. A token acts for the company, never for a person."""

    DRIVERS_READ = "drivers:read"
    DRIVERS_WRITE = "drivers:write"
    ROUTES_READ = "routes:read"
    ROUTES_WRITE = "routes:write"
    TRACKS_READ = "tracks:read"
    LIVE_READ = "live:read"
    LINKS_WRITE = "links:write"


class MemberState(StrEnum):
    """An erased member has no row, hence no state here."""

    INVITED = "invited"
    ACTIVE = "active"
    BLOCKED = "blocked"
    OFFBOARDED = "offboarded"
    GRACE = "grace"
    ERASING = "erasing"


class BlockReason(StrEnum):
    LEFT = "left"
    LOST_PHONE = "lost_phone"
    MISUSE = "misuse"
    OTHER = "other"


# A pair that is absent is refused. Who cancels in grace gets the account back as it was: a blocked
# driver does not unblock themself by asking for erasure.
TRANSITIONS: Final = frozenset(
    {
        (MemberState.INVITED, MemberState.ACTIVE),
        (MemberState.ACTIVE, MemberState.BLOCKED),
        (MemberState.BLOCKED, MemberState.ACTIVE),
        (MemberState.INVITED, MemberState.GRACE),
        (MemberState.ACTIVE, MemberState.GRACE),
        (MemberState.BLOCKED, MemberState.GRACE),
        (MemberState.OFFBOARDED, MemberState.GRACE),
        (MemberState.GRACE, MemberState.INVITED),
        (MemberState.GRACE, MemberState.ACTIVE),
        (MemberState.GRACE, MemberState.BLOCKED),
        (MemberState.GRACE, MemberState.ERASING),
    }
)


def refuse_transition(before: MemberState, after: MemberState) -> None:
    """Refuse what is not in the table.

    Raises
    ------
    MemberStateRefused
    """
    if (before, after) not in TRANSITIONS:
        raise MemberStateRefused(before, after)


def may_call(role: Role, state: MemberState | None) -> bool:
    """Tell whether a member in this state may call at all.

    A driver keeps the rights over their own data until erasing begins, also while blocked.
    """
    if role is Role.DRIVER:
        return state is not None and state is not MemberState.ERASING
    return state is MemberState.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is calling: a member (session), a member's device, or an integration."""

    company_id: UUID
    role: Role | None = None
    member_id: UUID | None = None
    device_id: UUID | None = None
    api_token_id: UUID | None = None
    scopes: frozenset[Scope] = frozenset()

    @property
    def is_staff(self) -> bool:
        """Act for the company: dispatcher, main user or integration."""
        return self.device_id is None and self.role is not Role.DRIVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a token stands for, as it was found; whether it still holds is :meth:`holds`'s."""

    caller: Caller
    state: MemberState | None = None
    """The member's; None for an API token, which belongs to nobody."""
    expires_at: datetime | None = None
    revoked: bool = False

    def holds(self, now: datetime) -> bool:
        if self.revoked or (self.expires_at is not None and self.expires_at <= now):
            return False
        return self.caller.role is None or may_call(self.caller.role, self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    company_id: UUID
    name: str
    time_zone: str
    buffer_max_s: int
    """How long a phone may hold positions back before they are refused."""
    shift_max_s: int
    erasure_grace_s: int
    created_at: datetime


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A log-in that was opened; the token is shown once."""

    company_id: UUID
    member_id: UUID
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    company_id: UUID
    device_id: UUID
    member_id: UUID
    number: int
    """0 to 255, never used twice for one member: it stands inside the sealed positions."""
    name_sealed: bytes = field(repr=False)
    created_at: datetime
    revoked_at: datetime | None

    @property
    def revoked(self) -> bool:
        return self.revoked_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    api_token_id: UUID
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    vehicle_id: UUID
    name: str
    plate: str
    created_at: datetime


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


class NotAuthenticated(errors.Unauthenticated):
    slug = "not-authenticated"
    title = "Not authenticated"


class NotPermitted(errors.Refused):
    slug = "not-permitted"
    title = "Not permitted"


class OriginForeign(errors.Refused):
    slug = "origin-foreign"
    title = "The request comes from another site"


class LoginFailed(errors.Unauthenticated):
    slug = "login-failed"
    title = "Log-in failed"

    def __init__(self) -> None:
        super().__init__("Login and password do not belong together.")


class CompanyNeeded(errors.Conflict):
    slug = "company-needed"
    title = "Choose a company"

    def __init__(self, companies: Sequence[Company]) -> None:
        self.companies = tuple(companies)
        super().__init__("Log in again and say for which company.")

    def members(self) -> dict[str, object]:
        return {
            "companies": [
                {"company_id": str(one.company_id), "name": one.name} for one in self.companies
            ]
        }


class TooManyAttempts(errors.TooMany):
    slug = "too-many-attempts"
    title = "Too many attempts to log in"

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__()


class LogInBusy(errors.Unavailable):
    slug = "log-in-busy"
    title = "Too many people are logging in just now"
    retry_after_s = 1.0


class CompanyMissing(errors.NotFound):
    slug = "company-not-found"
    title = "No such company"


class MemberMissing(errors.NotFound):
    slug = "member-not-found"
    title = "No such member"


class MemberStateRefused(errors.Conflict):
    slug = "member-state-refused"
    title = "The account cannot change that way"

    def __init__(self, before: MemberState, after: MemberState) -> None:
        super().__init__(f"It is {before.value} and cannot become {after.value}.")


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


class DeviceMissing(errors.NotFound):
    slug = "device-not-found"
    title = "No such device"


class DeviceNumbersUsedUp(errors.Conflict):
    slug = "device-numbers-used-up"
    title = "No more devices can be added"


class PlateTaken(errors.Conflict):
    slug = "plate-taken"
    title = "Another vehicle of this company has this plate"


class ApiTokenMissing(errors.NotFound):
    slug = "api-token-not-found"
    title = "No such API token"


class ApiTokenExpiryPast(errors.Invalid):
    slug = "api-token-expiry-past"
    title = "The token would have run out already"
