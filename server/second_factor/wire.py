"""What the endpoints of the second factor read and write."""

from typing import Annotated, Final

from pydantic import Field

from server.kit.wire import Instant, Text, Wire

CODE_CHARS_MAX: Final = 40

Code = Annotated[str, Text(CODE_CHARS_MAX)]
"""Of an authenticator app, or a recovery code; spaces and dashes in it do not count."""


class SecondFactorView(Wire):
    begun_at: Instant | None
    confirmed_at: Instant | None
    """From then on a log-in needs its code."""
    recovery_codes_left: int
    required: bool
    """By the company, of its staff."""


class NewSecondFactor(Wire):
    """Shown once."""

    secret: str
    """Base32, to be typed into an authenticator app."""
    otpauth_uri: str
    """The same for a QR code."""


class Confirmation(Wire):
    code: Annotated[str, Text(CODE_CHARS_MAX)]


class RecoveryCodes(Wire):
    """Shown once. Each stands in for one code of the app."""

    recovery_codes: Annotated[list[str], Field(max_length=10)]


class LogInRules(Wire):
    staff_second_factor: bool
    """Dispatchers and main users must have a second factor: without, they can only set one up."""
