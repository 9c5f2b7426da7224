"""What a restore leaves in the key database: that nothing is served before it was reconciled.

Where `main` was restored and no act was written since its backup, its ledger ends where the key
database last heard of it. Nothing tells then that it is from before, and yet a log-out, or the end
of a shift, is no entry of the ledger and would be undone.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from server.journal import service as journal
from server.kit.db import Pool
from server.ledger.model import Place


async def mark_main(
    keys_pool: Pool, companies: Iterable[UUID], heads: Mapping[UUID, Place], *, now: datetime
) -> None:
    """Note that the `main` of these companies was restored, wherever their ledgers end."""
    for company_id in sorted({*companies, *heads}):
        head, known = heads.get(company_id), await journal.place(keys_pool, company_id)
        await journal.begin_restoration(
            keys_pool,
            company_id,
            restored_from=0 if head is None else head.index,
            known_until=0 if known is None else known.index,
            now=now,
        )


async def mark_keys(keys_pool: Pool, *, until: datetime, now: datetime) -> None:
    """Note that the key database was restored: its journal is whole up to ``until``, no further."""
    for company_id in await journal.companies(keys_pool):
        known = await journal.place(keys_pool, company_id)
        index = 0 if known is None else known.index
        await journal.begin_restoration(
            keys_pool,
            company_id,
            restored_from=index,
            known_until=index,
            journal_until=until,
            now=now,
        )
