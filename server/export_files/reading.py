"""Reads what is kept of one driver, page by page, and opens it.

The driver's own access is fenced by nothing: what the company may not see any more stands in it.
"""

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidTag
from zstandard import ZstdError

from server.accounts import service as accounts
from server.disclosures import service as disclosures
from server.disclosures.model import ShownDisclosure
from server.export_files import store
from server.export_files.model import TABLES, Form, Row, Sealed, Table, name_of, opened
from server.kit import db
from server.kit.db import Connection, Pool
from server.ledger import service as ledger
from server.ledger.model import Act, Entry, open_detail, private_key_of
from server.reads.retention import reads_kept_since
from server.rights import service as rights
from server.tracking import codec
from server.tracking.codec import BlobUnreadable
from server.tracking.model import LAT, LON, from_ms
from server.vault import shared
from server.vault.model import Category, DataKey, SealedText, SubjectErased, key_id_of
from server.vault.service import Vault

log = structlog.get_logger(__name__)

PAGE: Final = 200
PAGE_OF_VIEWS: Final = 1_000
OF_DISCLOSURES: Final = frozenset(one for one in Act if one.startswith("disclosure_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Of whom it is read, and with what."""

    pool: Pool
    vault: Vault
    company_id: UUID
    driver_id: UUID
    now: datetime


Pages: TypeAlias = AsyncIterator[Sequence[Row]]


async def pages(whose: Whose, table: str) -> Pages:
    """Yield the rows of a table, a page at a time. All of them are of one moment."""
    async with db.tenant(whose.pool, whose.company_id, readonly=True) as conn:
        await db.one_snapshot(conn)
        source = SOURCES.get(table)
        found = _of_statement(whose, conn, table) if source is None else source(whose, conn)
        async for page in found:
            yield page


async def _of_statement(whose: Whose, conn: Connection, name: str) -> Pages:
    after, table = 0, TABLES[name]
    while True:
        found = await store.rows(
            conn,
            store.STATEMENTS[name],
            whose.company_id,
            whose.driver_id,
            limit=table.page,
            after=after,
        )
        if found:
            yield await _told(whose, conn, table, [dict(row) for row in found])
        after += len(found)
        if len(found) < table.page:
            break


async def _told(whose: Whose, conn: Connection, table: Table, rows: Sequence[Row]) -> list[Row]:
    """Open what is sealed, and name whoever of the company stands in it."""
    values = {
        column: await _opened(whose, sealed, column, rows)
        for column, sealed in table.sealed.items()
    }
    ids = {row[column] for column in table.staff for row in rows if row[column] is not None}
    names = await accounts.names(conn, whose.vault, whose.company_id, ids) if ids else {}
    told = []
    for place, row in enumerate(rows):
        one: Row = {}
        for column, value in row.items():
            if column in table.sealed:
                one[name_of(column, table.sealed[column])] = values[column][place]
            elif column in table.staff:
                one[column] = None if value is None else names.get(value, "")
            elif column in table.json:
                one[column] = None if value is None else json.loads(value)
            elif column not in table.hidden:
                one[column] = value
        told.append(one)
    return told


async def _opened(whose: Whose, sealed: Sealed, column: str, rows: Sequence[Row]) -> list[Any]:
    """Open one column; None where nothing is sealed, or the key is gone."""
    if sealed.form is Form.SHARED:
        items = [
            None
            if row[column] is None
            else SealedText(sealed=row[column], row_id=row[sealed.row_id], schema=sealed.schema)
            for row in rows
        ]
        texts = await shared.opened(whose.vault, whose.company_id, items)
        return [None if text is None else _text_of(text) for text in texts]
    if sealed.form is Form.LATEST:
        keys = await whose.vault.keys(whose.company_id, (row["key_id"] for row in rows))
        return [_latest(keys.get(row["key_id"]), row[column], row[sealed.row_id]) for row in rows]
    keys = await whose.vault.keys(
        whose.company_id, (key_id_of(row[column]) for row in rows if row[column] is not None)
    )
    return [_of_row(keys, sealed, row[column], row[sealed.row_id]) for row in rows]


def _of_row(keys: Mapping[UUID, DataKey], sealed: Sealed, value: bytes | None, row_id: UUID) -> Any:
    key = None if value is None else keys.get(key_id_of(value))
    if key is None or value is None:
        return None
    try:
        return opened(sealed.form, key.open(value, row_id=row_id.bytes, schema=sealed.schema))
    except (InvalidTag, ZstdError, ValueError):
        # Damaged: whoever asks for all the rest is not kept from it.
        log.warning("value_unreadable", table=sealed.schema)
        return None


def _text_of(content: str) -> Row:
    title, body, short = json.loads(content)
    return {"title": title, "body": body, "short": short}


def _latest(key: DataKey | None, blob: bytes, driver_id: UUID) -> Row | None:
    if key is None:
        return None
    try:
        packed = codec.unseal(key, blob, row_id=driver_id, schema=codec.LATEST_SCHEMA)
        positions = codec.unpack(packed).positions
    except BlobUnreadable:
        return None
    last = positions.values[:, -1]
    at = from_ms(int(positions.time_ms[-1]))
    return {"recorded_at": at, "lat": float(last[LAT]), "lon": float(last[LON])}


async def _views(whose: Whose, conn: Connection) -> Pages:
    """Yield who looked, with the names that the driver's page shows."""
    cursor = None
    while True:
        found, cursor = await rights.views(
            conn,
            whose.vault,
            whose.company_id,
            whose.driver_id,
            since=reads_kept_since(whose.now),
            cursor=cursor,
            limit=PAGE_OF_VIEWS,
            now=whose.now,
        )
        yield [
            {
                "bucket_at": one.at,
                "until": one.until,
                "viewer_kind": one.view.viewer_kind,
                "viewer_name": one.name,
                "purpose": one.view.purpose,
                "screen": one.view.screen,
                "read_at": one.view.read_at,
            }
            for one in found
        ]
        if cursor is None:
            break


async def _ledger(whose: Whose, conn: Connection) -> Pages:
    """Yield what the ledger says of the driver; who else acted is told by their role alone."""
    key = None
    with suppress(SubjectErased):
        key = await whose.vault.key(
            whose.company_id, whose.driver_id, Category.LEDGER, at=whose.now
        )
    secret = await disclosures.still_sealed(conn, whose.company_id, whose.driver_id, now=whose.now)
    after = 0
    while True:
        found = await ledger.entries_about(
            conn, whose.company_id, whose.driver_id, after=after, limit=PAGE
        )
        if found:
            told = [_entry(key, one) for one in found]
            yield [one for one in told if not _is_secret(one, secret)]
            after = found[-1].index
        if len(found) < PAGE:
            break


def _entry(key: DataKey | None, entry: Entry) -> Row:
    detail = None
    if key is not None:
        with suppress(InvalidTag):
            detail = open_detail(private_key_of(key), entry)
    return {
        "index": entry.index,
        "recorded_at": entry.recorded_at,
        "act": entry.act,
        "actor_kind": entry.actor_kind,
        "subject_id": entry.subject_id,
        "detail": None if detail is None else json.loads(detail),
        "facts": json.loads(entry.facts),
    }


def _is_secret(entry: Row, secret: Collection[UUID]) -> bool:
    """Whether it tells of what an authority ordered to keep from the driver, until that ends."""
    if entry["act"] not in OF_DISCLOSURES or entry["facts"].get("sealed") is not True:
        return False
    detail = entry["detail"]
    # Where it cannot be read of which one it tells, it waits until none is secret.
    return bool(secret) if detail is None else UUID(detail["disclosure_id"]) in secret


async def _of_disclosures(
    whose: Whose, conn: Connection
) -> AsyncIterator[Sequence[ShownDisclosure]]:
    """Yield what was given out, as the driver's own page shows it: what is sealed is not there."""
    cursor = None
    while True:
        found, cursor = await disclosures.own(
            conn,
            whose.vault,
            whose.company_id,
            whose.driver_id,
            cursor=cursor,
            limit=PAGE,
            now=whose.now,
        )
        yield found
        if cursor is None:
            break


async def _disclosures(whose: Whose, conn: Connection) -> Pages:
    async for page in _of_disclosures(whose, conn):
        yield [
            {
                "disclosure_id": one.disclosure.disclosure_id,
                "driver_id": one.disclosure.driver_id,
                "ground": one.disclosure.ground.value,
                "categories": [category.value for category in one.disclosure.categories],
                "since": one.disclosure.span and one.disclosure.span.since,
                "until": one.disclosure.span and one.disclosure.span.until,
                "sealed_until": one.disclosure.sealed_until,
                "evidence": asdict(one.evidence),
                "given": one.given,
                "recorded_at": one.disclosure.recorded_at,
                "recorded_by": one.recorded_by,
                "decided_at": one.disclosure.decided_at,
                "decided_by": one.decided_by,
                "told_at": one.disclosure.told_at,
            }
            for one in page
        ]


async def _disclosed_files(whose: Whose, conn: Connection) -> Pages:
    async for page in _of_disclosures(whose, conn):
        made = [file for one in page for file in one.files]
        ids = {file.made_by for file in made if file.made_by is not None}
        names = await accounts.names(conn, whose.vault, whose.company_id, ids) if ids else {}
        yield [
            {**asdict(file), "made_by": file.made_by and names.get(file.made_by, "")}
            for file in made
        ]


SOURCES: Final[Mapping[str, Callable[[Whose, Connection], Pages]]] = {
    "location_read": _views,
    "disclosure": _disclosures,
    "disclosure_file": _disclosed_files,
    "ledger_entry": _ledger,
}
"""Of what no one statement reads."""
