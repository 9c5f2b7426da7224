"""Single writes past every rule, as the database's owner can make them."""

from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.ledger import store
from server.ledger.model import (
    Act,
    ActorKind,
    Entry,
    Place,
    checkpoint_statement,
    genesis,
    link,
)
from tests.ledger.chains import Chain, Owner
from tests.world import NOW

FAR: Final = 1_000_000
READ_COLUMNS: Final = ("viewer_kind", "viewer_id", "purpose", "screen", "set_hash", "read_at")


async def entry_at(owner: Owner, chain: Chain, index: int) -> tuple[Entry, bytes]:
    return (await store.entries(owner, chain.company_id, after=index - 1, limit=1))[0]


async def hash_at(owner: Owner, chain: Chain, index: int) -> bytes:
    return genesis(chain.company_id) if index == 0 else (await entry_at(owner, chain, index))[1]


async def delete_entry(owner: Owner, chain: Chain, index: int) -> None:
    await owner.execute(
        "DELETE FROM ledger_entry WHERE company_id = $1 AND index = $2", chain.company_id, index
    )


async def append_in_bulk(owner: Owner, company_id: UUID, count: int) -> None:
    """Add entries as the service would, without its transaction for each."""
    head = await store.head(owner, company_id) or Place(index=0, hash=genesis(company_id))
    rows = []
    for index in range(head.index + 1, head.index + 1 + count):
        entry = Entry(
            company_id=company_id,
            index=index,
            recorded_at=NOW,
            act=Act.NOTICE_SENT.value,
            actor_kind=ActorKind.SYSTEM.value,
            actor_id=None,
            subject_id=None,
            detail_sealed=None,
            facts="{}",
        )
        head = Place(index=index, hash=link(head.hash, entry.digest()))
        rows.append((*(getattr(entry, name) for name in Entry.__slots__), head.hash))
    await owner.copy_records_to_table(
        "ledger_entry", records=rows, columns=[*Entry.__slots__, "hash"]
    )
    await owner.execute(
        "UPDATE ledger_head SET index = $2, hash = $3 WHERE company_id = $1",
        company_id,
        head.index,
        head.hash,
    )


async def shift_entries(owner: Owner, chain: Chain, first: int, *, by: int) -> None:
    """Move the entries from the first on; far away in between, so that no two ever meet."""
    for lowest, moved in ((first, FAR), (FAR, by - FAR)):
        await owner.execute(
            "UPDATE ledger_entry SET index = index + $3 WHERE company_id = $1 AND index >= $2",
            chain.company_id,
            lowest,
            moved,
        )


async def insert_entry(owner: Owner, entry: Entry, there: bytes) -> None:
    await owner.execute(
        "INSERT INTO ledger_entry (company_id, index, recorded_at, act, actor_kind, actor_id,"
        " subject_id, detail_sealed, facts, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        entry.company_id,
        entry.index,
        entry.recorded_at,
        entry.act,
        entry.actor_kind,
        entry.actor_id,
        entry.subject_id,
        entry.detail_sealed,
        entry.facts,
        there,
    )


async def forge_checkpoints(owner: Owner, chain: Chain, first: int) -> None:
    forger = Ed25519PrivateKey.generate()
    for one in await store.checkpoints(owner, chain.company_id):
        if one.index >= first:
            there = await hash_at(owner, chain, one.index)
            said = checkpoint_statement(chain.company_id, one.index, there, one.made_at)
            await owner.execute(
                "UPDATE ledger_checkpoint SET hash = $3, signature = $4"
                " WHERE company_id = $1 AND index = $2",
                chain.company_id,
                one.index,
                there,
                forger.sign(said),
            )


async def replace_read(
    owner: Owner, before: dict[str, object] | None, after: dict[str, object] | None
) -> None:
    if before is not None:
        await owner.execute(
            "DELETE FROM location_read WHERE company_id = $1 AND bucket_at = $2"
            " AND viewer_id = $3 AND set_hash = $4",
            *(before[name] for name in ("company_id", "bucket_at", "viewer_id", "set_hash")),
        )
    if after is not None:
        await owner.execute(
            "INSERT INTO location_read (company_id, bucket_at, viewer_kind, viewer_id, purpose,"
            " screen, set_hash, read_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            *(after[name] for name in ("company_id", "bucket_at", *READ_COLUMNS)),
        )
