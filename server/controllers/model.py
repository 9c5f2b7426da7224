"""Another company becomes the controller: when, and what may be done until then. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from server.kit.errors import Conflict, Invalid, NotFound
from server.policies.model import NOTICE_PERIOD


class ChangeState(StrEnum):
    ANNOUNCED = "announced"
    CANCELLED = "cancelled"
    IN_EFFECT = "in_effect"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewController:
    """Who becomes the controller."""

    name: str
    bin: str
    """Business identification number: 12 digits."""
    privacy_contact: str
    """Whom to ask about personal data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerChange:
    """One change, as it was announced, and how far it came."""

    change_id: UUID
    to: NewController
    noticed_at: datetime
    effective_at: datetime
    cancelled_at: datetime | None = None
    applied_at: datetime | None = None
    """When the company's particulars changed."""
    completed_at: datetime | None = None
    """When every driver's consents had been moved or had ended."""

    @property
    def state(self) -> ChangeState:
        if self.cancelled_at is not None:
            return ChangeState.CANCELLED
        return ChangeState.ANNOUNCED if self.applied_at is None else ChangeState.IN_EFFECT

    def is_open(self, now: datetime) -> bool:
        """Tell whether it can still be agreed to, and cancelled."""
        return self.state is ChangeState.ANNOUNCED and now < self.effective_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStanding:
    """A change, and when the member who asks agreed to it (None: they did not)."""

    change: ControllerChange
    agreed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAgreement:
    change_id: UUID
    agreed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingPage:
    items: tuple[ChangeStanding, ...]
    next_cursor: str | None


def refuse_short_notice(effective_at: datetime, now: datetime) -> None:
    """Refuse a change that members would be told of too late.

    Raises
    ------
    ControllerNoticeTooShort
    """
    if effective_at < now + NOTICE_PERIOD:
        raise ControllerNoticeTooShort


def refuse_early(change: ControllerChange, told_at: datetime | None, now: datetime) -> None:
    """Refuse to carry out a change before its time, whatever its row says.

    The 30 days are counted from ``told_at``, when the first member was really told (None: nobody
    was): a row may be dated back, its notices have evidence of their own.

    Raises
    ------
    ControllerChangeEarly
    """
    if now < change.effective_at:
        raise ControllerChangeEarly
    if told_at is None or change.effective_at < told_at + NOTICE_PERIOD:
        raise ControllerChangeEarly


class ControllerChangeMissing(NotFound):
    slug = "controller-change-not-found"
    title = "No such change of the controller"


class ControllerChangeOpen(Conflict):
    slug = "controller-change-open"
    title = "Another change of the controller is announced already"


class ControllerChangeOver(Conflict):
    slug = "controller-change-over"
    title = "This change of the controller was cancelled or is in effect"


class ControllerNoticeTooShort(Invalid):
    slug = "controller-notice-too-short"
    title = "Members are told of the new controller too late"

    def __init__(self) -> None:
        super().__init__(
            f"It can be in effect {NOTICE_PERIOD.days} days after the notice at the earliest."
        )


class ControllerUnchanged(Invalid):
    slug = "controller-unchanged"
    title = "This company is the controller already"


class ControllerChangeNeeded(Conflict):
    slug = "controller-change-needed"
    title = "Drivers consented to this company and to no other"

    def __init__(self) -> None:
        super().__init__(
            "Another business number is another company. Announce the change: members are told 30 "
            "days ahead."
        )


class ControllerChangeEarly(Conflict):
    slug = "controller-change-early"
    title = "The change of the controller is not due yet"
