"""What the endpoints of logging in read and write."""

from typing import Annotated, Final, Literal
from uuid import UUID

from server.accounts.model import Locale
from server.credentials.model import Role
from server.kit.tokens import TOKEN_CHARS_MAX
from server.kit.wire import Instant, Text, Wire

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


class Acceptance(Wire):
    code: Annotated[str, Text(TOKEN_CHARS_MAX)]
    password: Annotated[str, Text(128, PASSWORD_CHARS_MIN)]


class Accepted(Wire):
    member_id: UUID
    role: Role
