"""Writes the files of a package one after the other, each part by part: little is held at once."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from server.accounts import service as accounts
from server.accounts.model import Locale
from server.consent.model import ConsentRecordMissing
from server.export_files import store
from server.export_files.model import TABLES, Part, Row, at, plain, tables_of
from server.export_files.reading import Whose, pages
from server.export_files.sheets import ROWS_MAX, Book, Rows, sheet_tables
from server.export_files.words import BOOK, README, Whom, Words, about, file_of, readme
from server.gate.drawing import in_thread
from server.kit import db
from server.kit.api import json_bytes
from server.kit.wire import rfc3339
from server.policies import service as policies
from server.receipts import service as receipts
from server.tracking import render
from server.tracking import service as tracking
from server.tracking.model import MILLISECOND, TRACK_SPAN_DAYS_MAX, TrackPurpose
from server.tracking.render import TrackFile
from server.tracking.service import SealedTrack

TRACKS: Final = tuple(render.FILES)
_SPAN: Final = timedelta(days=TRACK_SPAN_DAYS_MAX)


class Piece(NamedTuple):
    """The next bytes of a file, and how many rows or positions stand in them."""

    rows: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    name: str
    pieces: AsyncGenerator[Piece]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whose package it is, and how it is told."""

    whose: Whose
    whom: Whom
    words: Words
    kept_days: int

    @property
    def about(self) -> Row:
        return dict(about(self.words, self.whom, self.whose.now))


async def reader_of(whose: Whose, language: Locale, *, kept_days: int) -> Reader:
    """Return whom the package is for.

    Raises
    ------
    MemberMissing, CompanyMissing
    """
    async with db.tenant(whose.pool, whose.company_id, readonly=True) as conn:
        profile = await accounts.profile(conn, whose.vault, whose.company_id, whose.driver_id)
        company = await accounts.company(conn, whose.company_id)
        controller = await policies.controller(conn, whose.company_id)
    return Reader(
        whose=whose,
        whom=Whom(
            name=profile.name, company=company.name, privacy_contact=controller.privacy_contact
        ),
        words=Words(language, ZoneInfo(company.time_zone)),
        kept_days=kept_days,
    )


STEPS: Final = (
    "readme",
    *(f"data.{part}" for part in Part),
    *(f"track.{kind}" for kind in TRACKS),
    "receipts",
    "book",
)
"""What is done one after the other; each writes one file or several."""


async def files(reader: Reader, step: str) -> AsyncGenerator[File]:
    """Yield the files of a step. The pieces of one are taken before the next one is asked for."""
    kind, _, which = step.partition(".")
    match kind:
        case "readme":
            yield File(name=README, pieces=_readme(reader))
        case "data":
            yield File(name=file_of(Part(which)), pieces=_part(reader, Part(which)))
        case "track":
            yield File(name=f"track/track.{which}", pieces=_track(reader, which))
        case "receipts":
            async for receipt in _receipts(reader):
                yield receipt
        case "book":
            yield File(name=BOOK, pieces=_book(reader))
        case _:
            raise ValueError(f"no such step: {step}")


async def _readme(reader: Reader) -> AsyncGenerator[Piece]:
    text = readme(reader.words, reader.whom, now=reader.whose.now, kept_days=reader.kept_days)
    yield Piece(0, text)


async def _part(reader: Reader, part: Part) -> AsyncGenerator[Piece]:
    """Write a part as JSON: by table its rows, each with the names of the columns."""
    head = json.dumps({"part": part, "driver_id": str(reader.whose.driver_id), **reader.about})
    yield Piece(0, head.removesuffix("}").encode())
    for table in tables_of(part):
        yield Piece(0, f',\n"{table}": ['.encode())
        count = 0
        async for page in pages(reader.whose, table):
            written = await in_thread(_lines, page)
            if written:
                yield Piece(len(page), (b",\n" if count else b"\n") + written)
            count += len(page)
        yield Piece(0, b"]")
    yield Piece(0, b"}\n")


def _lines(page: Sequence[Row]) -> bytes:
    return b",\n".join(json.dumps(plain(row), ensure_ascii=False).encode() for row in page)


async def _track(reader: Reader, kind: str) -> AsyncGenerator[Piece]:
    """Write the whole track, a month at a time and of that a part at a time."""
    whose, writer = reader.whose, render.FILES[kind](None)
    ids = (whose.company_id, whose.driver_id)
    async with db.tenant(whose.pool, whose.company_id, readonly=True) as conn:
        span = await store.span_of_track(conn, *ids)
    head = {"driver_id": str(whose.driver_id), "made_at": rfc3339(whose.now)}
    yield Piece(0, writer.begin(head))
    if span is not None:
        since, end = span.first_at, span.last_at + MILLISECOND
        while since < end:
            until = min(end, since + _SPAN)
            async with db.tenant(whose.pool, whose.company_id, readonly=True) as conn:
                found = await tracking.reach(
                    conn, *ids, since, until, purpose=TrackPurpose.SUBJECT_ACCESS, now=whose.now
                )
            async for piece in _of_span(whose, found, writer):
                yield piece
            since = until
    yield Piece(0, writer.end())


async def _of_span(whose: Whose, found: SealedTrack, writer: TrackFile) -> AsyncGenerator[Piece]:
    place = found.since
    while place < found.until:
        async with db.tenant(whose.pool, whose.company_id, readonly=True) as conn:
            await db.one_snapshot(conn)
            sealed = await tracking.part(conn, whose.vault, found, place)
        place = sealed.until
        yield await in_thread(_drawn, writer, sealed)


def _drawn(writer: TrackFile, sealed: SealedTrack) -> Piece:
    track = tracking.opened(sealed)
    return Piece(len(track), writer.add(track))


async def _receipts(reader: Reader) -> AsyncGenerator[File]:
    """Write a receipt of each record; what is older than records has none."""
    whose = reader.whose
    async for page in pages(whose, "consent_record"):
        for row in page:
            try:
                async with db.tenant(whose.pool, whose.company_id) as conn:
                    receipt = await receipts.receipt(
                        conn,
                        whose.vault,
                        whose.company_id,
                        whose.driver_id,
                        row["record_id"],
                        now=whose.now,
                    )
            except ConsentRecordMissing:
                continue
            day = f"{row['recorded_at']:%Y-%m-%d}"
            name = f"receipts/{day}_{row['item']}_{row['state']}_{row['record_id']}.jsonld"
            yield File(name=name, pieces=_whole(1, json_bytes(receipt)))


async def _whole(rows: int, data: bytes) -> AsyncGenerator[Piece]:
    yield Piece(rows, data)


async def _book(reader: Reader) -> AsyncGenerator[Piece]:
    book = Book(reader.words, reader.whose.now)
    for part in Part:
        rows: Rows = {name: await _shown(reader.whose, name) for name in sheet_tables(part)}
        await in_thread(book.add, part, rows)
    yield Piece(0, await in_thread(book.end))


async def _shown(whose: Whose, name: str) -> list[Row]:
    """Return what the workbook shows of a table, and one row more than that if there are more."""
    found: list[Row] = []
    columns = TABLES[name].shown
    async for page in pages(whose, name):
        found += [{column: at(row, column) for column in columns} for row in page]
        if len(found) > ROWS_MAX:
            break
    return found[: ROWS_MAX + 1]
