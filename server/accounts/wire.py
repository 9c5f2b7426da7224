"""What the accounts' endpoints read and write."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field

from server.accounts.model import Locale, MemberState, Role, Scope
from server.kit.tokens import TOKEN_CHARS_MAX
from server.kit.wire import Instant, Text, Wire

ITEMS_MAX: Final = 200
PASSWORD_CHARS_MIN: Final = 10


class LogIn(Wire):
    """Who logs in; the company only where the person works for several."""

    login: Annotated[str, Text(254)]
    password: Annotated[str, Text(128)]
    company_id: UUID | None = None
    transport: Literal["cookie", "bearer"] = "cookie"


class SessionMember(Wire):
    member_id: UUID
    name: str
    role: Role
    locale: Locale


class SessionCompany(Wire):
    company_id: UUID
    name: str
    time_zone: str


class SessionView(Wire):
    token: str | None = None
    """Only in the answer to a log-in with ``bearer``."""
    expires_at: Instant
    member: SessionMember
    company: SessionCompany


class NewDriver(Wire):
    name: Annotated[str, Text(120)]
    phone: Annotated[str, Text(40)]
    email: Annotated[str, Text(254)] | None = None
    locale: Locale


class NewStaff(Wire):
    name: Annotated[str, Text(120)]
    email: Annotated[str, Text(254)]
    phone: Annotated[str, Text(40)] | None = None
    role: Literal[Role.DISPATCHER, Role.MAIN_USER]
    locale: Locale


class InvitationView(Wire):
    """Shown once. Pass it on to the person themself, in a message, never in a URL."""

    code: str
    expires_at: Instant


class NotAsked(Wire):
    location: Literal["not_asked"] = "not_asked"
    dispatch_tracking: Literal["not_asked"] = "not_asked"
    plan_fact: Literal["not_asked"] = "not_asked"


class InvitedDriver(Wire):
    """A driver as every list shows them; one just invited was asked nothing yet."""

    driver_id: UUID
    name: str
    phone_masked: str | None
    state: MemberState
    locale: Locale
    consents: NotAsked = NotAsked()
    shift: Literal["off"] = "off"
    created_at: Instant


class AddedDriver(Wire):
    driver: InvitedDriver
    invitation: InvitationView


class MemberView(Wire):
    member_id: UUID
    name: str
    email: str | None
    phone_masked: str | None
    role: Role
    state: MemberState
    locale: Locale
    created_at: Instant


class AddedMember(Wire):
    member: MemberView
    invitation: InvitationView


class Acceptance(Wire):
    code: Annotated[str, Text(TOKEN_CHARS_MAX)]
    password: Annotated[str, Text(128, PASSWORD_CHARS_MIN)]


class Accepted(Wire):
    member_id: UUID
    role: Role


class Me(Wire):
    member_id: UUID
    name: str
    phone: str | None
    email: str | None
    role: Role
    locale: Locale
    state: MemberState


class NewDevice(Wire):
    name: Annotated[str, Text(80)]


class DeviceView(Wire):
    device_id: UUID
    name: str
    created_at: Instant
    revoked_at: Instant | None


class AddedDevice(Wire):
    """``token`` is shown once."""

    device_id: UUID
    name: str
    token: str


class NewVehicle(Wire):
    name: Annotated[str, Text(80)]
    plate: Annotated[str, Text(16)]


class VehicleView(Wire):
    vehicle_id: UUID
    name: str
    plate: str


class NewApiToken(Wire):
    name: Annotated[str, Text(80)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    expires_at: Instant | None = None


class ApiTokenView(Wire):
    api_token_id: UUID
    name: str
    scopes: tuple[Scope, ...]
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None


class AddedApiToken(ApiTokenView):
    token: str
    """Shown once."""


class PageQuery(Wire):
    cursor: Annotated[str, Text(64)] | None = None
    limit: Annotated[int, Field(ge=1, le=ITEMS_MAX)] = 50
