"""What a device shows its user and is allowed by it. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from server.accounts.model import Locale
from server.kit.errors import Refused
from server.shifts.model import ShiftState


class Permission(StrEnum):
    """What the phone's own switch for the location says."""

    GRANTED = "granted"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """The user of a device read this text of the device notice and said so, on that device."""

    device_id: UUID
    member_id: UUID
    edition: int
    language: Locale
    sha256: str
    acknowledged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeStanding:
    """Whether a device's user acknowledged what is in force, and how long that stays true."""

    acknowledged: bool
    until: datetime | None
    """When another edition comes into force; None: none is to come."""

    def is_over(self, at: datetime) -> bool:
        return self.until is not None and self.until <= at

    def holds(self, at: datetime) -> bool:
        """Tell whether positions of the device may be taken at ``at``."""
        return self.acknowledged and not self.is_over(at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """What became of the phone's switch."""

    permission: Permission
    changed_at: datetime
    shift: ShiftState


class NoticeRequired(Refused):
    slug = "notice-required"
    title = "The device notice has to be acknowledged first"

    def __init__(self) -> None:
        super().__init__(
            "Show the device notice that is in force and acknowledge it as the driver; then send "
            "the same positions again."
        )
