"""Asking for a package of one's own data, and fetching it once.

The package is sealed with a key of the driver's, of the day on which it was asked for: it dies with
the driver's keys, and soon after it was removed no older copy of the database opens it either.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator
from datetime import date, datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.credentials import service as credentials
from server.exports import store
from server.exports.model import (
    ASKED_A_DAY_MAX,
    DAY,
    KEPT,
    KEY_KEPT,
    LINK_LASTS,
    Export,
    ExportLinkOver,
    ExportMissing,
    ExportNotReady,
    ExportsTooMany,
    Link,
    Progress,
    State,
)
from server.kit import db, jobs, tokens
from server.kit.batches import delete_all
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.tokens import Token
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.vault.model import Category, DataKey, key_id_of
from server.vault.service import Vault

TOKEN_KIND: Final = "je"  # noqa: S105 - how one begins
MAKE_EXPORTS: Final = "make_exports"
"""The job that makes a company's packages."""
CHUNKS_AT_ONCE: Final = 4
FORGOTTEN_AT_ONCE: Final = 20


async def ask(
    conn: Connection, vault: Vault, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Progress:
    """Ask for a package; return it, or the one that is under way.

    Raises
    ------
    MemberMissing
    ExportsTooMany
    """
    # Whoever asks at once waits here.
    await credentials.locked_state(conn, company_id, driver_id)
    found = await store.of_driver(conn, company_id, driver_id)
    for one in found:
        if one.state_at(now) is State.MAKING:
            return await _progress(conn, company_id, one)
    today = [one for one in found if one.asked_at > now - DAY]
    if len(today) >= ASKED_A_DAY_MAX:
        raise ExportsTooMany((today[-1].asked_at + DAY - now).total_seconds())
    # One that was never made, and would keep another one from being asked for.
    await store.delete(
        conn, company_id, [one.export_id for one in found if one.state is State.MAKING]
    )
    profile = await accounts.profile(conn, vault, company_id, driver_id)
    export = Export(
        export_id=uuid7(),
        driver_id=driver_id,
        language=profile.locale,
        state=State.MAKING,
        asked_at=now,
        expires_at=now + KEPT,
        runs=0,
        rows_done=0,
    )
    await store.insert(conn, company_id, export)
    payload = {"company_id": str(company_id)}
    await jobs.enqueue(conn, MAKE_EXPORTS, payload, dedupe_key=f"export {export.export_id}")
    await _write_down(conn, company_id, export, Act.EXPORT_ASKED, now=now)
    return Progress(export=export, steps_done=0)


async def exports(conn: Connection, company_id: UUID, driver_id: UUID) -> list[Progress]:
    """Return the driver's packages that are still kept, newest first."""
    found = await store.of_driver(conn, company_id, driver_id)
    done: defaultdict[UUID, int] = defaultdict(int)
    for row in await store.steps(conn, company_id, [one.export_id for one in found]):
        done[row["export_id"]] += 1
    return [Progress(export=one, steps_done=done[one.export_id]) for one in found]


async def export(conn: Connection, company_id: UUID, driver_id: UUID, export_id: UUID) -> Progress:
    """Return one of the driver's own packages.

    Raises
    ------
    ExportMissing
    """
    found = there(await store.get(conn, company_id, export_id), ExportMissing)
    if found.driver_id != driver_id:
        raise ExportMissing
    return await _progress(conn, company_id, found)


async def _progress(conn: Connection, company_id: UUID, found: Export) -> Progress:
    done = await store.steps(conn, company_id, [found.export_id])
    return Progress(export=found, steps_done=len(done))


async def link(
    conn: Connection, company_id: UUID, driver_id: UUID, export_id: UUID, *, now: datetime
) -> Link:
    """Make a link to a package that is ready; the one before it is good for nothing from then on.

    Raises
    ------
    ExportMissing, ExportNotReady
    """
    found = (await export(conn, company_id, driver_id, export_id)).export
    _refuse_unready(found, now)
    token, digest = tokens.mint(TOKEN_KIND, company_id)
    expires_at = now + LINK_LASTS
    await store.exchange_link(conn, company_id, found, digest, expires_at=expires_at, now=now)
    return Link(token=token, expires_at=expires_at)


def token_of(text: str) -> Token:
    """Return what a link's token claims to be.

    Raises
    ------
    ExportLinkOver
    """
    token = tokens.parse(text)
    if token is None or token.kind != TOKEN_KIND:
        raise ExportLinkOver
    return token


async def spend(conn: Connection, token: Token, *, now: datetime) -> Export:
    """Use a link up, and write down that the package was fetched with it.

    Before its first byte leaves: of two who come with the same token one gets it, and whoever's
    download breaks off makes another link.

    Raises
    ------
    ExportLinkOver
    """
    export_id = await store.use_link(conn, token.company_id, token.digest, now)
    found = None
    if export_id is not None:
        found = await store.get(conn, token.company_id, export_id)
    if found is None or found.state_at(now) is not State.READY:
        raise ExportLinkOver
    await _write_down(conn, token.company_id, found, Act.EXPORT_FETCHED, now=now)
    return found


async def content(
    pool: Pool, vault: Vault, company_id: UUID, found: Export
) -> AsyncGenerator[bytes]:
    """Yield the package's bytes; between two of its parts nothing is held.

    It breaks off where the package goes meanwhile: because the driver is erased, or it is too old.

    Raises
    ------
    ExportMissing
    """
    place, number, size = 0, -1, 0
    while True:
        async with db.tenant(pool, company_id, readonly=True) as conn:
            rows = await store.chunks_after(
                conn, company_id, found.export_id, place, number, limit=CHUNKS_AT_ONCE
            )
        keys = await vault.keys(company_id, {key_id_of(row["sealed"]) for row in rows})
        for row in rows:
            place, number = row["place"], row["number"]
            key = keys.get(key_id_of(row["sealed"]))
            if key is None:
                raise ExportMissing
            data = opened_chunk(key, found, place, number, row["sealed"])
            size += len(data)
            yield data
        if len(rows) < CHUNKS_AT_ONCE:
            break
    if size != found.size_bytes:
        raise ExportMissing


def _refuse_unready(found: Export, now: datetime) -> None:
    state = found.state_at(now)
    if state is not State.READY:
        raise ExportNotReady(state)


def sealed_chunk(key: DataKey, export: Export, place: int, number: int, data: bytes) -> bytes:
    return key.seal(data, row_id=export.export_id.bytes, schema=_schema(place, number))


def opened_chunk(key: DataKey, export: Export, place: int, number: int, sealed: bytes) -> bytes:
    return key.open(sealed, row_id=export.export_id.bytes, schema=_schema(place, number))


def _schema(place: int, number: int) -> str:
    return f"export_chunk/{place}/{number}"


async def tell_ready(conn: Connection, company_id: UUID, export: Export, *, now: datetime) -> None:
    """Tell the driver that their package can be fetched, also where they did not ask for it."""
    await notices.queue(
        conn,
        company_id,
        export.driver_id,
        NoticeKind.EXPORT_READY,
        {"asked_at": rfc3339(export.asked_at), "expires_at": rfc3339(export.expires_at)},
        dedupe=f"export {export.export_id}",
        now=now,
    )
    await _write_down(conn, company_id, export, Act.EXPORT_READY, now=now)


async def _write_down(
    conn: Connection, company_id: UUID, export: Export, act: Act, *, now: datetime
) -> None:
    await ledger.append(
        conn,
        company_id,
        act,
        actor=Actor(kind=ActorKind.DRIVER, member_id=export.driver_id),
        subject_id=export.driver_id,
        facts={"export_id": str(export.export_id)},
        now=now,
    )


async def old(conn: Connection, company_id: UUID, now: datetime) -> tuple[int, date | None]:
    """Return of how many packages the time is over, and when the oldest was asked for."""
    return await store.old(conn, company_id, now)


async def forget_old(pool: Pool, company_id: UUID, now: datetime) -> int:
    """Remove packages whose time is over; return how many. Due each day.

    Opens its own transactions.
    """

    async def delete(conn: Connection, company_id: UUID, /, *, limit: int) -> int:
        found = await store.lock_expired(conn, company_id, now, limit=limit)
        await store.delete(conn, company_id, found)
        return len(found)

    return await delete_all(pool, company_id, delete, limit=FORGOTTEN_AT_ONCE)


async def old_keys(vault: Vault, company_id: UUID, now: datetime) -> int:
    """Return how many keys there are of days of which every package is over."""
    return await vault.count_before(company_id, Category.EXPORT, now - KEY_KEPT)


async def forget_keys(vault: Vault, company_id: UUID, now: datetime) -> int:
    """Destroy the keys of days of which every package is over; return how many. Due each day."""
    return await vault.destroy_before(company_id, Category.EXPORT, now - KEY_KEPT)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the driver's packages, also those that are being made; return the number of rows."""
    found = await store.lock_of_driver(conn, company_id, member_id)
    return await store.delete(conn, company_id, found)
