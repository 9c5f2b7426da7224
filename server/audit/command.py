"""``jolda ledger verify``: one line for each company."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from server.audit.consents import ConsentRecords
from server.journal import service as journal
from server.kit import db
from server.kit.db import Pool
from server.ledger.model import facts_text
from server.ledger.verify import WORDS, Counterpart, Verdict, verify
from server.reads.closed import ClosedReads
from server.reads.retention import reads_kept_since
from server.vault.service import Vault

SOUND: Final = 0
BROKEN: Final = 1


async def verify_all(
    pool: Pool,
    keys_pool: Pool,
    vault: Vault,
    companies: Sequence[UUID],
    *,
    say: Callable[[str], None],
    now: datetime,
) -> int:
    """Go over the ledger of each company and tell what was found; return the exit status."""
    status = SOUND
    for company_id in companies:
        witness = await vault.witness(company_id)
        restored = await journal.restorations(keys_pool, company_id)
        async with db.tenant(pool, company_id, readonly=True) as conn:
            # What an erasure removes and what it writes down are seen together, or neither.
            await db.one_snapshot(conn)
            verdict = await verify(
                conn,
                company_id,
                public_keys=vault.public_keys(),
                witness=witness,
                counterparts=counterparts(now),
                resumed={one.resumes_at: facts_text(one.facts) for one in restored},
            )
        say(sentence(company_id, verdict))
        if not verdict.sound:
            status = BROKEN
    return status


def counterparts(now: datetime) -> tuple[Counterpart, ...]:
    """Return all that the ledger binds, to compare in one walk along one chain."""
    return ClosedReads(kept_since=reads_kept_since(now)), ConsentRecords()


def sentence(company_id: UUID, verdict: Verdict) -> str:
    """Return what a person reads of one company."""
    signed = f"signed up to {verdict.signed_until}" if verdict.signed_until else "nothing signed"
    if verdict.reason is None:
        told = ", ".join((f"{verdict.entries} entries", signed, *verdict.remarks))
        return f"{company_id}: sound, {told}."
    return (
        f"{company_id}: BROKEN at entry {verdict.first_bad_index}: {WORDS[verdict.reason]} "
        f"({verdict.reason}; {verdict.entries} entries, {signed})."
    )
