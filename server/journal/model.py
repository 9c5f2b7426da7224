"""Which acts take something away, and what is kept of them outside `main`. Pure."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from server.kit.errors import Unavailable
from server.ledger.model import Act, Entry

# What an old `main` must not undo: also that something is held, which it would erase.
# A name that was ever journalled keeps its meaning for good.
NEGATIVE: Final = frozenset(
    {
        Act.API_TOKEN_REVOKED,
        Act.ATTESTATION_DISPUTED,
        Act.COMPANY_CLOSED,
        Act.CONSENT_EXPIRED,
        Act.CONSENT_INVALIDATED,
        Act.CONSENT_SUPERSEDED,
        Act.CONSENT_WITHDRAWN,
        Act.DEVICE_REVOKED,
        Act.ERASURE_REQUESTED,
        Act.GUARDIAN_CONSENT_REVOKED,
        Act.HOLD_CHANGED,
        Act.LINK_REVOKED,
        Act.MEMBER_BLOCKED,
        Act.MEMBER_ERASED,
        Act.MEMBER_OFFBOARDED,
        Act.PERMISSION_DENIED,
        Act.PLAN_DAYS_SET,
        Act.REPORT_DAYS_SET,
        Act.PHONE_LOST,
        Act.SHIFT_ENDED_BY_OTHER,
        Act.TRACK_DAYS_SET,
        Act.TRACK_DELETED,
    }
)
# After any of these the driver is asked anew for everything: which consent it was is not kept.
ENDS_CONSENTS: Final = frozenset(
    {
        Act.CONSENT_EXPIRED,
        Act.CONSENT_INVALIDATED,
        Act.CONSENT_SUPERSEDED,
        Act.CONSENT_WITHDRAWN,
        Act.GUARDIAN_CONSENT_REVOKED,
    }
)
_REFERENCES: Final = ("device_id", "api_token_id", "link_id", "hold_id")
_PLACED: Final = "placed"
"""What an entry's facts call the thing, no person, that it is of."""
DAYS: Final = {
    Act.PLAN_DAYS_SET: "plan_days",
    Act.REPORT_DAYS_SET: "report_days",
    Act.TRACK_DAYS_SET: "track_days",
}
"""What an entry's facts call the days for which something is kept from then on."""
RESUMES_AFTER: Final = 100_000
"""So far behind the last known entry a restored ledger goes on: what was written in the minute
before the loss, which nobody knows of, is never given the same index again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeAct:
    """An act that took something away, without anything of a person."""

    index: int
    """Of its entry in the company's ledger."""
    act: Act
    subject_id: UUID | None
    """A pseudonym of the ledger."""
    reference_id: UUID | None
    """Of the device, API token or link that was revoked, or of the hold."""
    days: int | None = None
    """For how many days something is kept; None: it is no such act, or nothing is kept."""
    recorded_at: datetime
    since: datetime | None = None
    """Of a track that was deleted: the span, half open."""
    until: datetime | None = None
    """And of a hold that was placed: its date."""
    category: str | None = None
    """Of a hold that was placed: what it keeps, and why."""
    ground: str | None = None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        facts = json.loads(entry.facts)
        since = facts["from"] if entry.act == Act.TRACK_DELETED else None
        until = facts["to"] if entry.act == Act.TRACK_DELETED else None
        held = {}
        if entry.act == Act.HOLD_CHANGED and facts["state"] == _PLACED:
            held, until = facts, facts["until"]
        reference = next((facts[name] for name in _REFERENCES if name in facts), None)
        act = Act(entry.act)
        return cls(
            index=entry.index,
            act=act,
            subject_id=entry.subject_id,
            reference_id=None if reference is None else UUID(reference),
            days=facts.get(DAYS[act]) if act in DAYS else None,
            recorded_at=entry.recorded_at,
            since=None if since is None else datetime.fromisoformat(since),
            until=None if until is None else datetime.fromisoformat(until),
            category=held.get("category"),
            ground=held.get("ground"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """A `main` that was restored from before."""

    restored_from: int
    """The last entry of the ledger that was restored; 0: it had none."""
    known_until: int
    """The last entry that the key database had heard of: it and those between are lost."""
    resumes_at: int
    """The index of the entry that says so."""
    begun_at: datetime
    ended_at: datetime | None = None
    """When everything was taken away again; None: not yet."""
    journal_until: datetime | None = None
    """Up to when the journal is whole; None: to the end. Set where it was restored as well."""

    @property
    def facts(self) -> dict[str, int]:
        """Return what the ledger's own entry says of it."""
        return {"restored_from": self.restored_from, "known_until": self.known_until}

    def moved(self, *, restored_from: int, known_until: int) -> Self:
        """Return what it is where yet another backup was restored before the ledger went on."""
        known_until = max(known_until, self.known_until, restored_from)
        return replace(self, restored_from=restored_from, known_until=known_until)

    def is_overtaken(self, *, head: int, known_until: int) -> bool:
        """Tell whether the ledger went on, was heard of there, and was then restored once more.

        Its index is taken: another entry in that place would be another history.
        """
        return head < self.resumes_at <= known_until


class StopUnconfirmed(Unavailable):
    """Unlike other outages: what was asked for is done, and stays so."""

    slug = "stop-unconfirmed"
    title = "Stopped; the confirmation is still pending"
    retry_after_s = 5.0

    def __init__(self) -> None:
        super().__init__(
            "It is done and in force. Only that no backup undoes it could not be made sure of "
            "yet; that is tried again by itself. To ask again changes nothing."
        )
