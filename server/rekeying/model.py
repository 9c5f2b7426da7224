"""One exchange of every key above the persons' own: how far it is, and when one is due. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

SETTLES: Final = timedelta(minutes=2)
"""So long both peppers are known: every process has heard of the new one by then, and whatever was
indexed by the old one is committed."""
AT_LEAST_EVERY: Final = timedelta(hours=24)
"""Keys of months and days are destroyed without anybody being erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekeying:
    """Each time is None until that was done."""

    rekeying_id: UUID
    begun_at: datetime
    exchanged_at: datetime | None = None
    """The old pepper of the log-in index was destroyed."""
    wrapped_at: datetime | None = None
    """Every key was wrapped anew."""
    companies: int | None = None
    keys: int | None = None
    ended_at: datetime | None = None
    """The KEK before was destroyed: copies of the key database from before are closed for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for the next exchange, and when the last one was."""

    destroyed: int
    """Subjects whose keys were destroyed since the last one began."""
    last: Rekeying | None
    opened_at: datetime
    """When the oldest pepper was made: what was destroyed since is in no copy from before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the key database stands. Nothing in it is secret or of a person."""

    kek_id: bytes | None
    """None: nobody ever opened it."""
    peppers: int
    companies: int
    keys: Mapping[str, int]
    """By category."""
    destroyed: int
    last: Rekeying | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What in the key database was changed or moved, so that it cannot be unwrapped."""

    companies: tuple[UUID, ...]
    """Whose own key it is: none of their data keys can be unwrapped."""
    data_keys: Mapping[UUID, int]
    """How many of each other company."""
    peppers: int
    signing_keys: int

    def __bool__(self) -> bool:
        return bool(self.companies or self.data_keys or self.peppers or self.signing_keys)


def is_due(waiting: Waiting, *, every: timedelta, now: datetime) -> bool:
    """Tell whether an exchange begins now, if none is under way.

    ``every`` is the least time between two, for the sake of who keeps copies of the KEK.
    """
    since = now - (waiting.opened_at if waiting.last is None else waiting.last.begun_at)
    if waiting.destroyed > 0 and (waiting.last is None or since >= every):
        return True
    # A clock that was set back tells nothing: one exchange, and there is a time to count from.
    return since >= AT_LEAST_EVERY or since < timedelta(0)


def is_settled(current: Rekeying, now: datetime) -> bool:
    """Tell whether every process knows the new pepper.

    A clock that was set back by more than that does not hold the exchange up: each process asks
    every 20 seconds, and a log-in that was indexed by the old pepper all the same is found again
    after the next exchange.
    """
    return abs(now - current.begun_at) >= SETTLES
