"""Comparing consent records with the ledger's entries, and whose pseudonyms those name."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import rfc8785

from server.consent import record
from server.consent import service as consent
from server.consent.model import Consent, ConsentState
from server.erasure.model import Outcome, State
from server.kit.db import Connection
from server.ledger import service as ledger
from server.ledger.model import Act, Entry, Subject
from server.ledger.verify import Fault, Reason

PAGE: Final = 2_000
_ACTS: Final = {
    Act(f"consent_{state.value}"): state
    for state in ConsentState
    if state is not ConsentState.NOT_ASKED
}
_ERASURES: Final = tuple(
    act for act in Act if act == Act.MEMBER_ERASED or act.value.startswith("erasure_")
)
_DECIDED: Final = (State.GRACE, State.ERASING)
"""What a request begins with where asking for it decides it, with a grace and without."""
_ERASING: Final = (Outcome.APPROVE, Outcome.REFUSE_IN_PART)
_FIRST: Final = (-(2**63), UUID(int=0))


class ConsentRecords:
    """The ledger's counterpart: each consent record, bound by the entry that it names.

    Both ways: an entry has just its record, a record just its entry. Of people who were erased,
    or are being, as the ledger itself tells, only the commitment is left.
    """

    def __init__(self) -> None:
        self._after = _FIRST
        self._more = True
        self._page: list[tuple[int, UUID, Consent | None]] = []
        self._erased: dict[UUID | None, int] = {}
        """By pseudonym the first entry whose record was erased; the end tells whether rightly."""
        self._unbound = 0

    async def compare(
        self, conn: Connection, company_id: UUID, entries: Sequence[Entry]
    ) -> Fault | None:
        if not entries:
            return None
        named = await self._until(conn, company_id, entries[-1].index)
        drivers = {one.driver_id for rows in named.values() for one in rows if one is not None}
        known = await ledger.subjects(conn, company_id, drivers) if drivers else {}
        standing = {one.index: one for one in entries if one.act in _ACTS}
        absent: dict[int, bytes] = {}
        faults: list[Fault] = []
        for index in sorted(standing.keys() | named.keys()):
            entry, rows = standing.get(index), named.get(index, [])
            facts = {} if entry is None else _facts(entry.facts)
            commitment = _commitment(facts)
            if entry is not None and not rows:
                if commitment is not None:  # else it is older than records
                    absent[index] = commitment
                continue
            reason = _compared(entry, facts, rows, known)
            if reason is not None:
                faults.append(Fault(index=index, reason=reason))
        kept = await consent.commitments_kept(conn, company_id, absent.values()) if absent else ()
        for index, one in absent.items():
            if one in kept:
                self._erased.setdefault(standing[index].subject_id, index)
            else:
                faults.append(Fault(index=index, reason=Reason.CONSENT))
        return min(faults, key=lambda one: one.index, default=None)

    async def end(self, conn: Connection, company_id: UUID) -> Fault | None:
        """Refuse records that name no entry there is, and that were erased of who was not."""
        self._unbound = await consent.count_unbound_records(conn, company_id)
        for index, _, _ in self._page or await self._next(conn, company_id):
            return Fault(index=index, reason=Reason.CONSENT)
        leaving = await _leaving(conn, company_id) if self._erased else set()
        bad = [index for subject, index in self._erased.items() if subject not in leaving]
        return Fault(index=min(bad), reason=Reason.CONSENT) if bad else None

    def remark(self) -> str | None:
        return f"{self._unbound} consents older than records" if self._unbound else None

    async def _until(
        self, conn: Connection, company_id: UUID, last_index: int
    ) -> Mapping[int, list[Consent | None]]:
        """Take the records that name an entry up to that one, by the entry they name."""
        taken: dict[int, list[Consent | None]] = defaultdict(list)
        while page := self._page or await self._next(conn, company_id):
            self._page = [one for one in page if one[0] > last_index]
            for index, _, row in page:
                if index <= last_index:
                    taken[index].append(row)
            if self._page:
                break
        return taken

    async def _next(
        self, conn: Connection, company_id: UUID
    ) -> list[tuple[int, UUID, Consent | None]]:
        if not self._more:
            return []
        page = await consent.bound_records(conn, company_id, after=self._after, limit=PAGE)
        self._more = len(page) == PAGE
        if page:
            self._after = page[-1][:2]
        return page


async def _leaving(conn: Connection, company_id: UUID) -> set[UUID]:
    """Return by pseudonym who was erased or whose erasure is decided."""
    leaving: set[UUID] = set()
    for act, subject_id, text in await ledger.entries_of(conn, company_id, _ERASURES):
        facts = _facts(text)
        decided = facts.get("state") in _DECIDED or facts.get("outcome") in _ERASING
        if subject_id is None:
            continue
        # A main user refuses also what is in its grace.
        if act == Act.ERASURE_CANCELLED or facts.get("outcome") == Outcome.REFUSE:
            leaving.discard(subject_id)
        elif act == Act.MEMBER_ERASED or decided:
            leaving.add(subject_id)
    return leaving


def _compared(
    entry: Entry | None,
    facts: Mapping[str, Any],
    rows: Sequence[Consent | None],
    known: Mapping[UUID, Subject],
) -> Reason | None:
    """Return what is wrong between an entry and the records that name its place."""
    row = rows[0] if len(rows) == 1 else None
    if entry is None or row is None or not _is_as_written(entry, facts, row):
        return Reason.CONSENT
    subject = known.get(row.driver_id)
    if subject is None or subject.pseudonym != entry.subject_id:
        return Reason.PSEUDONYM
    return None


def _is_as_written(entry: Entry, facts: Mapping[str, Any], row: Consent) -> bool:
    if row.record is None or row.nonce is None:
        return False
    return (
        facts.get("commitment") == record.commitment(row.nonce, row.record).hex()
        and row.record_sha256 == record.digest(row.record)
        and _is_bound_row(facts, row)
        and (entry.act, facts.get("item"), facts.get("epoch"))
        == (f"consent_{row.state.value}", row.item.value, row.epoch)
    )


def _is_bound_row(facts: Mapping[str, Any], row: Consent) -> bool:
    if "row" in facts:
        return bool(facts["row"] == _row(row))
    # Entries of before the row was bound as well hold the record alone, which names its driver.
    return _facts(row.record or "").get("pii_principal_id") == str(row.driver_id)


def _row(row: Consent) -> str | None:
    try:
        return record.row_commitment(row).hex()
    except rfc8785.CanonicalizationError:
        return None


def _commitment(facts: Mapping[str, Any]) -> bytes | None:
    try:
        return bytes.fromhex(facts["commitment"])
    except (KeyError, TypeError, ValueError):
        return None


def _facts(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
