"""What a look at positions is, as it is written down and bound into the ledger. Pure."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

import rfc8785

from server.ledger.model import Actor, Json, instant_text

# Each hash begins with what it is of: none of them can be taken for another.
_READ_SET: Final = b"jolda ledger read set v1\0"
_READ_BUCKET: Final = b"jolda ledger read bucket v1\0"

BUCKET: Final = timedelta(minutes=5)


class ReadPurpose(StrEnum):
    """Why somebody looks at a position: the consent that allows it, or the register."""

    DISPATCH_TRACKING = "dispatch_tracking"
    PLAN_FACT = "plan_fact"
    CUSTOMER_LINK = "customer_link"
    DISCLOSURE = "disclosure"
    """To give it to somebody outside: no consent has to allow it, but the register does."""


class Screen(StrEnum):
    """Where they look."""

    LIVE_MAP = "live_map"
    TRACK = "track"
    ROUTE_REPORT = "route_report"
    ALERTS = "alerts"
    """The list of alerts: those who are in it, and not where they are."""
    AUTOMATIC_REPORT = "automatic_report"
    """A report that the server makes by itself: of a route under way, or once it is over."""
    REPORT_SUMMARY = "report_summary"
    """Sums over the reports of many routes."""
    EXPORT = "export"
    """A track or a report as a file."""
    LINK = "link"
    AREA_SEARCH = "area_search"
    """Who was at a place: only those who were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A viewer on a screen, for a purpose."""

    company_id: UUID
    viewer: Actor
    purpose: ReadPurpose
    screen: Screen


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Somebody looked at a driver, as that driver is told."""

    bucket_at: datetime
    viewer_kind: str
    viewer_id: UUID
    viewer_member_id: UUID | None
    """None where no member looked, or one who was erased since."""
    purpose: str
    screen: str
    read_at: datetime
    """When they first did in these five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRow:
    """Somebody looked, in one bucket, for one purpose on one screen, at one set of drivers."""

    viewer_kind: str
    viewer_id: UUID
    """A pseudonym, or the id of an API token or link; of the company, where the server looked."""
    purpose: str
    screen: str
    set_hash: bytes
    read_at: datetime
    """When they first did."""

    @property
    def key(self) -> tuple[str, UUID, str, str, bytes]:
        return (self.viewer_kind, self.viewer_id, self.purpose, self.screen, self.set_hash)

    def canonical(self) -> bytes:
        return rfc8785.dumps(
            {
                "purpose": self.purpose,
                "read_at": instant_text(self.read_at),
                "screen": self.screen,
                "set": self.set_hash.hex(),
                "viewer_id": str(self.viewer_id),
                "viewer_kind": self.viewer_kind,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedBucket:
    """What the ledger keeps of five minutes of reads."""

    bucket_at: datetime
    rows: int
    hash: bytes

    @classmethod
    def of(cls, bucket_at: datetime, rows: Iterable[ReadRow]) -> Self:
        """Return the hash over every row, in an order that no database decides."""
        ordered = sorted(rows, key=lambda row: row.key)
        digest = hashlib.sha256(_READ_BUCKET + instant_text(bucket_at).encode())
        for row in ordered:
            digest.update(b"\n" + row.canonical())
        return cls(bucket_at=bucket_at, rows=len(ordered), hash=digest.digest())

    @staticmethod
    def began(facts: str) -> datetime | None:
        """Return which bucket the facts of an entry are of; None if they are of none."""
        try:
            began = datetime.fromisoformat(json.loads(facts)["bucket_at"])
        except (ValueError, TypeError, KeyError):
            return None
        return began if began.tzinfo is not None else None

    def facts(self) -> dict[str, Json]:
        return {
            "bucket_at": instant_text(self.bucket_at),
            "hash": self.hash.hex(),
            "rows": self.rows,
        }


def bucket_of(at: datetime) -> datetime:
    """Return when the five minutes began in which ``at`` lies."""
    return at - (at - datetime.fromtimestamp(0, UTC)) % BUCKET


def set_hash(company_id: UUID, drivers: Sequence[UUID]) -> bytes:
    """Return the name of a set of pseudonyms, which are given sorted."""
    digest = hashlib.sha256(_READ_SET + company_id.bytes)
    for driver in drivers:
        digest.update(driver.bytes)
    return digest.digest()
