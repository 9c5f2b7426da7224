"""``jolda ledger verify``: one line for each company."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from server.kit import db
from server.kit.db import Pool
from server.ledger.retention import reads_kept_since
from server.ledger.verify import WORDS, Verdict, verify
from server.vault.service import Vault

SOUND: Final = 0
BROKEN: Final = 1


async def verify_all(
    pool: Pool,
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
        async with db.tenant(pool, company_id, readonly=True) as conn:
            verdict = await verify(
                conn,
                company_id,
                public_keys=vault.public_keys(),
                witness=witness,
                reads_kept_since=reads_kept_since(now),
            )
        say(sentence(company_id, verdict))
        if not verdict.sound:
            status = BROKEN
    return status


def sentence(company_id: UUID, verdict: Verdict) -> str:
    """Return what a person reads of one company."""
    signed = f"signed up to {verdict.signed_until}" if verdict.signed_until else "nothing signed"
    if verdict.reason is None:
        pruned = f", reads of {verdict.pruned} pruned by age" if verdict.pruned else ""
        return f"{company_id}: sound, {verdict.entries} entries, {signed}{pruned}."
    return (
        f"{company_id}: BROKEN at entry {verdict.first_bad_index}: {WORDS[verdict.reason]} "
        f"({verdict.reason}; {verdict.entries} entries, {signed})."
    )
