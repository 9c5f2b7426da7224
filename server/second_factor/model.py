"""Codes of an authenticator app (RFC 6238), and recovery codes. Pure."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlencode

from server.kit import errors

ISSUER: Final = "Jolda"
DIGITS: Final = 6
STEP_S: Final = 30
SKEW_STEPS: Final = 1
"""So many steps a phone's clock may be behind or ahead."""
SECRET_BYTES: Final = 20
RECOVERY_CODES: Final = 10
RECOVERY_BYTES: Final = 15
"""120 bits, written as 24 letters: more than 112, so a plain hash of one tells nothing."""
GROUP_CHARS: Final = 4
FREE_FAILURES: Final = 5
WAIT_S_MAX: Final = 3_600.0
"""Never longer: whoever knows a password can make its owner wait, but not keep them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A member's second factor as stored; it is asked for once it is confirmed."""

    secret_sealed: bytes = field(repr=False)
    begun_at: datetime
    confirmed_at: datetime | None
    last_step: int | None
    """The newest step whose code was used: neither it nor an older one is taken again."""
    failures: int
    """Wrong codes since the last right one, each with the right password."""
    failed_at: datetime | None

    def wait_s(self, now: datetime) -> float:
        """Return how long no code is looked at any more."""
        if self.failed_at is None or self.failures < FREE_FAILURES:
            return 0.0
        waits = timedelta(seconds=min(WAIT_S_MAX, 2.0 ** min(self.failures - FREE_FAILURES, 16)))
        return max(0.0, (self.failed_at + waits - now).total_seconds())

    def takes(self, step: int) -> bool:
        return self.last_step is None or step > self.last_step


class Verdict(StrEnum):
    NOT_NEEDED = "not_needed"
    NEEDED = "needed"
    RIGHT = "right"
    WRONG = "wrong"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a code is worth; a right one is still to be used up."""

    verdict: Verdict
    step: int | None = None
    recovery_hash: bytes | None = field(default=None, repr=False)
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A member's second factor as they see it themself."""

    begun_at: datetime | None
    confirmed_at: datetime | None
    recovery_codes_left: int
    required: bool
    """By the company, of its staff."""


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def written(secret: bytes) -> str:
    """Return the secret as people type it into an authenticator app."""
    return base64.b32encode(secret).decode()


def read(text: str) -> bytes:
    """Return the secret of :func:`written`."""
    return base64.b32decode(text)


def otpauth(secret: bytes, account: str) -> str:
    """Return what an authenticator app reads, from a QR code for example."""
    asked = {
        "secret": written(secret),
        "issuer": ISSUER,
        "algorithm": "SHA1",
        "digits": DIGITS,
        "period": STEP_S,
    }
    return f"otpauth://totp/{ISSUER}:{quote(account, safe='')}?{urlencode(asked)}"


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a time step: RFC 4226 with HMAC-SHA-1, which every app knows."""
    digest = hmac.digest(secret, step.to_bytes(8), "sha1")
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_at(now: datetime) -> int:
    return int(now.timestamp()) // STEP_S


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """Return which step's code it is; None where of none that is near. All take the same time."""
    present = step_at(now)
    found = None
    for step in range(present - SKEW_STEPS, present + SKEW_STEPS + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            found = step
    return found


def plain(typed: str) -> str:
    """Return a code without what people put between its parts."""
    return typed.replace(" ", "").replace("-", "").upper()


def is_app_code(code: str) -> bool:
    """Tell whether the code is of the app, by its form; otherwise it is a recovery code."""
    return len(code) == DIGITS and code.isascii() and code.isdigit()


def new_recovery_codes() -> tuple[str, ...]:
    return tuple(_grouped(secrets.token_bytes(RECOVERY_BYTES)) for _ in range(RECOVERY_CODES))


def _grouped(raw: bytes) -> str:
    text = base64.b32encode(raw).decode()
    return "-".join(text[at : at + GROUP_CHARS] for at in range(0, len(text), GROUP_CHARS))


def recovery_hash(code: str) -> bytes:
    return hashlib.sha256(plain(code).encode()).digest()


class CodeWrong(errors.Invalid):
    slug = "code-wrong"
    title = "This is not the code of now"

    def __init__(self) -> None:
        super().__init__("Look whether the phone's clock is right, and take the next code.")


class SecondFactorConfirmed(errors.Conflict):
    slug = "second-factor-confirmed"
    title = "There is a second factor already"


class SecondFactorMissing(errors.NotFound):
    slug = "second-factor-not-found"
    title = "There is no second factor"


class OwnSecondFactorFirst(errors.Conflict):
    slug = "own-second-factor-first"
    title = "Set up your own second factor first"
