"""A package of a driver's own data: how far it is, how long it is kept, who may fetch it. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.accounts.model import Locale
from server.export_files.writing import STEPS as FILES
from server.kit.errors import Conflict, Gone, NotFound, TooMany

KEPT: Final = timedelta(days=7)
"""From when it was asked for; then it is fetched by nobody, and removed."""
KEY_KEPT: Final = KEPT + timedelta(days=1)
"""What is sealed with the key of a day was asked for on it."""
LINK_LASTS: Final = timedelta(minutes=10)
ASKED_A_DAY_MAX: Final = 3
DAY: Final = timedelta(days=1)
RUN_LASTS: Final = timedelta(minutes=2)
"""So long nobody else takes over a package of which nothing was heard."""
RUNS_MAX: Final = 20
"""How often making one is begun: then it will never succeed, and somebody has to look."""
CHUNK_BYTES: Final = 256 * 1024
STEPS: Final = (*FILES, "manifest")


class State(StrEnum):
    MAKING = "making"
    READY = "ready"
    FAILED = "failed"
    """It was begun often, and never came to its end. Asking again makes another one."""
    EXPIRED = "expired"
    """Its time is over; it is never stored so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    export_id: UUID
    driver_id: UUID
    language: Locale
    state: State
    asked_at: datetime
    expires_at: datetime
    runs: int
    rows_done: int
    """Rows and positions that are written: a position counts once in each of three files."""
    size_bytes: int | None = None
    ready_at: datetime | None = None

    def state_at(self, now: datetime) -> State:
        return State.EXPIRED if now >= self.expires_at else self.state

    @property
    def file_name(self) -> str:
        """Return a name that tells the day and not the person."""
        return f"my-data_{self.asked_at:%Y-%m-%d}.zip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A package, and which of its steps are done."""

    export: Export
    steps_done: int

    @property
    def step(self) -> str | None:
        """Return the step that it is at; None where none is left."""
        return STEPS[self.steps_done] if self.steps_done < len(STEPS) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Lets whoever has the token fetch a package, once."""

    token: str = field(repr=False)
    """Shown once."""
    expires_at: datetime


class ExportMissing(NotFound):
    slug = "export-not-found"
    title = "No such package"


class ExportNotReady(Conflict):
    slug = "export-not-ready"
    title = "The package cannot be fetched"

    def __init__(self, state: State) -> None:
        why = {
            State.MAKING: "It is still being made.",
            State.FAILED: "It could not be made. Ask for another one.",
        }
        super().__init__(why.get(state, "Its time is over. Ask for another one."))


class ExportsTooMany(TooMany):
    slug = "exports-too-many"
    title = "No more packages today"

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"At most {ASKED_A_DAY_MAX} in 24 hours.")


class ExportLinkOver(Gone):
    slug = "export-link-over"
    title = "This link is good for nothing"

    def __init__(self) -> None:
        minutes = LINK_LASTS.total_seconds() / 60
        super().__init__(
            f"A link is good for one download, within {minutes:.0f} minutes. Make another one."
        )


class RunLost(Exception):
    """Somebody else makes the package meanwhile, or it is gone: nothing more may be written."""
