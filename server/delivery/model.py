"""What goes out, and when it is tried again. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from server.notice_kinds.kinds import Category, Channel
from server.notices.model import Delivery, Event, NoticeText, Reason

PERMANENT: Final = frozenset({Reason.REFUSED, Reason.NO_ADDRESS, Reason.NOT_CONFIGURED})
# After each attempt that failed; after the last one no more. Together about two and a half days.
BACK_OFF: Final = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=3),
    timedelta(hours=8),
    timedelta(hours=24),
    timedelta(hours=24),
)
ATTEMPTS_MAX: Final = len(BACK_OFF) + 1


def after_failure(
    delivery: Delivery, reason: Reason, *, wait: timedelta | None, now: datetime
) -> tuple[Event, datetime | None]:
    """Return what a failed attempt means, and when to try again (None: never).

    ``wait`` is what the other side asked for; it lengthens the pause, up to a day.
    """
    if reason in PERMANENT or delivery.attempts >= ATTEMPTS_MAX - 1:
        return Event.FAILED, None
    pause = BACK_OFF[delivery.attempts]
    if wait is not None:
        pause = max(pause, min(wait, BACK_OFF[-1]))
    return Event.ATTEMPT_FAILED, now + pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a port hands over. ``message_id`` is the same in every attempt."""

    message_id: str
    channel: Channel
    to: str = field(repr=False)
    category: Category
    company: str
    text: NoticeText
    queued_at: datetime


class Undelivered(Exception):
    """An attempt failed. Carries no text and no address."""

    def __init__(self, reason: Reason, *, wait: timedelta | None = None) -> None:
        self.reason = reason
        self.wait = wait
        super().__init__(reason.value)
