"""Going over a company's chain from its first entry, and naming the first that is not as written.

Little is held but the checkpoints and one page of entries; the chain may grow meanwhile. What other
features keep and an entry binds is compared by them: each brings a :class:`Counterpart`.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol
from uuid import UUID

from server.kit.db import Connection
from server.ledger import store
from server.ledger.model import Act, Checkpoint, Entry, Place, genesis, link
from server.vault.model import LedgerWitness

PAGE: Final = 2_000


class Reason(StrEnum):
    GAP = "gap"
    CHANGED = "changed"
    ORDER = "order"
    TRUNCATED = "truncated"
    SURPLUS = "surplus"
    HEAD = "head"
    FORKED = "forked"
    CHECKPOINT = "checkpoint"
    READS = "reads"
    CONSENT = "consent"
    PSEUDONYM = "pseudonym"


WORDS: Final[Mapping[Reason, str]] = {
    Reason.GAP: "the entry is missing",
    Reason.CHANGED: "the entry is not what was hashed",
    Reason.ORDER: "the entries from here on do not stand where they were written",
    Reason.TRUNCATED: "entries from here on are missing at the end",
    Reason.SURPLUS: "entries from here on are not counted by the head",
    Reason.HEAD: "the head has another hash than this last entry",
    Reason.FORKED: "this is another history than the one that was signed",
    Reason.CHECKPOINT: "the checkpoint at this entry is not signed by us",
    Reason.READS: "the reads of locations that this entry closed are not those there were",
    Reason.CONSENT: "the consent record of this entry is not the one that was written",
    Reason.PSEUDONYM: "whoever this consent is of has another pseudonym now",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    index: int
    """Of the entry; of one that is not there, if something says that there is one."""
    reason: Reason


class Counterpart(Protocol):
    """Rows of another feature that entries bind: compared once, from the first entry on."""

    async def compare(
        self, conn: Connection, company_id: UUID, entries: Sequence[Entry]
    ) -> Fault | None:
        """Compare with the next entries, which are as written; return the first that differs."""

    async def end(self, conn: Connection, company_id: UUID) -> Fault | None:
        """Compare what was bound to no entry so far; nothing comes after the last one."""

    def remark(self) -> str | None:
        """Return what a person should know although it is no fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found. ``first_bad_index`` and ``reason`` are None where all is as written."""

    entries: int
    """How many stand in the chain."""
    signed_until: int
    """The last entry that a signature, or the key database, confirms; before anything bad."""
    remarks: tuple[str, ...] = ()
    """What is no fault and was not compared: in words, as they follow "sound"."""
    first_bad_index: int | None = None
    reason: Reason | None = None

    @property
    def sound(self) -> bool:
        return self.reason is None


class _Broken(Exception):
    def __init__(self, index: int, reason: Reason) -> None:
        self.fault = Fault(index=index, reason=reason)
        super().__init__(reason)


async def verify(
    conn: Connection,
    company_id: UUID,
    *,
    public_keys: Mapping[UUID, bytes],
    witness: LedgerWitness | None = None,
    counterparts: Sequence[Counterpart] = (),
    resumed: Mapping[int, str] = MappingProxyType({}),
) -> Verdict:
    """Recompute every hash, and compare head, checkpoints, the witness and all counterparts.

    ``public_keys`` are those that sign checkpoints, ``witness`` is what the key database knows;
    read it before this begins. Counterparts are for this one walk; where people may be acting
    meanwhile, the transaction sees one moment only. Of a whole history that was written anew, only
    the first signed place can be named: it began after ``signed_until``.

    ``resumed`` are the facts of the entries, by index, with which the chain went on after a backup
    was restored, as the key database knows them: no other entry may leave a gap before it.
    """
    # In this order, what is read first is never ahead of what is read after it.
    signed = {one.index: one for one in await store.checkpoints(conn, company_id)}
    head, last_index = await store.ends(conn, company_id)
    check = _Check(conn, company_id, public_keys, signed, witness, counterparts, resumed)
    fault = None
    try:
        await check.chain(last_index)
        check.end(head or Place(index=0, hash=genesis(company_id)))
        await check.counterparts_end()
    except _Broken as broken:
        fault = broken.fault
    return Verdict(
        entries=last_index - check.skipped,
        signed_until=check.signed_until(fault),
        remarks=(
            *check.remarks,
            *(one for part in counterparts if (one := part.remark()) is not None),
        ),
        first_bad_index=None if fault is None else fault.index,
        reason=None if fault is None else fault.reason,
    )


class _Check:
    """One walk along one chain; raises :class:`_Broken` at the first thing that is wrong."""

    def __init__(
        self,
        conn: Connection,
        company_id: UUID,
        public_keys: Mapping[UUID, bytes],
        signed: dict[int, Checkpoint],
        witness: LedgerWitness | None,
        counterparts: Sequence[Counterpart],
        resumed: Mapping[int, str],
    ) -> None:
        self._conn = conn
        self._company_id = company_id
        self._public_keys = public_keys
        self._signed = signed
        self._witness = witness
        self._counterparts = counterparts
        self._at = Place(index=0, hash=genesis(company_id))
        self._resumed = resumed
        self._confirmed: list[int] = []
        self.skipped = 0
        """How many indexes have no entry, because a backup was restored."""
        self.remarks: list[str] = []

    def signed_until(self, fault: Fault | None) -> int:
        """Return the last place that was confirmed, before the fault."""
        return max(
            (one for one in self._confirmed if fault is None or one < fault.index), default=0
        )

    async def chain(self, last_index: int) -> None:
        async for page in self._pages(last_index):
            followed: list[Entry] = []
            broken: Fault | None = None
            try:
                for entry, there in page:
                    await self._follow(entry, there)
                    followed.append(entry)
            except _Broken as found:
                broken = found.fault
            # What an entry before the broken one binds may be the first that is bad.
            compared = [
                await one.compare(self._conn, self._company_id, followed)
                for one in self._counterparts
            ]
            _raise_first([broken, *compared])
        if self._at.index < last_index:
            raise _Broken(self._at.index + 1, Reason.GAP)

    def end(self, head: Place) -> None:
        """Compare the end that was reached with what else says where it is."""
        known = max((*self._signed, head.index, self._witness.index if self._witness else 0))
        if known > self._at.index:
            raise _Broken(self._at.index + 1, Reason.TRUNCATED)
        if head.index < self._at.index:
            raise _Broken(head.index + 1, Reason.SURPLUS)
        if head.hash != self._at.hash:
            raise _Broken(max(head.index, 1), Reason.HEAD)

    async def counterparts_end(self) -> None:
        _raise_first([await one.end(self._conn, self._company_id) for one in self._counterparts])

    async def _pages(self, last_index: int) -> AsyncGenerator[list[tuple[Entry, bytes]]]:
        after = 0
        while after < last_index:
            page = await store.entries(self._conn, self._company_id, after=after, limit=PAGE)
            yield [one for one in page if one[0].index <= last_index]
            if len(page) < PAGE:
                return
            after = page[-1][0].index

    async def _follow(self, entry: Entry, there: bytes) -> None:
        """Go one entry on, if it stands where it was written."""
        index = self._at.index + 1
        if entry.index != index:
            if not self._goes_on_at(entry):
                raise _Broken(index, Reason.GAP)
            self.remarks.append(f"entries from {index} on were lost to a restored backup")
            self.skipped += entry.index - index
        digest = _digest(entry)
        if digest is None:
            raise _Broken(index, Reason.CHANGED)
        chain = link(self._at.hash, digest)
        if chain != there:
            raise await self._misplaced(entry, there)
        self._at = Place(index=entry.index, hash=chain)
        self._confirm()

    def _goes_on_at(self, entry: Entry) -> bool:
        """Tell whether the chain goes on here after a backup was restored, and the entry says so.

        A hole that somebody cut is none: the key database knows of no such entry, or of one that
        names another place before it.
        """
        return (
            entry.index > self._at.index
            and entry.act == Act.RESTORED
            and self._resumed.get(entry.index) == entry.facts
            and json.loads(entry.facts)["restored_from"] == self._at.index
        )

    def _confirm(self) -> None:
        """Compare the chain here with what was signed here, or with the witness."""
        index = self._at.index
        signed = self._signed.get(index)
        if signed is not None:
            if not signed.is_signed(self._public_keys):
                raise _Broken(index, Reason.CHECKPOINT)
            if signed.hash != self._at.hash:
                raise _Broken(index, Reason.FORKED)
            self._confirmed.append(index)
        if self._witness is not None and self._witness.index == index:
            if self._witness.hash != self._at.hash:
                raise _Broken(index, Reason.FORKED)
            self._confirmed.append(index)

    async def _misplaced(self, entry: Entry, there: bytes) -> _Broken:
        """Tell whether the entry is whole but stands elsewhere than it was written.

        Its own hash fits the place it came from, after the hash that stands before that place;
        or on it, where the entries from there on were moved up or two neighbours changed places.
        """
        before = genesis(self._company_id)
        after = 0
        while page := await store.hashes(self._conn, self._company_id, after=after, limit=PAGE):
            for place in page:
                digest = _digest(replace(entry, index=place.index))
                if digest is not None and there in {link(before, digest), link(place.hash, digest)}:
                    # Before here all fits: an entry from there was copied, or another pushed in.
                    copied = place.hash == there
                    first = entry.index if copied else min(entry.index, place.index)
                    return _Broken(first, Reason.ORDER)
                before = place.hash
            after = page[-1].index
        return _Broken(entry.index, Reason.CHANGED)


def _raise_first(faults: Sequence[Fault | None]) -> None:
    found = [one for one in faults if one is not None]
    if found:
        first = min(found, key=lambda one: one.index)
        raise _Broken(first.index, first.reason)


def _digest(entry: Entry) -> bytes | None:
    """Return the entry's hash; None of one that cannot ever have been written."""
    try:
        return entry.digest()
    except (TypeError, ValueError, AttributeError, OverflowError):
        return None
