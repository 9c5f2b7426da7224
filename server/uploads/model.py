"""Uploads as values: what a device sends, what is refused and why, what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from server.consent.model import ConsentItem, ConsentState
from server.gate.model import Gate
from server.kit.errors import TooMany
from server.tracking.model import Bytes, Positions

UPLOAD_POSITIONS_MAX: Final = 10_000
CLOCK_OFFSET_MAX_S: Final = 120
UPLOADS_MAX: Final = 4_096
"""Worked on at once in one process, from the proof of who sends them to their answer."""
BODIES_BYTES_MAX: Final = 128 * 1024 * 1024
"""All that those hold, as they are told to hold before they are read."""
DEVICE_UNITS_PS: Final = 50.0
"""What a device may upload for ever: an upload is a unit, and each further 4 KiB of it one more."""
DEVICE_UNITS_MAX: Final = 2_000.0
"""What a device may upload at once: three days of a phone that was out of reach."""
TRANSIT_S_MAX: Final = 5
"""How long an upload may travel between ``sent_at`` and its receipt for its times to be certain."""


TAKEN_BACK: Final = frozenset(
    {
        ConsentState.WITHDRAWN,
        ConsentState.EXPIRED,
        ConsentState.SUPERSEDED,
        ConsentState.INVALIDATED,
    }
)
"""Was given once: what the phone still holds rested on it, and is not to be sent any more."""


class RefusalReason(StrEnum):
    """Why a position was not kept. docs/reference/refusals.md explains each."""

    NO_CONSENT = "no_consent"
    ACCOUNT_INACTIVE = "account_inactive"
    CLOCK_WRONG = "clock_wrong"
    IN_FUTURE = "in_future"
    TOO_OLD = "too_old"
    BEFORE_CONSENT = "before_consent"
    OUTSIDE_WINDOW = "outside_window"
    SOURCE_NOT_COVERED = "source_not_covered"
    BACKGROUND_NOT_COVERED = "background_not_covered"
    NOT_KEPT = "not_kept"


class AppState(IntEnum):
    """What the app was to its user when it recorded. It decides, and is not kept."""

    UNKNOWN = 0
    FOREGROUND = 1
    BACKGROUND = 2


class ConsentAnswer(StrEnum):
    """What a phone is told about the driver's consent."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"
    NOT_GIVEN = "not_given"


def consent_answer(
    gate: Gate, cells: Mapping[ConsentItem, ConsentState], now: datetime
) -> ConsentAnswer:
    """Return what the driver answered to being recorded; ``cells`` if the gate lacks a consent."""
    if gate.is_consented:
        until = gate.consented_until
        return ConsentAnswer.GIVEN if until is None or now < until else ConsentAnswer.WITHDRAWN
    # What is missing was taken back in some way, or else it was never given.
    missing = [ConsentItem.LOCATION] if gate.location_since is None else []
    if not any((gate.dispatch_since, gate.plan_fact_since)):
        missing += [ConsentItem.DISPATCH_TRACKING, ConsentItem.PLAN_FACT]
    if any(cells[item] in TAKEN_BACK for item in missing):
        return ConsentAnswer.WITHDRAWN
    return ConsentAnswer.NOT_GIVEN


class TooManyUploads(TooMany):
    """The device sends more, or more often, than it may: nothing of the upload was looked at."""

    slug = "too-many-uploads"
    title = "This device uploads too much at once"

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = round(max(0.1, retry_after_s), 1)
        super().__init__()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Upload:
    """One request with positions, in whatever format it came."""

    positions: Positions
    batch_id: str | None = None
    """The client's own name for the batch; the same batch again is counted as a duplicate."""
    sent_at: datetime | None = None
    """The phone's clock when it sent; None where the format does not tell."""
    app_state: Bytes | None = None
    """Of each position an :class:`AppState`; None where the upload does not tell."""


class Refusal(NamedTuple):
    place: int
    """The position's index in the upload."""
    reason: RefusalReason


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAnswer:
    """What became of one upload."""

    accepted: int
    duplicate: int
    refused: tuple[Refusal, ...]
    consent: ConsentAnswer
    collect: bool
    """Whether the app should go on recording."""
    purge: bool
    """Whether the app should drop what it has not sent."""
