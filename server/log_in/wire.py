"""What the endpoints of logging in read and write."""

from typing import Annotated, Final, Literal
from uuid import UUID

from server.accounts.model import Locale
from server.credentials.model import Role
from server.kit.wire import Instant, Text, Wire
from server.second_factor.wire import Code

PASSWORD_CHARS_MIN: Final = 10


class LogIn(Wire):
    """Who logs in; the company only where the person works for several."""

    login: Annotated[str, Text(254)]
    password: Annotated[str, Text(128)]
    company_id: UUID | None = None
    code: Code | None = None
    """Of the second factor; only where the answer was ``code-needed``."""
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
    stepped_up_until: Instant | None = None
    """Until then it may do what only a session proven anew may."""
    member: SessionMember
    company: SessionCompany


class StepUp(Wire):
    """Who is at the session proves it again."""

    password: Annotated[str, Text(128)]
    code: Code | None = None
    """Of the second factor; only where the answer was ``code-needed``."""


class SteppedUp(Wire):
    stepped_up_until: Instant
