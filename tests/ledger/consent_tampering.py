"""What the database's owner may do to consent records, and to whose pseudonym it is."""

import random
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from server.ledger.verify import Reason
from tests.ledger.by_hand import FAR
from tests.ledger.chains import CONSENTS, DRIVER, LEAVER, OTHER, RECORDED, Chain, Owner
from tests.ledger.tampering import Expected, Tamper, bad, changed
from tests.world import NOW

KEY: Final = ("company_id", "record_id")
COLUMNS: Final = (
    *("driver_id", "item", "version", "record_id", "state", "actor", "epoch", "recorded_at"),
    *("notice_edition", "notice_language", "notice_sha256", "scope", "sources", "background"),
    *("valid_until", "held_since", "record", "record_sha256", "nonce", "ledger_index"),
)
# What stands for a value where there is none.
PUT_IN: Final[dict[str, object]] = {
    "notice_edition": 1,
    "notice_language": "ru",
    "notice_sha256": "0" * 64,
    "scope": "always",
    "sources": ["gps"],
    "background": False,
    "valid_until": NOW + timedelta(days=900),
    "held_since": NOW - timedelta(days=900),
}
IMPOSSIBLE: Final = ("0044-03-15 12:00 BC", "infinity", "-infinity", "200000-01-01")
TIMES: Final = ("recorded_at", "valid_until", "held_since")


async def without_checks(owner: Owner) -> None:
    """Drop what the table itself refuses: its owner can."""
    names = await owner.fetch(
        "SELECT conname FROM pg_constraint"
        " WHERE conrelid = 'consent_record'::regclass AND contype = 'c'"
    )
    for row in names:
        await owner.execute(f"ALTER TABLE consent_record DROP CONSTRAINT {row['conname']}")


async def record_at(owner: Owner, chain: Chain, index: int) -> asyncpg.Record:
    row = await owner.fetchrow(
        "SELECT * FROM consent_record WHERE company_id = $1 AND ledger_index = $2",
        chain.company_id,
        index,
    )
    assert row is not None
    return row


def another(value: object, rng: random.Random) -> object:
    """Return something else of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1 + rng.randrange(FAR)
        case list():
            return value[1:] if rng.random() < 0.5 else [*value, "gps"]
        case datetime() | bytes() | str() | UUID():
            return changed(value, rng)
        case _:
            raise TypeError(type(value).__name__)


async def change_record(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Change one column of one record; make what is there NULL, or the other way."""
    await without_checks(owner)
    index = rng.choice(RECORDED)
    row = await record_at(owner, chain, index)
    column = rng.choice(COLUMNS)
    if column in TIMES and rng.random() < 0.2:
        await owner.execute(
            f"UPDATE consent_record SET {column} = $3::text::timestamptz"  # noqa: S608 - our own names
            " WHERE company_id = $1 AND record_id = $2",
            *(row[name] for name in KEY),
            rng.choice(IMPOSSIBLE),
        )
        return bad(index, Reason.CONSENT)
    value: object
    if row[column] is None:
        value = PUT_IN[column]
    elif column in PUT_IN and rng.random() < 0.2:
        value = None
    elif column == "ledger_index":
        others = {*range(1, chain.last + 1), chain.last + 1 + rng.randrange(FAR)} - {index}
        value = rng.choice(sorted(others))
    else:
        value = another(row[column], rng)
    await owner.execute(
        f"UPDATE consent_record SET {column} = $3"  # noqa: S608 - our own names
        " WHERE company_id = $1 AND record_id = $2",
        *(row[name] for name in KEY),
        value,
    )
    first = min(index, value) if column == "ledger_index" and isinstance(value, int) else index
    return bad(first, Reason.CONSENT)


async def delete_record(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Delete one record; perhaps with its commitment kept, as if its driver had been erased."""
    index = rng.choice(RECORDED)
    if rng.random() < 0.5:
        await owner.execute(
            "INSERT INTO consent_commitment (company_id, commitment)"
            " SELECT company_id, sha256(nonce || convert_to(record, 'UTF8')) FROM consent_record"
            " WHERE company_id = $1 AND ledger_index = $2",
            chain.company_id,
            index,
        )
    await owner.execute(
        "DELETE FROM consent_record WHERE company_id = $1 AND ledger_index = $2",
        chain.company_id,
        index,
    )
    return bad(index, Reason.CONSENT)


async def insert_record(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Add a copy of a record as the newest of its item, naming any entry or none there is."""
    row = dict(await record_at(owner, chain, rng.choice(RECORDED)))
    index = rng.randint(1, chain.last)
    if rng.random() < 0.2:
        index = chain.last + 1 + rng.randrange(FAR)
    added = {**row, "version": 100, "record_id": uuid4(), "ledger_index": index}
    await owner.execute(
        f"INSERT INTO consent_record ({', '.join(added)})"  # noqa: S608 - our own names
        f" VALUES ({', '.join(f'${number}' for number in range(1, len(added) + 1))})",
        *added.values(),
    )
    return bad(index, Reason.CONSENT)


async def drop_commitment(owner: Owner, chain: Chain, _rng: random.Random) -> Expected:
    """Delete what is left of the consents of somebody who was erased."""
    await owner.execute("DELETE FROM consent_commitment WHERE company_id = $1", chain.company_id)
    return bad(first_of(LEAVER), Reason.CONSENT)


async def turn_pseudonym(owner: Owner, chain: Chain, rng: random.Random) -> Expected:
    """Exchange a driver's pseudonym with a colleague's; or give them a new one, or none."""
    member_id, first = rng.choice(
        [(chain.driver_id, first_of(DRIVER)), (chain.other_id, first_of(OTHER))]
    )
    how = rng.randrange(4)
    if how == 0:
        await owner.execute("DELETE FROM ledger_subject WHERE member_id = $1", member_id)
    elif how == 1:
        await give_pseudonym(owner, member_id, uuid4())
    else:
        drivers = {chain.driver_id, chain.other_id}
        partner = chain.dispatcher_id if how == 2 else (drivers - {member_id}).pop()
        first = first if how == 2 else min(RECORDED)
        mine, theirs = await pseudonym_of(owner, member_id), await pseudonym_of(owner, partner)
        await give_pseudonym(owner, partner, uuid4())
        await give_pseudonym(owner, member_id, theirs)
        await give_pseudonym(owner, partner, mine)
    return bad(first, Reason.PSEUDONYM)


def first_of(who: int) -> int:
    """Return the first entry of a driver's consents."""
    return min(index for index, (of, _, _) in CONSENTS.items() if of == who)


async def pseudonym_of(owner: Owner, member_id: UUID) -> object:
    return await owner.fetchval(
        "SELECT pseudonym FROM ledger_subject WHERE member_id = $1", member_id
    )


async def give_pseudonym(owner: Owner, member_id: UUID, pseudonym: object) -> None:
    await owner.execute(
        "UPDATE ledger_subject SET pseudonym = $2 WHERE member_id = $1", member_id, pseudonym
    )


CHANGED_RECORD: Final = "change a consent record"
CONSENT_KINDS: Final[dict[str, Tamper]] = {
    CHANGED_RECORD: change_record,
    "delete a consent record": delete_record,
    "insert a consent record": insert_record,
    "drop an erased driver's commitment": drop_commitment,
    "exchange pseudonyms": turn_pseudonym,
}
