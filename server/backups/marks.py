"""What a restore leaves in the key database: that nothing is served before it was reconciled.

Where `main` was restored and no act was written since its backup, its ledger ends where the key
database last heard of it. Nothing tells then that it is from before, and yet a log-out, or the end
of a shift, is no entry of the ledger and would be undone.

So it is noted before anything is read, for a process may be killed just after that. The note about
`main` stands in the key database. Of the key database itself it cannot: what stands in it is what
was restored. Until it can, the comment on that database says so, which is in no dump.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from server.backups import keys_store, store
from server.journal import service as journal
from server.kit.db import Connection, Pool
from server.ledger.model import Place

_NOT_NOTED: Final = "jolda restore: not noted yet; as it was at "


async def mark_main(
    keys_pool: Pool, companies: Iterable[UUID], heads: Mapping[UUID, Place], *, now: datetime
) -> None:
    """Note that the `main` of these companies is, or was, restored, wherever their ledgers end."""
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


async def intend_keys(owner: Connection, *, until: datetime) -> None:
    """Say on a key database that is empty that it is restored, as it was at that time.

    Raises
    ------
    BackupRefused
    """
    _, others = _read(await store.comment(owner))
    await store.set_comment(owner, f"{_NOT_NOTED}{until.isoformat()}\n{others}".strip())


async def not_noted(keys: Connection) -> datetime | None:
    """Return as of when the key database was restored, where a crash kept that from its notes."""
    return _read(await store.comment(keys))[0]


async def note_keys(owner: Connection, keys_pool: Pool, *, now: datetime) -> bool:
    """Note what :func:`intend_keys` said, if that was not done yet. Idempotent.

    Raises
    ------
    BackupRefused
    """
    until, others = _read(await store.comment(owner))
    if until is None:
        return False
    await mark_keys(keys_pool, until=until, now=now)
    # The one that was backed up may still be there: this is not that.
    await keys_store.forget_installation(owner)
    await store.set_comment(owner, others)
    return True


def _read(comment: str) -> tuple[datetime | None, str]:
    """Return as of when it was restored and not noted, and what somebody else says there."""
    first, _, others = comment.partition("\n")
    if not first.startswith(_NOT_NOTED):
        return None, comment
    return datetime.fromisoformat(first.removeprefix(_NOT_NOTED)), others
