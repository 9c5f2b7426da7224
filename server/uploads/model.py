"""Uploads as values: what a device sends, what is refused and why, what is answered."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from server.kit.errors import Unavailable
from server.tracking.model import Bytes, ChunkRow, Positions

UPLOAD_POSITIONS_MAX: Final = 10_000
CLOCK_OFFSET_MAX_S: Final = 120
TRANSIT_S_MAX: Final = 5
"""How long an upload may travel between ``sent_at`` and its receipt for its times to be certain."""


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


class UploadsBusy(Unavailable):
    """Nothing of the upload was acknowledged; the same upload may be sent again."""

    slug = "uploads-busy"
    title = "Positions cannot be stored just now"
    retry_after_s = 1.0


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


class Deposit(NamedTuple):
    """An upload, filtered and sealed under a belief that the storing statement checks."""

    company_id: UUID
    driver_id: UUID
    epoch: int
    rev: int
    credential_epoch: int
    key_epoch: int
    only_latest: bool
    """Keep nothing but the newest position: there is no consent to plan_fact."""
    stored_at: datetime
    rows: tuple[ChunkRow, ...]


class Receipt(NamedTuple):
    """What the storing statement said of one deposit."""

    allowed: bool
    """Whether the gate was open and the belief true; if not, nothing was stored."""
    new: tuple[bool, ...]
    """Of each row, whether it was not there yet (``only_latest``: whether it is the newest)."""
