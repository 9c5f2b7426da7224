"""Deleting a span of one's own track, over HTTP."""

from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import DRIVER, VAULT, after_step_up, me
from server.credentials.model import StepUpNeeded
from server.gate.model import GateMissing
from server.holds.model import HeldCategory
from server.journal.model import StopUnconfirmed
from server.journal.web import confirm
from server.kit.api import Endpoint, endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Page, PageQuery, Wire
from server.ledger.model import Actor, ActorKind
from server.track_deletion import service
from server.track_deletion.model import (
    Deleted,
    DeletionSpanInvalid,
    DeletionUnfinished,
    Ground,
    Span,
)

COMMITTER_DSN: web.AppKey[str] = web.AppKey("COMMITTER_DSN")
"""Of ``main``: rows of positions are exchanged by the committer's role alone."""


class DeletionQuery(Wire):
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")


class RetainedView(Wire):
    category: HeldCategory
    ground: Ground
    rows: Annotated[int, Field(ge=1)]
    until: Instant


class DeletionView(Wire):
    """What became of a span. It cannot be undone."""

    deletion_id: UUID
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")
    asked_at: Instant
    done_at: Instant | None
    """Null while some of it is still to be removed, or held; its positions are hidden by then."""
    deleted: Annotated[int, Field(ge=0)]
    """Positions that were stored of it."""
    retained: list[RetainedView]
    """What was recorded then and stays, why, and until when."""
    backups_hold_until: Instant | None
    """Old copies of the database, with keys of that time, can be read there until then; null: until
    the account is erased, because the company sets no time after which tracks go."""


@endpoint(
    "DELETE",
    "/v1/me/track",
    access=after_step_up(DRIVER),
    raises=(
        GateMissing,
        DeletionSpanInvalid,
        DeletionUnfinished,
        StopUnconfirmed,
        StepUpNeeded,
    ),
)
async def delete_track(request: web.Request, *, query: DeletionQuery) -> DeletionView:
    """Delete the caller's own positions from one time to another, for good.

    Also in the stored reports, and where the driver was last. Nothing of it is taken from a phone
    that sends it later. Plan versus fact says of that time that it is unknown. Positions that a
    hold keeps are hidden from the company's screens at once, and go when it ends; `retained` names
    it.
    """
    driver_id = me(request)
    deleted = await service.delete(
        request.app[COMMITTER_DSN],
        request.app[POOL],
        request.app[VAULT],
        request[COMPANY],
        driver_id,
        Span(since=query.since, until=query.until),
        by=Actor(kind=ActorKind.DRIVER, member_id=driver_id),
        now=now(request),
    )
    await confirm(request)
    return _view(deleted)


@endpoint("GET", "/v1/me/track/deletions", access=DRIVER, raises=(CursorInvalid,))
async def list_track_deletions(request: web.Request, *, query: PageQuery) -> Page[DeletionView]:
    """List the spans of their own track that the caller deleted, the latest first."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.deletions(
            conn,
            request[COMPANY],
            me(request),
            cursor=query.cursor,
            limit=query.limit,
            now=now(request),
        )
    return Page(items=[_view(one) for one in found], next_cursor=following)


def _view(one: Deleted) -> DeletionView:
    found = one.deletion
    return DeletionView.model_validate(
        {
            "deletion_id": found.deletion_id,
            "from": found.since,
            "to": found.until,
            "asked_at": found.asked_at,
            "done_at": found.done_at,
            "deleted": found.positions,
            "retained": [RetainedView.model_validate(kept) for kept in one.retained],
            "backups_hold_until": one.backups_hold_until,
        }
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (delete_track, list_track_deletions)
