"""Reading the register of disclosures: as the company sees it, and as the driver does."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.disclosures import files_store, store
from server.disclosures.model import (
    FILE_DAYS,
    Category,
    Disclosure,
    DisclosureFileNotThere,
    DisclosureMissing,
    DisclosureNotShared,
    Evidence,
    Ground,
    ShownDisclosure,
    State,
    hidden,
)
from server.kit import cursors
from server.kit.db import Connection
from server.kit.errors import there
from server.tracking import service as tracking
from server.tracking.model import Availability, TrackPurpose
from server.tracking.service import SealedTrack
from server.vault.model import SealedText
from server.vault.service import Vault

EVIDENCE_SCHEMA: Final = "disclosure.evidence"
GIVEN_SCHEMA: Final = "disclosure.given"


async def register(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    *,
    driver_id: UUID | None,
    state: State | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[ShownDisclosure], str | None]:
    """Return a page of the register, the newest first, and the next cursor.

    Raises
    ------
    CursorInvalid
    """
    found = await store.page(
        conn,
        company_id,
        driver_id=driver_id,
        state=state,
        before=None if cursor is None else cursors.place_of(cursor),
        limit=limit + 1,
    )
    page, following = _page(found, limit)
    return await shown(conn, vault, company_id, page), following


async def one(
    conn: Connection, vault: Vault, company_id: UUID, disclosure_id: UUID
) -> ShownDisclosure:
    """Return one disclosure.

    Raises
    ------
    DisclosureMissing
    """
    found = there(await store.get(conn, company_id, disclosure_id), DisclosureMissing)
    return (await shown(conn, vault, company_id, [found]))[0]


async def own(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    *,
    cursor: str | None,
    limit: int,
    now: datetime,
) -> tuple[list[ShownDisclosure], str | None]:
    """Return a page of what was given out of a driver and is not sealed now, the newest first.

    Nothing tells whether anything is sealed: also not how long a page is.

    Raises
    ------
    CursorInvalid
    """
    found = await store.told(
        conn,
        company_id,
        member_id,
        now=now,
        before=None if cursor is None else cursors.place_of(cursor),
        limit=limit + 1,
    )
    page, following = _page(found, limit)
    return await shown(conn, vault, company_id, page), following


async def count_own(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> tuple[int, datetime | None, datetime | None]:
    """Return how much a driver finds in the register, and when the first and last was recorded."""
    return await store.count_told(conn, company_id, driver_id, now)


async def sealed_reads(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> list[datetime]:
    """Return which reads of the driver are not told of yet, by when they were."""
    files = await files_store.files_of_driver(conn, company_id, driver_id, now)
    return hidden(
        [(at, by) for at, by, sealed in files if sealed],
        [(at, by) for at, by, sealed in files if not sealed],
    )


async def still_sealed(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> set[UUID]:
    """Return which disclosures are kept from the driver at that time, given or not."""
    return await store.still_sealed(conn, company_id, driver_id, now=now)


async def given_by(
    conn: Connection, company_id: UUID, member_id: UUID, *, since: datetime, until: datetime
) -> list[UUID]:
    """Return the drivers of whom a member gave something out in that time."""
    return await store.given_by(conn, company_id, member_id, since=since, until=until)


async def track_of(
    conn: Connection, vault: Vault, company_id: UUID, disclosure_id: UUID, *, now: datetime
) -> SealedTrack:
    """Read the track that was released, still sealed.

    An authority is given everything that is kept of the span; anybody else what the company
    itself may see now.

    Raises
    ------
    DisclosureMissing, DisclosureFileNotThere, DisclosureNotShared, GateMissing, TrackSpanInvalid,
    TrackTooLong
    """
    found = there(await store.get(conn, company_id, disclosure_id), DisclosureMissing)
    if (
        found.state is not State.RELEASED
        or found.decided_at is None
        or now >= found.decided_at + timedelta(days=FILE_DAYS)
        or found.driver_id is None
        or found.span is None
        or Category.TRACK not in found.categories
    ):
        raise DisclosureFileNotThere
    by_law = found.ground is Ground.AUTHORITY
    track = await tracking.gather(
        conn,
        vault,
        company_id,
        found.driver_id,
        found.span.since,
        found.span.until,
        purpose=TrackPurpose.SUBJECT_ACCESS if by_law else TrackPurpose.PLAN_FACT,
        now=now,
    )
    if track.availability is Availability.NOT_SHARED:
        raise DisclosureNotShared
    return replace(track, whole=True)


def _page(found: list[Disclosure], limit: int) -> tuple[list[Disclosure], str | None]:
    return cursors.page_of(found, limit, lambda one: cursors.cursor_of(one.disclosure_id))


async def shown(
    conn: Connection, vault: Vault, company_id: UUID, found: Sequence[Disclosure]
) -> list[ShownDisclosure]:
    """Return disclosures readable, with one look-up of keys for all texts."""
    texts = iter(
        await vault.open_texts(company_id, [text for one in found for text in _texts(one)])
    )
    people = {who for one in found for who in (one.driver_id, one.recorded_by, one.decided_by)}
    members = {one for one in people if one is not None}
    names = await accounts.names(conn, vault, company_id, members) if members else {}
    files = await files_store.files(conn, company_id, [one.disclosure_id for one in found])
    readable = []
    for one in found:
        evidence, given = next(texts), next(texts)
        if evidence is None:
            raise RuntimeError("the company's own key is gone")
        readable.append(
            ShownDisclosure(
                disclosure=one,
                evidence=Evidence.of_text(evidence),
                given=given,
                driver_name=_name(names, one.driver_id),
                recorded_by=_name(names, one.recorded_by),
                decided_by=_name(names, one.decided_by),
                files=tuple(made for made in files if made.disclosure_id == one.disclosure_id),
            )
        )
    return readable


def _texts(one: Disclosure) -> Collection[SealedText | None]:
    evidence = SealedText(
        sealed=one.evidence_sealed, row_id=one.disclosure_id, schema=EVIDENCE_SCHEMA
    )
    if one.given_sealed is None:
        return evidence, None
    return evidence, SealedText(
        sealed=one.given_sealed, row_id=one.disclosure_id, schema=GIVEN_SCHEMA
    )


def _name(names: Mapping[UUID, str], member_id: UUID | None) -> str | None:
    return None if member_id is None else names.get(member_id)
