"""What the accounts' endpoints read and write."""

from typing import Annotated, Literal
from uuid import UUID

from server.accounts.model import Locale
from server.credentials.model import MemberState, Role
from server.kit.wire import Instant, ProfileText, Text, Wire


class NewDriver(Wire):
    name: Annotated[str, ProfileText(120)]
    phone: Annotated[str, Text(40)]
    email: Annotated[str, Text(254)] | None = None
    locale: Locale


class NewStaff(Wire):
    name: Annotated[str, ProfileText(120)]
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


class Me(Wire):
    member_id: UUID
    name: str
    phone: str | None
    email: str | None
    role: Role
    locale: Locale
    state: MemberState
