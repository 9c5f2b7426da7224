"""Accounts: companies, members, roles, and who is calling."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


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


class MemberState(StrEnum):
    """An erased member has no row, hence no state here."""

    INVITED = "invited"
    ACTIVE = "active"
    BLOCKED = "blocked"
    OFFBOARDED = "offboarded"
    GRACE = "grace"
    ERASING = "erasing"


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
