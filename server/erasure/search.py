"""The last look for a driver before their keys go: what the server wrote of them must be gone.

What is looked for has to outlive the rows it comes from, and a crash: it is kept under the driver's
own key, and so for nobody once the keys are destroyed.

The server's own ids, where the server writes, are certain: while one is found, nothing is called
erased. A name or a phone is not, and neither is an id that somebody typed, for people type texts
into names of vehicles and of the company: how many rows read like the driver's is counted, told,
and left to people.
"""

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import rfc8785
import structlog

from server.accounts import service as accounts
from server.credentials.model import MemberMissing
from server.erasure import search_store as store
from server.erasure.model import Part, Search
from server.erasure.search_store import Sought, sought_of
from server.holds.model import Hold
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.vault.model import Category, SealedText, SubjectErased
from server.vault.service import Vault

log = structlog.get_logger(__name__)

_SCHEMA: Final = "erasure_search.sought"


async def note(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    driver_id: UUID,
    request_id: UUID,
    *,
    now: datetime,
) -> None:
    """Keep what the driver is known by, as long as it can be read."""
    sealed = None
    with suppress(MemberMissing, SubjectErased):
        profile = await accounts.profile(conn, vault, company_id, driver_id)
        sealed = await vault.seal_text(
            company_id,
            driver_id,
            Category.IDENTITY,
            json.dumps([profile.name, profile.phone, profile.email]),
            row_id=request_id,
            schema=_SCHEMA,
            now=now,
        )
    await store.insert(conn, company_id, request_id, sought_sealed=sealed)


async def count_entries(
    conn: Connection, company_id: UUID, driver_id: UUID, request_id: UUID
) -> None:
    """Note how many entries of the ledger will stay, while it is known which."""
    # And the one that says that the driver was erased.
    entries = 1 + await ledger.count_about(conn, company_id, driver_id)
    await store.set_ledger_entries(conn, company_id, request_id, entries)


async def look(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    driver_id: UUID,
    request_id: UUID,
    *,
    now: datetime,
) -> int:
    """Look through everything of the company; return in how many rows the driver still is.

    Reads every row that has a text, an id or bytes, so it takes as long as the company is large.
    What was looked through, and which keys the driver has, is written where none is found.
    """
    key_ids = await vault.key_ids(company_id, driver_id)
    texts = await _texts(conn, vault, company_id, request_id)
    sought = sought_of(driver_id, key_ids, texts)
    tables = await store.tables(conn)
    found, alike = await _look(conn, company_id, tables, sought)
    if found:
        return found
    protocol: dict[str, Any] = {
        "searched_at": rfc3339(now),
        "for_texts": len(sought.texts),
        "columns": {table.name: list(table.columns) for table in tables},
        "alike": alike,
    }
    written = rfc8785.dumps(protocol).decode()
    await store.set_searched(conn, company_id, request_id, key_ids=key_ids, protocol=written)
    return 0


async def keys_noted(conn: Connection, company_id: UUID, request_id: UUID) -> tuple[UUID, ...]:
    """Return the keys the driver had when it was looked for them."""
    found = await store.search(conn, company_id, request_id)
    return () if found is None else found.key_ids


async def look_again(
    conn: Connection, company_id: UUID, driver_id: UUID, request_id: UUID, *, now: datetime
) -> int:
    """Look once more when the keys are gone, for what was written since; return in how many rows.

    By the ids of the driver and of the keys that were destroyed: the texts went with the keys. What
    was found, if only in what people typed, is added to the protocol, and nothing is looked for any
    more.
    """
    noted = await store.search(conn, company_id, request_id)
    if noted is None or noted.protocol is None:
        return 0
    sought = sought_of(driver_id, noted.key_ids, [])
    tables = await store.tables(conn)
    found, alike = await _look(conn, company_id, tables, sought)
    if found:
        return found
    protocol: dict[str, Any] = json.loads(noted.protocol)
    protocol["again"] = {"searched_at": rfc3339(now), "alike": alike}
    await store.end(conn, company_id, request_id, protocol=rfc8785.dumps(protocol).decode())
    return 0


async def _look(
    conn: Connection,
    company_id: UUID,
    tables: Collection[store.Table],
    sought: Sought,
) -> tuple[int, dict[str, int]]:
    """Return in how many rows the server wrote of the driver; and how many, by table, read alike.

    The log tells in which tables, so that whoever is asked why an erasure is stuck can look there.
    """
    left: dict[str, int] = {}
    alike: dict[str, int] = {}
    for table in tables:
        certain, similar = await store.look(conn, table, company_id, sought)
        if certain:
            left[table.name] = certain
        if similar:
            alike[table.name] = similar
    for name, rows in left.items():
        log.warning("erasure_found_rows", company=str(company_id), table=name, count=rows)
    return sum(left.values()), alike


async def note_part(
    conn: Connection,
    company_id: UUID,
    request_id: UUID,
    held: Sequence[Hold],
    key_ids: Collection[UUID],
    *,
    now: datetime,
) -> None:
    """Write down what is held, and which keys are destroyed although something is."""
    said = [
        {
            "category": one.category.value,
            "ground": None if one.ground is None else one.ground.value,
            "placed_at": None if one.placed_at is None else rfc3339(one.placed_at),
            "until": None if one.until is None else rfc3339(one.until),
        }
        for one in held
    ]
    text = rfc8785.dumps(said).decode()
    await store.put_part(conn, company_id, request_id, held=text, key_ids=key_ids, at=now)


async def part(conn: Connection, company_id: UUID, request_id: UUID) -> Part | None:
    """Return what was erased before the rest; None where all went at once."""
    return await store.part(conn, company_id, request_id)


async def result(conn: Connection, company_id: UUID, request_id: UUID) -> Search | None:
    """Return what came of the search; None for who was erased before there was one."""
    return await store.search(conn, company_id, request_id)


async def _texts(
    conn: Connection, vault: Vault, company_id: UUID, request_id: UUID
) -> list[str | None]:
    """Return what the driver is known by; nothing where their keys are gone already."""
    noted = await store.search(conn, company_id, request_id)
    if noted is None or noted.sought_sealed is None:
        return []
    item = SealedText(sealed=noted.sought_sealed, row_id=request_id, schema=_SCHEMA)
    (text,) = await vault.open_texts(company_id, [item])
    return [] if text is None else list(json.loads(text))
