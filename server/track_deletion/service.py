"""Deleting a span of one's own track, for good.

First, in the act's own transaction, its recording windows go: from then on the company sees nothing
of it, no upload that was judged before commits, and a phone that sends the span again is refused as
outside the windows. Then what is left of it in rows that reach beyond is taken out, row by row; a
job does the rest where that was broken off.

What a hold keeps of it stays: nobody deletes to dodge a hold. It is hidden as the rest, and the job
takes it once nothing is held any more.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.gate import service as gate
from server.gate.model import GateMissing
from server.holds import service as holds
from server.holds.model import HeldCategory
from server.journal.model import NegativeAct
from server.kit import db
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.kit.problem import where
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor
from server.notices import service as notices
from server.stop_events.model import KEPT
from server.track_deletion import store
from server.track_deletion.model import (
    Deleted,
    Deletion,
    DeletionUnfinished,
    Ground,
    Retained,
    Span,
    backups_hold_until,
    cut,
    latest_by_category,
    refuse_span,
)
from server.tracking import compaction
from server.vault.service import Vault

log = structlog.get_logger(__name__)

AT_ONCE_MAX: Final = 1_000
"""More than ever wait for the end of a hold: those would keep back what was broken off."""
OF_TRACKS: Final = frozenset({HeldCategory.TRACK, HeldCategory.REPORT})
"""What can be held of a span."""
NOTICES_AT_ONCE: Final = 500


async def delete(
    dsn: str,
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    driver_id: UUID,
    span: Span,
    *,
    by: Actor,
    now: datetime,
) -> Deleted:
    """Delete a span of the driver's track. Opens its own transactions. Idempotent.

    Raises
    ------
    GateMissing, DeletionSpanInvalid
    DeletionUnfinished
        It is hidden, but not all of it is removed yet.
    """
    refuse_span(span.since, span.until, now)
    async with db.tenant(pool, company_id, readonly=True) as conn:
        found = await store.same(conn, company_id, driver_id, span)
    if found is None:
        async with gate.stopping(pool, company_id, driver_id, now=now) as conn:
            found = await close(conn, company_id, driver_id, span, by=by, now=now)
    if found.done_at is None:
        try:
            found = await finish(dsn, pool, vault, company_id, found, now=now) or found
        except Exception as error:  # noqa: BLE001 - whatever it was, the span is closed
            log.warning("track_deletion_unfinished", company=str(company_id), **where(error))
            raise DeletionUnfinished from None
    async with db.tenant(pool, company_id, readonly=True) as conn:
        return Deleted(deletion=found, retained=await _retained(conn, company_id, found, now))


async def close(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    span: Span,
    *,
    by: Actor,
    now: datetime,
) -> Deletion:
    """Let nothing be recorded in the span, or seen of it, inside ``gate.stopping``.

    What lies wholly in it is deleted with that, unless it is held: whoever places a hold waits for
    the gate as well. The ledger's entry is the last thing it does.

    Raises
    ------
    GateMissing
    """
    await gate.lock(conn, company_id, driver_id)
    await _close_windows(conn, company_id, driver_id, span)
    await store.count_for_all(conn, company_id, driver_id)
    held = {one.category for one in await holds.in_force(conn, company_id, driver_id, now)}
    positions = await store.delete_positions(
        conn, company_id, driver_id, span, also_track=HeldCategory.TRACK not in held
    )
    if HeldCategory.REPORT not in held:
        await _delete_reports(conn, company_id, driver_id, span)
    company = await accounts.company(conn, company_id)
    made = Deletion(
        deletion_id=uuid7(),
        driver_id=driver_id,
        since=span.since,
        until=span.until,
        asked_at=now,
        positions=positions,
        done_at=None,
        backups_hold_until=backups_hold_until(span, company.track_days),
    )
    await store.insert(conn, company_id, made)
    await ledger.append(
        conn,
        company_id,
        Act.TRACK_DELETED,
        actor=by,
        subject_id=driver_id,
        facts={"from": rfc3339(span.since), "to": rfc3339(span.until)},
        now=now,
    )
    return made


async def close_again(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    lost: Sequence[NegativeAct],
    *,
    by: Actor,
    now: datetime,
) -> None:
    """Close what was deleted and a restored backup brought back, inside ``gate.stopping``.

    Raises
    ------
    GateMissing
    """
    for one in lost:
        if one.since is not None and one.until is not None:
            span = Span(since=one.since, until=one.until)
            await close(conn, company_id, driver_id, span, by=by, now=now)


async def finish(
    dsn: str, pool: Pool, vault: Vault, company_id: UUID, of: Deletion, *, now: datetime
) -> Deletion | None:
    """Remove what is left of a closed span; None where the driver was erased meanwhile.

    Opens its own transactions; resumes wherever it was broken off. While something of it is held
    that stays, and the span is not done.

    Raises
    ------
    NotCutOut
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        in_force = await holds.in_force(conn, company_id, of.driver_id, now)
    held = {one.category for one in in_force} & OF_TRACKS
    removed = 0
    if HeldCategory.TRACK not in held:
        committer = await db.connect(dsn, role=db.ROLE_COMMITTER)
        try:
            removed = await compaction.cut_out(
                committer, pool, vault, company_id, of.driver_id, since=of.since, until=of.until
            )
        except GateMissing:
            return None
        finally:
            await committer.close()
    await _take_back(pool, company_id, of)
    async with db.tenant(pool, company_id) as conn:
        if HeldCategory.REPORT not in held:
            await _delete_reports(conn, company_id, of.driver_id, of.span)
        return await store.finish(conn, company_id, of, removed=removed, now=None if held else now)


async def _take_back(pool: Pool, company_id: UUID, of: Deletion) -> None:
    """Delete the notices that told others how the driver drove then."""
    taken = True
    while taken:
        async with db.tenant(pool, company_id) as conn:
            held = await store.lock_notices(
                conn, company_id, of.driver_id, of.span, limit=NOTICES_AT_ONCE
            )
            await notices.delete(conn, company_id, held)
            taken = bool(held)


async def _delete_reports(conn: Connection, company_id: UUID, driver_id: UUID, span: Span) -> None:
    await store.delete_reports(conn, company_id, driver_id, span)
    await store.delete_alerts(conn, company_id, driver_id, span)


async def finish_due(dsn: str, pool: Pool, vault: Vault, company_id: UUID, now: datetime) -> int:
    """Finish deletions that were broken off or waited for a hold; return how many. Each minute.

    One that fails is told of in the log and stays due.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting = await store.unfinished(conn, company_id, limit=AT_ONCE_MAX)
    finished = 0
    for one in waiting:
        try:
            done = await finish(dsn, pool, vault, company_id, one, now=now)
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("track_deletion_unfinished", company=str(company_id), **where(error))
        else:
            finished += done is not None and done.done_at is not None
    return finished


async def deletions(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    cursor: str | None,
    limit: int,
    now: datetime,
) -> tuple[list[Deleted], str | None]:
    """Return a page of the spans that a driver deleted, the latest first.

    Raises
    ------
    CursorInvalid
    """
    before = None if cursor is None else place_of(cursor)
    found = await store.deletions(conn, company_id, driver_id, before=before, limit=limit + 1)
    page, following = page_of(found, limit, lambda one: cursor_of(one.deletion_id))
    shown = [
        Deleted(deletion=one, retained=await _retained(conn, company_id, one, now)) for one in page
    ]
    return shown, following


async def _close_windows(conn: Connection, company_id: UUID, driver_id: UUID, span: Span) -> None:
    found = await store.windows(conn, company_id, driver_id, span)
    new = []
    for window in found:
        before, after = cut(window, span)
        new += [one for one in (before, after) if one is not None]
    # Anew, with ids of their own: one that is cut in the middle becomes two.
    await store.delete_windows(conn, company_id, driver_id, [one.window_id for one in found])
    await store.insert_windows(conn, company_id, driver_id, [one.with_id(uuid7()) for one in new])


async def _retained(
    conn: Connection, company_id: UUID, deletion: Deletion, now: datetime
) -> tuple[Retained, ...]:
    """Return what of the span there still is, and why."""
    ids = (company_id, deletion.driver_id, deletion.span)
    held = latest_by_category(await holds.in_force(conn, company_id, deletion.driver_id, now))
    kept = []
    if deletion.done_at is None:
        counted = {
            HeldCategory.TRACK: store.count_positions,
            HeldCategory.REPORT: store.count_reports,
        }
        for category, count in counted.items():
            hold = held.get(category)
            rows = 0 if hold is None else await count(conn, *ids)
            if hold is not None and hold.ground and hold.until and rows:
                ground = Ground(hold.ground.value)
                kept.append(Retained(category=category, ground=ground, rows=rows, until=hold.until))
    rows, last = await store.last_said(conn, *ids)
    if last is not None:
        until = max(
            [last + KEPT]
            + [
                held[one].until or now
                for one in (HeldCategory.WORK, HeldCategory.REPORT)
                if one in held
            ]
        )
        kept.append(
            Retained(category=HeldCategory.WORK, ground=Ground.ORDER_FACTS, rows=rows, until=until)
        )
    return tuple(kept)
