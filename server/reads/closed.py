"""Comparing the reads that were closed with the ledger's entries that closed them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.ledger.model import Act, Entry, facts_text
from server.ledger.verify import Fault, Reason
from server.reads import store
from server.reads.model import ClosedBucket, set_hash


class ClosedReads:
    """The ledger's counterpart: each five minutes of reads, bound by the entry that closed them.

    Reads from before ``kept_since`` may be gone, five minutes at a time (None: none may).
    """

    def __init__(self, *, kept_since: datetime | None = None) -> None:
        self._kept_since = kept_since
        self._sets: set[bytes] = set()
        """Sets of drivers whose name was found right; many reads share one."""
        self.pruned = 0
        """How many entries close reads that are gone by age: their hash is all there is of them."""

    async def compare(
        self, conn: Connection, company_id: UUID, entries: Sequence[Entry]
    ) -> Fault | None:
        for entry in entries:
            if entry.act == Act.LOCATION_READ_BUCKET and not await self._is_kept(
                conn, company_id, entry
            ):
                return Fault(index=entry.index, reason=Reason.READS)
        return None

    async def end(self, conn: Connection, company_id: UUID) -> Fault | None:
        """Refuse reads that say they were closed by an entry that is none of theirs."""
        index = await store.misclosed(conn, company_id)
        return None if index is None else Fault(index=index, reason=Reason.READS)

    def remark(self) -> str | None:
        return f"reads of {self.pruned} pruned by age" if self.pruned else None

    async def _is_kept(self, conn: Connection, company_id: UUID, entry: Entry) -> bool:
        """Tell whether the reads are as the entry closed them, or gone because they are old."""
        bucket_at = ClosedBucket.began(entry.facts)
        if bucket_at is None:
            return False
        if await self._are_as_closed(conn, company_id, entry, bucket_at):
            return True
        # Asked only now: they may have gone by age while they were compared. Never only some.
        since = self._kept_since
        if since is None or bucket_at >= since or await store.rows(conn, company_id, bucket_at):
            return False
        self.pruned += 1
        return True

    async def _are_as_closed(
        self, conn: Connection, company_id: UUID, entry: Entry, bucket_at: datetime
    ) -> bool:
        rows = await store.rows(conn, company_id, bucket_at)
        if facts_text(ClosedBucket.of(bucket_at, rows).facts()) != entry.facts:
            return False
        new = {row.set_hash for row in rows} - self._sets
        sets = await store.sets(conn, company_id, new) if new else {}
        if any(set_hash(company_id, sets.get(name, ())) != name for name in new):
            return False
        self._sets |= new
        return True
