"""A person's rights over their own data, over HTTP."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import Field

from server.credentials.access import ANY_MEMBER, CALLER, DRIVER, PUBLIC, VAULT, me
from server.credentials.model import Role
from server.credentials.viewers import actor_of
from server.gate import service as gates
from server.kit.api import endpoint, json_bytes
from server.kit.cursors import CursorInvalid
from server.kit.errors import NotFound
from server.kit.neighbours import Words, neighbours_of
from server.kit.web import CLOCK, COMPANY, now, transaction
from server.kit.wire import Instant, Page, Text, Wire
from server.ledger.documents import KEYS_PATH
from server.ledger.model import Actor, ActorKind
from server.reads import alerts
from server.reads.model import ReadPurpose, Screen
from server.rights import service
from server.rights.kept import Basis, Kept, Why
from server.rights.model import CURSOR_CHARS_MAX, SHOWN_FOR, Looked, UnknownIds, fingerprint

KEYS_CACHED_S: Final = 3600
UNKNOWN_IDS: web.AppKey[UnknownIds] = web.AppKey("UNKNOWN_IDS")
TOPIC: Final = "unknown_ids"
REPORTED: Final = "reported"


async def counting(app: web.Application) -> AsyncIterator[None]:
    """Count who asks for what does not exist, here and in the other processes.

    An entry of ``cleanup_ctx``.
    """
    unknown = app[UNKNOWN_IDS] = UnknownIds()

    async def heard(words: Words) -> None:
        company, kind, member, reference, asked = words
        caller = Actor(
            kind=ActorKind(kind),
            member_id=UUID(member) if member else None,
            reference_id=UUID(reference) if reference else None,
        )
        if asked == REPORTED:
            unknown.reported(UUID(company), caller)
        else:
            unknown.count(UUID(company), caller, int(asked), app[CLOCK]())

    neighbours_of(app).listen(TOPIC, heard)
    yield


@web.middleware
async def noticing_unknown_ids(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Report who asks for many ids that do not exist. The answer is that of any other."""
    try:
        return await handler(request)
    except NotFound:
        if CALLER in request and (asked := await _asked_in_vain(request)):
            await _count(request, actor_of(request[CALLER]), asked)
        raise


async def _asked_in_vain(request: web.Request) -> list[str]:
    """Return what was asked for and is not there, each by itself: a request may ask for many."""
    # Of a thing, not of an endpoint: trying out several with one id is no search for ids.
    path = "/".join(request.match_info.values())
    drivers = {UUID(one) for one in request.query.getall("driver_id", ())}
    if drivers:
        async with transaction(request, readonly=True) as conn:
            found = await gates.read_some(conn, request[COMPANY], list(drivers))
        drivers -= {gate.driver_id for gate in found}
    return [*([path] if path else ()), *map(str, drivers)]


async def _count(request: web.Request, caller: Actor, asked: Sequence[str]) -> None:
    company_id, at = request[COMPANY], now(request)
    unknown = request.app[UNKNOWN_IDS]
    count = None
    for one in asked:
        count = unknown.too_many(company_id, caller, one, at)
        _tell(request, caller, str(fingerprint(one)))
    if count is not None:
        async with transaction(request) as conn:
            await alerts.raise_unknown_ids(
                conn, company_id, caller, count, service.tell_of_alert, at
            )
        unknown.reported(company_id, caller)
        _tell(request, caller, REPORTED)


def _tell(request: web.Request, caller: Actor, asked: str) -> None:
    member, reference = (str(one or "") for one in (caller.member_id, caller.reference_id))
    words = (str(request[COMPANY]), caller.kind.value, member, reference, asked)
    neighbours_of(request.app).tell(TOPIC, *words)


class ViewsQuery(Wire):
    since: Instant | None = Field(
        None,
        alias="from",
        description="Without it, the last thirty days; at most the last 365 are kept.",
    )
    cursor: Annotated[str, Text(CURSOR_CHARS_MAX)] | None = Field(
        None, description="`next_cursor` of the page before."
    )
    limit: int = Field(50, ge=1, le=200)


class LookedView(Wire):
    """Somebody could see where the driver was, at some time from `at` to `until`."""

    at: Instant
    until: Instant
    viewer_role: ActorKind
    viewer_name: str | None
    """Null for a customer, for the server itself, and for a member who was erased since."""
    purpose: ReadPurpose
    screen: Screen


class SigningKeyView(Wire):
    """An Ed25519 key of this installation, which verifies what it ever signed."""

    key_id: UUID
    algorithm: Literal["Ed25519"]
    public_key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """The 32 bytes in hexadecimal digits, as receipts and checkpoints name it."""
    signs: bool
    """Whether what is signed now is signed with it."""


class SigningKeysView(Wire):
    items: list[SigningKeyView]


@endpoint("GET", KEYS_PATH, access=PUBLIC, answer=SigningKeysView)
async def list_signing_keys(request: web.Request) -> web.Response:
    """List the public keys that receipts of consents and checkpoints of the ledger verify with.

    All there ever were: what was signed with an older key holds for good. They are the same for
    every company of this installation.
    """
    vault = request.app[VAULT]
    items = [
        SigningKeyView(
            key_id=key_id,
            algorithm="Ed25519",
            public_key=public_key.hex(),
            signs=key_id == vault.signing_key_id,
        )
        for key_id, public_key in sorted(vault.public_keys().items())
    ]
    return web.Response(
        body=json_bytes(SigningKeysView(items=items)),
        content_type="application/json",
        headers={"Cache-Control": f"public, max-age={KEYS_CACHED_S}"},
    )


@endpoint("GET", "/v1/me/views", access=DRIVER, raises=(CursorInvalid,))
async def list_views(request: web.Request, query: ViewsQuery) -> Page[LookedView]:
    """List who looked at the caller's positions, why, on which screen and when; latest first.

    Every look was written down before the position left. `customer` is whoever holds the link of
    a delivery. What was given to somebody outside has the purpose `disclosure`: to whom and why is
    in `GET /v1/me/disclosures`. One line stands for all looks of five minutes. Lines are kept for
    365 days.
    """
    at = now(request)
    async with transaction(request, readonly=True) as conn:
        found, following = await service.views(
            conn,
            request.app[VAULT],
            request[COMPANY],
            me(request),
            since=query.since or at - SHOWN_FOR,
            cursor=query.cursor,
            limit=query.limit,
            now=at,
        )
    return Page[LookedView](items=[_view(one) for one in found], next_cursor=following)


def _view(one: Looked) -> LookedView:
    return LookedView(
        at=one.at,
        until=one.until,
        viewer_role=ActorKind(one.view.viewer_kind),
        viewer_name=one.name,
        purpose=ReadPurpose(one.view.purpose),
        screen=Screen(one.view.screen),
    )


class KeptView(Wire):
    """What of one category stands in one table of the database."""

    category: str
    table: str
    columns: list[str]
    rows: int | None
    """Of the caller's; null where a row names nobody by itself: it belongs to one that does."""
    since: Instant | None = Field(alias="from")
    until: Instant | None = Field(alias="to")
    retention: str
    """Until when it stays: a word of the data map."""
    kept_s: int | None
    """How long, where it goes by its age; null: it ends with something else."""
    purpose: Why
    legal_basis: Basis
    seen_by: list[Role]
    """Which of the company's staff can see something of it."""


class DataMapView(Wire):
    items: list[KeptView]


@endpoint("GET", "/v1/me/data-map", access=ANY_MEMBER)
async def read_data_map(request: web.Request) -> DataMapView:
    """Read what is kept of the caller: what, how much, from when, why, how long, and who sees it.

    Of every table of the database `main` with personal columns, by what each column says of itself.
    """
    async with transaction(request, readonly=True) as conn:
        found = await service.data_map(conn, request[COMPANY], me(request), now=now(request))
    return DataMapView(items=[_kept(one) for one in found])


def _kept(one: Kept) -> KeptView:
    counted = one.counted
    return KeptView.model_validate(
        {
            "category": one.category,
            "table": one.table,
            "columns": list(one.columns),
            "rows": None if counted is None else counted.rows,
            "from": None if counted is None else counted.since,
            "to": None if counted is None else counted.until,
            "retention": one.retention,
            "kept_s": None if one.kept_for is None else int(one.kept_for.total_seconds()),
            "purpose": one.ground.why,
            "legal_basis": one.ground.basis,
            "seen_by": list(one.ground.seen_by),
        }
    )


ENDPOINTS: Final = (list_signing_keys, list_views, read_data_map)
