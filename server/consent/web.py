"""The driver's own consents and their records."""

import json
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.accounts.model import Locale
from server.consent import service
from server.consent.model import (
    OF_MESSAGES,
    Answer,
    Consent,
    ConsentAct,
    ConsentActionRefused,
    ConsentActor,
    ConsentCell,
    ConsentChangedMeanwhile,
    ConsentItem,
    ConsentRecordIncomplete,
    ConsentRenewalEarly,
    ConsentState,
    ConsentTermsMisplaced,
    LocationScope,
    LocationTerms,
    NoticeOutdated,
    NoticeShown,
    Signature,
    SignatureMisplaced,
)
from server.consent.staff_web import ENDPOINTS as STAFF_ENDPOINTS
from server.credentials.access import DRIVER, VAULT, me
from server.gate.model import GateMissing, Source
from server.gate.web import stopping
from server.guardians import service as guardians
from server.guardians.model import AgeStatedMeanwhile, GuardianConsentNeeded
from server.journal.model import StopUnconfirmed
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Page, Text, Wire
from server.notices import service as notices
from server.policies.wire import EditionNumber
from server.shifts.model import AccountNotActive

RECORDS_MAX: Final = 200
CURSOR_CHARS_MAX: Final = 64
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
EPOCH_MAX: Final = 2**63 - 1


class Answering(StrEnum):
    GIVEN = "given"
    DECLINED = "declined"


ACT_OF_ANSWER: Final = {
    Answering.GIVEN: ConsentAct.GIVE,
    Answering.DECLINED: ConsentAct.DECLINE,
}


class DriverNoticeRead(Wire):
    """The driver notice as it was shown: `GET /v1/policies/driver_notice/current` says which."""

    document: Literal["driver_notice"]
    edition: EditionNumber
    language: Locale
    sha256: Sha256


class SignatureMade(Wire):
    """The driver's detached signature (CMS, such as a `.p7s`) over the text shown.

    Its hash goes into the record and the receipt. The file stays with the driver; nobody here
    checks it.
    """

    format: Literal["CMS"]
    sha256: Sha256


class ConsentChange(Wire):
    """One answer to one question; there is no way to agree to all at once.

    `scope`, `sources` and `background` say what a given consent to location covers.
    """

    item: ConsentItem
    answer: Answering
    notice: DriverNoticeRead
    scope: LocationScope | None = None
    sources: Annotated[list[Source], Field(min_length=1, max_length=len(Source))] | None = None
    background: bool | None = None
    signature: SignatureMade | None = None
    epoch: Annotated[int, Field(ge=0, le=EPOCH_MAX)] | None = None
    """The epoch that was shown; with another one in force the answer is refused."""


class ConsentView(Wire):
    item: ConsentItem
    state: ConsentState
    given_at: Instant | None = None
    changed_at: Instant | None = None
    valid_until: Instant | None = None
    scope: LocationScope | None = None
    sources: list[Source] | None = None
    background: bool | None = None


class ConsentsView(Wire):
    items: list[ConsentView]
    epoch: int
    gate: Literal["open", "closed"]


class Withdrawn(Wire):
    """Once this is answered, nothing more is stored and nothing more is shown."""

    item: ConsentItem
    state: ConsentState
    effective_at: Instant
    epoch: int


class RecordsQuery(Wire):
    cursor: Annotated[str, Text(CURSOR_CHARS_MAX)] | None = None
    limit: Annotated[int, Field(ge=1, le=RECORDS_MAX)] = 50


class ConsentRecordView(Wire):
    record_id: UUID
    item: ConsentItem
    state: ConsentState
    actor: ConsentActor
    recorded_at: Instant
    valid_until: Instant | None = None
    record: dict[str, Any] | None = None
    """The whole record; null in what is older than records."""
    record_sha256: str | None = None
    """Of the record's canonical JSON (RFC 8785), in hexadecimal digits."""
    ledger_index: int | None = None


@endpoint("GET", "/v1/me/consents", access=DRIVER, raises=(GateMissing,))
async def list_consents(request: web.Request) -> ConsentsView:
    """Read the caller's consents, and whether positions are kept just now."""
    async with transaction(request, readonly=True) as conn:
        found = await service.consents(conn, request[COMPANY], me(request))
    return ConsentsView(
        items=[_cell_view(cell) for cell in found.items],
        epoch=found.epoch,
        gate="open" if found.gate_open else "closed",
    )


@endpoint(
    "POST",
    "/v1/me/consents",
    access=DRIVER,
    status=HTTPStatus.CREATED,
    raises=(
        GateMissing,
        ConsentActionRefused,
        ConsentRenewalEarly,
        ConsentChangedMeanwhile,
        AccountNotActive,
        NoticeOutdated,
        ConsentRecordIncomplete,
        ConsentTermsMisplaced,
        SignatureMisplaced,
        GuardianConsentNeeded,
        AgeStatedMeanwhile,
        StopUnconfirmed,
    ),
)
async def decide_consent(request: web.Request, *, body: ConsentChange) -> ConsentView:
    """Give or decline one consent, after the driver notice was shown.

    A given one is taken back by withdrawing it. Giving it again on other terms, or by a newer
    notice, supersedes it: positions count from then on. Giving the same again is possible from 30
    days before it runs out: it then holds for another year, and nothing that was visible is hidden
    by it. Who may be a minor by the stated birth
    year gives nothing of their location before a guardian's consent is recorded.
    """
    at = now(request)
    async with transaction(request, readonly=True) as conn:
        age = await guardians.age(conn, request.app[VAULT], request[COMPANY], me(request))
    async with stopping(request, me(request), at) as conn:
        decision = await service.answer(
            conn, request[COMPANY], me(request), _answer_of(body), age=age, now=at
        )
    if body.item in OF_MESSAGES:
        await notices.drain(request.app[POOL], request[COMPANY], me(request))
    return _consent_view(decision)


@endpoint(
    "POST",
    "/v1/me/consents/{item}/withdraw",
    access=DRIVER,
    raises=(GateMissing, ConsentActionRefused, ConsentChangedMeanwhile, StopUnconfirmed),
)
async def withdraw_consent(request: web.Request, *, item: ConsentItem) -> Withdrawn:
    """Withdraw a consent.

    Once this is answered, nothing more is stored, shown or sent that rested on it.
    """
    at = now(request)
    async with stopping(request, me(request), at) as conn:
        decision = await service.withdraw(conn, request[COMPANY], me(request), item, now=at)
    if item in OF_MESSAGES:
        await notices.drain(request.app[POOL], request[COMPANY], me(request))
    return Withdrawn(
        item=decision.item,
        state=decision.state,
        effective_at=decision.recorded_at,
        epoch=decision.epoch,
    )


@endpoint("GET", "/v1/me/consents/records", access=DRIVER, raises=(CursorInvalid,))
async def list_consent_records(
    request: web.Request, *, query: RecordsQuery
) -> Page[ConsentRecordView]:
    """List every act on the caller's consents, the oldest first, each with its whole record."""
    async with transaction(request, readonly=True) as conn:
        page = await service.history(
            conn, request[COMPANY], me(request), cursor=query.cursor, limit=query.limit
        )
    return Page(items=[_record_view(one) for one in page.items], next_cursor=page.next_cursor)


def _answer_of(body: ConsentChange) -> Answer:
    return Answer(
        item=body.item,
        act=ACT_OF_ANSWER[body.answer],
        notice=NoticeShown(
            edition=body.notice.edition,
            language=body.notice.language,
            sha256=body.notice.sha256,
        ),
        terms=_terms_of(body),
        signature=_signature_of(body),
        epoch=body.epoch,
    )


def _terms_of(body: ConsentChange) -> LocationTerms | None:
    """Return what was said of the location; what was not said is as usual."""
    if body.scope is None and body.sources is None and body.background is None:
        return None
    usual = LocationTerms()
    return LocationTerms(
        scope=body.scope or usual.scope,
        sources=usual.sources if body.sources is None else frozenset(body.sources),
        background=usual.background if body.background is None else body.background,
    )


def _signature_of(body: ConsentChange) -> Signature | None:
    made = body.signature
    return None if made is None else Signature(format=made.format, sha256=made.sha256)


def _cell_view(cell: ConsentCell) -> ConsentView:
    terms = cell.terms
    return ConsentView(
        item=cell.item,
        state=cell.state,
        given_at=cell.given_at,
        changed_at=cell.changed_at,
        valid_until=cell.valid_until,
        scope=None if terms is None else terms.scope,
        sources=None if terms is None else sorted(terms.sources),
        background=None if terms is None else terms.background,
    )


def _record_view(one: Consent) -> ConsentRecordView:
    return ConsentRecordView(
        record_id=one.record_id,
        item=one.item,
        state=one.state,
        actor=one.actor,
        recorded_at=one.recorded_at,
        valid_until=one.valid_until,
        record=None if one.record is None else json.loads(one.record),
        record_sha256=None if one.record_sha256 is None else one.record_sha256.hex(),
        ledger_index=one.ledger_index,
    )


def _consent_view(decision: Consent) -> ConsentView:
    return _cell_view(ConsentCell(item=decision.item, decision=decision))


ENDPOINTS: Final = (
    list_consents,
    decide_consent,
    withdraw_consent,
    list_consent_records,
    *STAFF_ENDPOINTS,
)
