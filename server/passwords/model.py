"""Choosing another password with a code that was sent: how long it counts, and to whom. Pure."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts.model import Profile
from server.kit import errors
from server.notice_kinds.kinds import Channel
from server.standing.model import BlockReason, Standing

CODE_DIGITS: Final = 8
"""Anybody can have a code sent to anybody, so there are more to guess among than of those that
only whoever is logged in can ask for."""
CODE_LASTS: Final = timedelta(minutes=15)
CODE_TRIES_MAX: Final = 5
CODES_APART: Final = timedelta(minutes=1)
CODES_MAX: Final = 10
"""Codes to one person in one day: what is sent is paid for, and each is a few guesses more."""
CODES_COUNTED: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A code that was sent, as it is stored."""

    reset_id: UUID
    code_hash: bytes | None = field(repr=False)
    asked_at: datetime
    expires_at: datetime
    sent: int
    first_at: datetime


def new_code() -> str:
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


def counted(before: Reset | None, now: datetime) -> tuple[int, datetime] | None:
    """Return how many codes it makes and since when they are counted; None: none goes yet."""
    if before is None or before.first_at + CODES_COUNTED <= now:
        return 1, now
    if before.sent >= CODES_MAX or now < before.asked_at + CODES_APART:
        return None
    return before.sent + 1, before.first_at


def may_have_code(password_hash: str | None, standing: Standing) -> bool:
    """Tell whether a code may stand in for the password.

    Where there is none, an invitation gives one: it may have ended because the phone to which the
    code would go is lost, or the time to read is over.
    """
    return password_hash is not None and standing.reason is not BlockReason.LOST_PHONE


def goes_to(
    person: Profile, kind: str, ways_out: Collection[Channel]
) -> tuple[Channel, str] | None:
    """Return where the code goes: to what the person named if it can, else to the other."""
    contacts = {Channel.SMS: person.phone, Channel.EMAIL: person.email}
    order = sorted(contacts, key=lambda one: (one is Channel.EMAIL) is not (kind == "email"))
    for channel in order:
        address = contacts[channel]
        if address is not None and channel in ways_out:
            return channel, address
    return None


class ResetCodeRefused(errors.Invalid):
    slug = "password-reset-code-refused"
    title = "This code does not fit"

    def __init__(self) -> None:
        super().__init__("It is wrong, ran out, was used or tried too often. Ask for a new one.")
