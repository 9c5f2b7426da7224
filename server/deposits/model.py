"""What is put down of an upload: sealed rows, and what the storing statement says of them."""

import random
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from server.kit.errors import Unavailable
from server.tracking.model import ChunkRow

RETRY_S_MIN: Final = 1.0
RETRY_SPREAD_S: Final = 5.0
RETRY_S_MAX: Final = 30.0


class UploadsBusy(Unavailable):
    """Nothing of the upload was acknowledged; the same upload may be sent again."""

    slug = "uploads-busy"
    title = "Positions cannot be stored just now"

    def __init__(self, *, failing_s: float = 0.0) -> None:
        """Say a time to come again that is not everybody's.

        The longer nothing could be stored, the later and the wider apart.
        """
        most_s = min(max(RETRY_SPREAD_S, failing_s), RETRY_S_MAX)
        self.retry_after_s = round(random.uniform(RETRY_S_MIN, most_s), 1)  # noqa: S311 - no secret
        super().__init__()


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
