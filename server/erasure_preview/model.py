"""What an erasure would do to a driver's data, before anybody asks for it. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.erasure.model import kept_steps
from server.holds.model import Ground, Hold

LEDGER_ENTRIES: Final = "ledger_entries"
DELINKED: Final = frozenset(
    {
        "route",
        "customer_link",
        "disclosure",
        "incident",
        "incident_assessment",
        "incident_member",
    }
)
"""Tables whose rows go on without the driver."""


class Action(StrEnum):
    ERASE = "erase"
    DELINK = "delink"
    """What happened is kept, and not who did it."""
    RETAIN = "retain"


class Lost(StrEnum):
    """What the driver cannot do any more. The list is closed."""

    LOG_IN = "log_in"
    SHIFTS = "shifts"
    ROUTES = "routes"
    OWN_DATA = "own_data"
    NOTICES = "notices"
    CONSENTS = "consents"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many rows of the driver stand in a table, by what its comments say of it."""

    table: str
    category: str
    eraser: str
    rows: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What becomes of one category, or of a part of it."""

    code: str
    action: Action
    rows: int
    first_at: datetime | None = None
    last_at: datetime | None = None
    ground: Ground | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    route_id: UUID
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    lines: Sequence[Line]
    open_orders: Sequence[OpenOrder]
    answer_by: datetime
    """When silence approves a request that a driver makes now."""
    grace_s: int
    backups_gone_by: datetime


def lines_of(counted: Iterable[Counted], held: Collection[Hold]) -> list[Line]:
    """Return what becomes of each category; nothing of one of which there is nothing."""
    found: dict[tuple[str, Action, Ground | None, datetime | None], list[Counted]]
    found = defaultdict(list)
    for one in counted:
        if one.rows:
            found[_fate(one, held)].append(one)
    return [
        Line(
            code=code,
            action=action,
            ground=ground,
            until=until,
            rows=sum(one.rows for one in rows),
            first_at=min((one.first_at for one in rows if one.first_at), default=None),
            last_at=max((one.last_at for one in rows if one.last_at), default=None),
        )
        for (code, action, ground, until), rows in sorted(found.items(), key=_order)
    ]


def _fate(
    one: Counted, held: Collection[Hold]
) -> tuple[str, Action, Ground | None, datetime | None]:
    keeping = [hold for hold in held if one.eraser in kept_steps({hold.category})]
    if keeping:
        # The one that lasts longest.
        last = max(keeping, key=lambda hold: (hold.until is not None, hold.until))
        return one.category, Action.RETAIN, last.ground, last.until
    action = Action.DELINK if one.table in DELINKED else Action.ERASE
    return one.category, action, None, None


def _order(item: tuple[tuple[str, Action, Ground | None, datetime | None], object]) -> list[str]:
    return [str(part) for part in item[0]]
