"""What somebody with every right on the database may do to a ledger, and what must be said then.

Each changes one thing in the running transaction and tells the first index that is bad by it.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID, uuid4

from server.ledger.model import link
from server.ledger.verify import Reason
from tests.ledger.by_hand import (
    FAR,
    READ_COLUMNS,
    delete_entry,
    entry_at,
    forge_checkpoints,
    hash_at,
    insert_entry,
    replace_read,
    shift_entries,
)
from tests.ledger.chains import CLOSED_AT, RECORDED, Chain, Owner

COLUMNS: Final = (
    "recorded_at",
    "act",
    "actor_kind",
    "actor_id",
    "subject_id",
    "detail_sealed",
    "facts",
    "hash",
)
CHECKPOINT_COLUMNS: Final = ("hash", "made_at", "key_id", "signature")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    index: int
    reasons: frozenset[Reason]


Tamper: TypeAlias = Callable[[Owner, Chain, random.Random], Awaitable[Expected]]


def bad(index: int, *reasons: Reason) -> Expected:
    return Expected(index=index, reasons=frozenset(reasons))


def changed(value: object, rng: random.Random) -> object:
    """Return the value with one bit of one of its bytes turned, or one of its letters changed."""
    match value:
        case bytes():
            place = rng.randrange(len(value))
            turned = value[place] ^ 1 << rng.randrange(8)
            return value[:place] + bytes([turned]) + value[place + 1 :]
        case str():
            place = rng.randrange(len(value))
            letter = chr(ord(value[place]) ^ 1)
            return value[:place] + letter + value[place + 1 :]
        case UUID():
            return UUID(int=value.int ^ 1 << rng.randrange(128))
        case datetime():
            return value + timedelta(microseconds=rng.choice((-1, 1)) * 2 ** rng.randrange(40))
        case _:
            raise TypeError(type(value).__name__)


async def flip(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Change one byte of one column of one entry; make what is there NULL, or the other way."""
    index = rng.randint(1, chain.last)
    column = rng.choice(COLUMNS)
    value = await owner.fetchval(
        f"SELECT {column} FROM ledger_entry WHERE company_id = $1 AND index = $2",  # noqa: S608 - our own names
        chain.company_id,
        index,
    )
    after: object
    if value is None:
        after = b"x" if column == "detail_sealed" else uuid4()
    elif column in {"actor_id", "subject_id", "detail_sealed"} and rng.random() < 0.1:
        after = None
    else:
        after = changed(value, rng)
    await owner.execute(
        f"UPDATE ledger_entry SET {column} = $3 WHERE company_id = $1 AND index = $2",  # noqa: S608 - our own names
        chain.company_id,
        index,
        after,
    )
    return bad(index, Reason.CHANGED)


async def flip_position(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Give one entry another index, or to another company."""
    index = rng.randint(1, chain.last)
    if rng.random() < 0.5:
        await owner.execute(
            "UPDATE ledger_entry SET company_id = $3 WHERE company_id = $1 AND index = $2",
            chain.company_id,
            index,
            uuid4(),
        )
        return bad(index, Reason.TRUNCATED if index == chain.last else Reason.GAP)
    await owner.execute(
        "UPDATE ledger_entry SET index = $3 WHERE company_id = $1 AND index = $2",
        chain.company_id,
        index,
        chain.last + 2 + rng.randrange(FAR),
    )
    return bad(index, Reason.GAP)


async def drop(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Delete one entry; or also move those after it up, and the head with them."""
    index = rng.randint(1, chain.last)
    await delete_entry(owner, chain, index)
    if rng.random() < 0.5:
        return bad(index, Reason.TRUNCATED if index == chain.last else Reason.GAP)
    await shift_entries(owner, chain, index, by=-1)
    await owner.execute(
        "UPDATE ledger_head SET index = index - 1 WHERE company_id = $1", chain.company_id
    )
    if index == chain.last:
        return bad(index - 1, Reason.HEAD)
    return bad(index, Reason.CHANGED)


async def swap(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Let two entries change places, often neighbours."""
    first = rng.randint(1, chain.last - 1)
    second = first + 1 if rng.random() < 0.4 else rng.randint(first + 1, chain.last)
    for before, after in ((first, FAR), (second, first), (FAR, second)):
        await owner.execute(
            "UPDATE ledger_entry SET index = $3 WHERE company_id = $1 AND index = $2",
            chain.company_id,
            before,
            after,
        )
    return bad(first, Reason.ORDER)


async def insert(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Put in an entry, as a copy or with the hash that it would have had there."""
    index = rng.randint(1, chain.last + 1)
    elsewhere = rng.choice([one for one in range(1, chain.last + 1) if one != index])
    copied, there = await entry_at(owner, chain, elsewhere)
    forged = replace(copied, index=index)
    fitting = rng.random() < 0.5
    if fitting:
        there = link(await hash_at(owner, chain, index - 1), forged.digest())
    await shift_entries(owner, chain, index, by=1)
    with_head = rng.random() < 0.5
    head = chain.last + 1 if with_head else chain.last
    await insert_entry(owner, forged, there)
    await owner.execute(
        "UPDATE ledger_head SET index = $2 WHERE company_id = $1", chain.company_id, head
    )
    if not fitting:
        return bad(index, Reason.CHANGED, Reason.ORDER)
    if index <= chain.last:
        return bad(
            index, Reason.FORKED if index in chain.checkpoints else Reason.ORDER, Reason.CONSENT
        )
    # Perhaps it is a consent's, and nobody's record.
    return bad(index, Reason.HEAD if with_head else Reason.SURPLUS, Reason.CONSENT)


async def truncate(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Cut the end off; or also set the head back, or cut the checkpoints as well."""
    how = rng.randrange(3)
    kept = rng.randrange(chain.last if how == 0 else chain.witness.index)
    kept_hash = await hash_at(owner, chain, kept)
    await owner.execute(
        "DELETE FROM ledger_entry WHERE company_id = $1 AND index > $2", chain.company_id, kept
    )
    if how >= 1:
        await owner.execute(
            "UPDATE ledger_head SET index = $2, hash = $3 WHERE company_id = $1",
            chain.company_id,
            kept,
            kept_hash,
        )
    if how == 2:
        await owner.execute(
            "DELETE FROM ledger_checkpoint WHERE company_id = $1 AND index > $2",
            chain.company_id,
            kept,
        )
    return bad(kept + 1, Reason.TRUNCATED)


async def fork(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Write history anew from an entry on, with right hashes and a right head.

    Perhaps with checkpoints too, which nobody else can sign; or with the later ones removed.
    """
    index = rng.randint(1, chain.witness.index)
    how = rng.randrange(3)
    before = await hash_at(owner, chain, index - 1)
    for number in range(index, chain.last + 1):
        entry, _ = await entry_at(owner, chain, number)
        if number == index:
            entry = replace(entry, facts='{"epoch":0}')
        before = link(before, entry.digest())
        await owner.execute(
            "UPDATE ledger_entry SET facts = $3, hash = $4 WHERE company_id = $1 AND index = $2",
            chain.company_id,
            number,
            entry.facts,
            before,
        )
    await owner.execute(
        "UPDATE ledger_head SET hash = $2 WHERE company_id = $1", chain.company_id, before
    )
    first_signed = min(one for one in chain.checkpoints if one >= index)
    if how == 1:
        await forge_checkpoints(owner, chain, index)
    if how == 2:
        await owner.execute(
            "DELETE FROM ledger_checkpoint WHERE company_id = $1 AND index >= $2",
            chain.company_id,
            index,
        )
        first_signed = chain.witness.index
    if index in CLOSED_AT:
        return bad(index, Reason.READS)
    if index in RECORDED:
        return bad(index, Reason.CONSENT)
    return bad(first_signed, Reason.CHECKPOINT if how == 1 else Reason.FORKED)


async def turn_head(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Change the head's hash or index, or remove it."""
    how = rng.randrange(4)
    if how == 0:
        value = await owner.fetchval(
            "SELECT hash FROM ledger_head WHERE company_id = $1", chain.company_id
        )
        await owner.execute(
            "UPDATE ledger_head SET hash = $2 WHERE company_id = $1",
            chain.company_id,
            changed(value, rng),
        )
        return bad(chain.last, Reason.HEAD)
    if how == 1:
        await owner.execute("DELETE FROM ledger_head WHERE company_id = $1", chain.company_id)
        return bad(1, Reason.SURPLUS)
    index = rng.randrange(chain.last) if how == 2 else chain.last + 1 + rng.randrange(FAR)
    await owner.execute(
        "UPDATE ledger_head SET index = $2 WHERE company_id = $1", chain.company_id, index
    )
    if how == 2:
        return bad(index + 1, Reason.SURPLUS)
    return bad(chain.last + 1, Reason.TRUNCATED)


async def turn_checkpoint(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Change one byte of a checkpoint, or say it of another entry."""
    index = rng.choice(chain.checkpoints)
    if rng.random() < 0.2:
        unsigned = set(range(1, chain.last)) - set(chain.checkpoints)
        elsewhere = rng.choice(sorted(unsigned))
        await owner.execute(
            "UPDATE ledger_checkpoint SET index = $3 WHERE company_id = $1 AND index = $2",
            chain.company_id,
            index,
            elsewhere,
        )
        return bad(elsewhere, Reason.CHECKPOINT)
    column = rng.choice(CHECKPOINT_COLUMNS)
    value = await owner.fetchval(
        f"SELECT {column} FROM ledger_checkpoint WHERE company_id = $1 AND index = $2",  # noqa: S608 - our own names
        chain.company_id,
        index,
    )
    await owner.execute(
        f"UPDATE ledger_checkpoint SET {column} = $3 WHERE company_id = $1 AND index = $2",  # noqa: S608 - our own names
        chain.company_id,
        index,
        changed(value, rng),
    )
    return bad(index, Reason.CHECKPOINT)


async def turn_read(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Change, remove or add a read in a bucket that was closed, or who was looked at in it."""
    index = rng.choice(CLOSED_AT)
    bucket_at = await owner.fetchval(
        "SELECT bucket_at FROM location_read_bucket WHERE company_id = $1 AND ledger_index = $2",
        chain.company_id,
        index,
    )
    rows = await owner.fetch(
        "SELECT * FROM location_read WHERE company_id = $1 AND bucket_at = $2 ORDER BY set_hash",
        chain.company_id,
        bucket_at,
    )
    row = dict(rng.choice(rows))
    match rng.randrange(4):
        case 0:
            await replace_read(owner, row, None)
        case 1:
            await replace_read(owner, None, {**row, "viewer_id": uuid4()})
        case 2:
            await owner.execute(
                "UPDATE location_read_set SET drivers = $3 WHERE company_id = $1 AND set_hash = $2",
                chain.company_id,
                row["set_hash"],
                [uuid4()],
            )
            index = CLOSED_AT[0]  # the same drivers were looked at in both
        case _:
            column = rng.choice(READ_COLUMNS)
            await replace_read(owner, row, {**row, column: changed(row[column], rng)})
    return bad(index, Reason.READS)


async def misdate(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Let an entry be of a time that Python does not know, or that nobody writes."""
    index = rng.randint(1, chain.last)
    await owner.execute(
        "UPDATE ledger_entry SET recorded_at = $3::text::timestamptz"
        " WHERE company_id = $1 AND index = $2",
        chain.company_id,
        index,
        rng.choice(("0044-03-15 12:00 BC", "infinity", "-infinity", "9999-12-31", "200000-01-01")),
    )
    return bad(index, Reason.CHANGED)


async def change_and_push(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Change one entry, and push the last beyond the numbers that canonical JSON knows."""
    index = rng.randint(1, chain.last - 1)
    for statement, value, place in (
        (
            "UPDATE ledger_entry SET index = $3 WHERE company_id = $1 AND index = $2",
            2**53 + 1 + rng.randrange(1000),
            chain.last,
        ),
        ("UPDATE ledger_entry SET act = $3 WHERE company_id = $1 AND index = $2", "x", index),
    ):
        await owner.execute(statement, chain.company_id, place, value)
    return bad(index, Reason.CHANGED)


async def misclose(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Let reads say that another entry closed them, perhaps one that is not there."""
    others = [one for one in range(1, chain.last + 1) if one not in CLOSED_AT]
    other = rng.choice([*others, chain.last + 1 + rng.randrange(FAR)])
    await owner.execute(
        "UPDATE location_read_bucket SET ledger_index = $3"
        " WHERE company_id = $1 AND ledger_index = $2",
        chain.company_id,
        rng.choice(CLOSED_AT),
        other,
    )
    return bad(other, Reason.READS)


LEDGER_KINDS: Final[dict[str, Tamper]] = {
    "flip a byte of an entry": flip,
    "an impossible time": misdate,
    "change one and push another far": change_and_push,
    "closed by another entry": misclose,
    "move an entry": flip_position,
    "drop": drop,
    "swap": swap,
    "insert": insert,
    "truncate": truncate,
    "fork": fork,
    "change the head": turn_head,
    "change a checkpoint": turn_checkpoint,
    "change closed reads": turn_read,
}
