"""What is kept of a person, by what the columns say of themselves. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from server.credentials.model import Role

_CLASS: Final = re.compile(r"class=personal/([a-z_]+) form=[a-z]+ retention=([a-z_]+)\b")
_YEAR: Final = timedelta(days=365)


class Why(StrEnum):
    """What something is kept for."""

    RUN_THE_ACCOUNT = "run_the_account"
    REACH_THE_PERSON = "reach_the_person"
    PROVE_CONSENT = "prove_consent"
    ORGANISE_WORK = "organise_work"
    DISPATCH_TRACKING = "dispatch_tracking"
    PLAN_FACT = "plan_fact"
    INFORM = "inform"
    ACCOUNTABILITY = "accountability"


class Basis(StrEnum):
    """What allows it."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_OBLIGATION = "legal_obligation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    why: Why
    basis: Basis
    seen_by: tuple[Role, ...]
    """Of the company's staff. Everybody sees their own."""


_STAFF: Final = (Role.DISPATCHER, Role.MAIN_USER)


def _ground(why: Why, basis: Basis, seen_by: tuple[Role, ...] = _STAFF) -> Ground:
    return Ground(why=why, basis=basis, seen_by=seen_by)


# By the category that a column's comment names; one that is missing here fails a test.
GROUNDS: Final[Mapping[str, Ground]] = MappingProxyType(
    {
        "identity": _ground(Why.RUN_THE_ACCOUNT, Basis.CONTRACT),
        "contact": _ground(Why.REACH_THE_PERSON, Basis.CONTRACT),
        "account": _ground(Why.RUN_THE_ACCOUNT, Basis.CONTRACT),
        "consent": _ground(Why.PROVE_CONSENT, Basis.LEGAL_OBLIGATION),
        "work": _ground(Why.ORGANISE_WORK, Basis.CONTRACT),
        "track": _ground(Why.PLAN_FACT, Basis.CONSENT),
        "live": _ground(Why.DISPATCH_TRACKING, Basis.CONSENT),
        "report": _ground(Why.PLAN_FACT, Basis.CONSENT),
        "plan": _ground(Why.ORGANISE_WORK, Basis.CONTRACT),
        "notice": _ground(Why.INFORM, Basis.LEGAL_OBLIGATION),
        "ledger": _ground(Why.ACCOUNTABILITY, Basis.LEGAL_OBLIGATION, ()),
        "disclosure": _ground(Why.ACCOUNTABILITY, Basis.LEGAL_OBLIGATION),
        "export": _ground(Why.INFORM, Basis.LEGAL_OBLIGATION, ()),
        "reads": _ground(Why.ACCOUNTABILITY, Basis.LEGAL_OBLIGATION, ()),
        "erasure": _ground(Why.ACCOUNTABILITY, Basis.LEGAL_OBLIGATION),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDays:
    """What the company chose; None: no time of its own."""

    track_days: int | None
    report_days: int | None
    plan_days: int | None

    def after(self, retention: str) -> timedelta | None:
        """Return how long what has this retention is kept; None: it ends with something else."""
        chosen = {
            "track_days": self.track_days,
            "alerts": self.track_days,
            "report_days": self.report_days,
            "plan_days": self.plan_days,
        }
        days = chosen.get(retention)
        if days is not None:
            return timedelta(days=days)
        return {
            "stop_events": _YEAR,
            "reads": _YEAR,
            "links": timedelta(days=30),
            "latest": timedelta(minutes=15),
            "contact_change": timedelta(days=1),
            "password_reset": timedelta(days=1),
            "exports": timedelta(days=7),
            "disclosures": 5 * _YEAR,
            "incidents": 5 * _YEAR,
        }.get(retention)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as the database's own catalogue has it."""

    table: str
    name: str
    comment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The rows of a table that name the person, and from when to when they are."""

    rows: int
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What of one category stands in one table."""

    category: str
    table: str
    columns: tuple[str, ...]
    retention: str
    kept_for: timedelta | None
    ground: Ground
    counted: Counted | None
    """None: no row of it names the person; it belongs to a row of another table that does."""


def personal(columns: Iterable[Column]) -> Mapping[tuple[str, str, str], list[str]]:
    """Return the personal columns by category, table and retention."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for one in columns:
        said = _CLASS.match(one.comment or "")
        if said is not None:
            found[said[1], one.table, said[2]].append(one.name)
    return found


def kept_of(
    columns: Iterable[Column], counted: Mapping[str, Counted], chosen: KeptDays
) -> list[Kept]:
    """Return what is kept, by category and table."""
    return [
        Kept(
            category=category,
            table=table,
            columns=tuple(names),
            retention=retention,
            kept_for=chosen.after(retention),
            ground=GROUNDS[category],
            counted=counted.get(table),
        )
        for (category, table, retention), names in sorted(personal(columns).items())
    ]
