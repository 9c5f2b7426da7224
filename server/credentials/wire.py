"""What the endpoints of devices and API tokens read and write."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from server.credentials.model import Scope
from server.kit.wire import Instant, ProfileText, Wire


class NewDevice(Wire):
    name: Annotated[str, ProfileText(80)]


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


class OpenSessionView(Wire):
    """A log-in that is open."""

    session_id: UUID
    created_at: Instant
    expires_at: Instant
    current: bool
    """It is the one that asks."""


class Ended(Wire):
    ended: Annotated[int, Field(ge=0)]
    """How many log-ins."""


class NewApiToken(Wire):
    name: Annotated[str, ProfileText(80)]
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
