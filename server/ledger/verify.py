"""Going over a company's chain from its first entry, and naming the first that is not as written.

Nothing is held but the checkpoints and one page of entries; the chain may grow meanwhile.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.kit.db import Connection
from server.ledger import read_store, store
from server.ledger.model import (
    Act,
    Checkpoint,
    ClosedBucket,
    Entry,
    Place,
    facts_text,
    genesis,
    link,
    set_hash,
)
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
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found. ``first_bad_index`` and ``reason`` are None where all is as written."""

    entries: int
    """How many stand in the chain."""
    signed_until: int
    """The last entry that a signature, or the key database, confirms; before anything bad."""
    pruned: int = 0
    """How many entries close reads that are gone by age: their hash is all there is of them."""
    first_bad_index: int | None = None
    reason: Reason | None = None

    @property
    def sound(self) -> bool:
        return self.reason is None


class _Broken(Exception):
    def __init__(self, index: int, reason: Reason) -> None:
        self.index = index
        self.reason = reason
        super().__init__(reason)


async def verify(
    conn: Connection,
    company_id: UUID,
    *,
    public_keys: Mapping[UUID, bytes],
    witness: LedgerWitness | None = None,
    reads_kept_since: datetime | None = None,
) -> Verdict:
    """Recompute every hash, and compare head, checkpoints, closed reads and the witness.

    ``public_keys`` are those that sign checkpoints, ``witness`` is what the key database knows;
    read it before this begins. Reads from before ``reads_kept_since`` may be gone, five minutes
    at a time (None: none may). Of a whole history that was written anew, only the first signed
    place can be named: it began after ``signed_until``.
    """
    # In this order, what is read first is never ahead of what is read after it.
    signed = {one.index: one for one in await store.checkpoints(conn, company_id)}
    head, last_index = await store.ends(conn, company_id)
    check = _Check(conn, company_id, public_keys, signed, witness, reads_kept_since)
    try:
        await check.chain(last_index)
        await check.buckets(last_index)
        check.end(head or Place(index=0, hash=genesis(company_id)))
    except _Broken as broken:
        return Verdict(
            entries=last_index,
            signed_until=check.signed_until,
            pruned=check.pruned,
            first_bad_index=broken.index,
            reason=broken.reason,
        )
    return Verdict(entries=last_index, signed_until=check.signed_until, pruned=check.pruned)


class _Check:
    """One walk along one chain; raises :class:`_Broken` at the first thing that is wrong."""

    def __init__(
        self,
        conn: Connection,
        company_id: UUID,
        public_keys: Mapping[UUID, bytes],
        signed: dict[int, Checkpoint],
        witness: LedgerWitness | None,
        reads_kept_since: datetime | None,
    ) -> None:
        self._conn = conn
        self._company_id = company_id
        self._public_keys = public_keys
        self._signed = signed
        self._witness = witness
        self._reads_kept_since = reads_kept_since
        self._at = Place(index=0, hash=genesis(company_id))
        self._sets: set[bytes] = set()
        """Sets of drivers whose name was found right; many reads share one."""
        self.signed_until = 0
        self.pruned = 0

    async def chain(self, last_index: int) -> None:
        async for entry, there in self._entries(last_index):
            index = self._at.index + 1
            if entry.index != index:
                raise _Broken(index, Reason.GAP)
            digest = _digest(entry)
            if digest is None:
                raise _Broken(index, Reason.CHANGED)
            chain = link(self._at.hash, digest)
            if chain != there:
                raise await self._misplaced(entry, there)
            self._at = Place(index=index, hash=chain)
            self._confirm()
            if entry.act == Act.LOCATION_READ_BUCKET:
                await self._reads(entry)
        if self._at.index < last_index:
            raise _Broken(self._at.index + 1, Reason.GAP)

    async def buckets(self, last_index: int) -> None:
        """Refuse reads that say they were closed by an entry that is none of theirs."""
        found = await read_store.misclosed(self._conn, self._company_id, last_index)
        if found is not None:
            raise _Broken(found, Reason.READS)

    def end(self, head: Place) -> None:
        """Compare the end that was reached with what else says where it is."""
        known = max((*self._signed, head.index, self._witness.index if self._witness else 0))
        if known > self._at.index:
            raise _Broken(self._at.index + 1, Reason.TRUNCATED)
        if head.index < self._at.index:
            raise _Broken(head.index + 1, Reason.SURPLUS)
        if head.hash != self._at.hash:
            raise _Broken(max(head.index, 1), Reason.HEAD)

    async def _entries(self, last_index: int) -> AsyncGenerator[tuple[Entry, bytes]]:
        after = 0
        while after < last_index:
            page = await store.entries(self._conn, self._company_id, after=after, limit=PAGE)
            for entry, there in page:
                if entry.index > last_index:
                    return
                yield entry, there
            if len(page) < PAGE:
                return
            after = page[-1][0].index

    def _confirm(self) -> None:
        """Compare the chain here with what was signed here, or with the witness."""
        index = self._at.index
        signed = self._signed.get(index)
        if signed is not None:
            if not signed.is_signed(self._public_keys):
                raise _Broken(index, Reason.CHECKPOINT)
            if signed.hash != self._at.hash:
                raise _Broken(index, Reason.FORKED)
            self.signed_until = index
        if self._witness is not None and self._witness.index == index:
            if self._witness.hash != self._at.hash:
                raise _Broken(index, Reason.FORKED)
            self.signed_until = index

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

    async def _reads(self, entry: Entry) -> None:
        """Compare the reads that were closed with the hash that the entry has of them."""
        bucket_at = ClosedBucket.began(entry.facts)
        if bucket_at is None:
            raise _Broken(entry.index, Reason.READS)
        if await self._are_as_closed(entry, bucket_at):
            return
        # Asked only now: they may have gone by age while they were compared. Never only some.
        since = self._reads_kept_since
        if (
            since is None
            or bucket_at >= since
            or await read_store.rows(self._conn, self._company_id, bucket_at)
        ):
            raise _Broken(entry.index, Reason.READS)
        self.pruned += 1

    async def _are_as_closed(self, entry: Entry, bucket_at: datetime) -> bool:
        rows = await read_store.rows(self._conn, self._company_id, bucket_at)
        if facts_text(ClosedBucket.of(bucket_at, rows).facts()) != entry.facts:
            return False
        new = {row.set_hash for row in rows} - self._sets
        sets = await read_store.sets(self._conn, self._company_id, new) if new else {}
        if any(set_hash(self._company_id, sets.get(name, ())) != name for name in new):
            return False
        self._sets |= new
        return True


def _digest(entry: Entry) -> bytes | None:
    """Return the entry's hash; None of one that cannot ever have been written."""
    try:
        return entry.digest()
    except (TypeError, ValueError, AttributeError, OverflowError):
        return None
