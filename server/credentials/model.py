"""Who calls and what they may: roles, account states, sessions, devices, API tokens."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.kit import errors

DEVICE_NUMBER_MAX: Final = 255
STEP_UP_LASTS: Final = timedelta(minutes=10)
UNUSED_LASTS: Final = timedelta(days=14)
"""So long a session goes on that nobody uses; one of a browser ends long before."""
USE_NOTED_EVERY: Final = timedelta(days=1)
"""A session is written to no more often, however much it is used."""
_NAMED: Final = b"jolda session id v1\0"


class Kind(StrEnum):
    """What a token begins with."""

    SESSION = "js"
    DEVICE = "jd"
    API = "ja"


class Role(StrEnum):
    MAIN_USER = "main_user"
    DISPATCHER = "dispatcher"
    DRIVER = "driver"


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
    stepped_up_until: datetime | None = None
    """Of a session: until when it counts as proven anew. A device or an integration never does."""
    use_noted_at: datetime | None = None
    """Of a session: the use of it that was noted last, or its beginning."""
    must_enrol: bool = False
    """Staff of a company that asks for a second factor, without one: they can only set one up."""

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
class Session:
    """A log-in that was opened; the token is shown once."""

    company_id: UUID
    member_id: UUID
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """A log-in that is open, as its member sees it."""

    digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime

    @property
    def session_id(self) -> UUID:
        """Return what names the session. It proves nothing: the digest cannot be told from it."""
        raw = bytearray(hashlib.sha256(_NAMED + self.digest).digest()[:16])
        raw[6] = raw[6] & 0x0F | 0x80  # version 8: made in a way of one's own (RFC 9562)
        raw[8] = raw[8] & 0x3F | 0x80
        return UUID(bytes=bytes(raw))


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


class NotAuthenticated(errors.Unauthenticated):
    slug = "not-authenticated"
    title = "Not authenticated"


class NotPermitted(errors.Refused):
    slug = "not-permitted"
    title = "Not permitted"


class StepUpNeeded(errors.Refused):
    slug = "step-up-needed"
    title = "Prove again who you are"


class SecondFactorNeeded(errors.Refused):
    slug = "second-factor-needed"
    title = "Set up a second factor first"


class OriginForeign(errors.Refused):
    slug = "origin-foreign"
    title = "The request comes from another site"


class SessionMissing(errors.NotFound):
    slug = "session-not-found"
    title = "No such session"


class MemberMissing(errors.NotFound):
    slug = "member-not-found"
    title = "No such member"


class MemberStateRefused(errors.Conflict):
    slug = "member-state-refused"
    title = "The account cannot change that way"

    def __init__(self, before: MemberState, after: MemberState | None = None) -> None:
        """``after`` is what it was to become, where it was to become another."""
        cannot = "does not allow this" if after is None else f"cannot become {after.value}"
        super().__init__(f"It is {before.value} and {cannot}.")


class DeviceMissing(errors.NotFound):
    slug = "device-not-found"
    title = "No such device"


class DeviceNumbersUsedUp(errors.Conflict):
    slug = "device-numbers-used-up"
    title = "No more devices can be added"


class ApiTokenMissing(errors.NotFound):
    slug = "api-token-not-found"
    title = "No such API token"


class ApiTokenExpiryPast(errors.Invalid):
    slug = "api-token-expiry-past"
    title = "The token would have run out already"
