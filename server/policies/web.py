"""Policies over HTTP: texts for everybody, acceptance for members, publishing for the main user."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from server.accounts.model import CompanyMissing, Locale
from server.credentials.access import ANY_MEMBER, CALLER, MAIN_USER, PUBLIC, me
from server.credentials.model import NotPermitted
from server.kit import db
from server.kit.api import NotThere, endpoint
from server.kit.db import Connection
from server.kit.docs_page import POLICY
from server.kit.web import COMPANY, POOL, now, transaction
from server.ledger.model import Actor, ActorKind
from server.policies import page, service
from server.policies.model import (
    PREVAILING,
    ChangeClassMisplaced,
    Controller,
    Document,
    DocumentMissing,
    Draft,
    EditionMissing,
    EditionOrder,
    EditionTaken,
    NoticeTooShort,
    Shown,
    TextUnfit,
)
from server.policies.particulars import filled
from server.policies.wire import (
    AcceptancesView,
    AcceptanceView,
    ChangeView,
    CompanyQuery,
    ControllerView,
    DifferenceView,
    DiffQuery,
    EditionNumber,
    EditionView,
    NewEdition,
    PoliciesView,
    ShownView,
    StandingView,
    TextQuery,
)

EDITION_BYTES_MAX: Final = 1024 * 1024
"""Three texts of the longest kind, every character of it escaped."""

_EDITION_NUMBER: Final[TypeAdapter[int]] = TypeAdapter(EditionNumber)
_COMPANY_ID: Final = TypeAdapter(UUID)
_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_PAGE_HEADERS: Final = {**_HEADERS, "Content-Security-Policy": POLICY}


@endpoint("GET", "/v1/policies", access=PUBLIC, raises=(CompanyMissing,))
async def list_policies(request: web.Request, *, query: CompanyQuery) -> PoliciesView:
    """List a company's documents and their editions. No log-in is needed to read what binds."""
    async with _public(request, query.company_id) as conn:
        controller = await service.controller(conn, query.company_id)
        standings = await service.standings(conn, query.company_id, now(request))
    return PoliciesView(
        controller=ControllerView.model_validate(controller),
        prevailing_language=PREVAILING,
        items=[
            StandingView(
                document=one.document,
                in_force=None if one.in_force is None else one.in_force.edition,
                editions=[EditionView.model_validate(edition) for edition in one.editions],
            )
            for one in standings
        ],
    )


@endpoint(
    "GET",
    "/v1/policies/{document}/current",
    access=PUBLIC,
    raises=(CompanyMissing, DocumentMissing),
)
async def read_current_policy(
    request: web.Request, *, document: Document, query: TextQuery
) -> ShownView:
    """Read the edition of a document that is in force now."""
    async with _public(request, query.company_id) as conn:
        controller = await service.controller(conn, query.company_id)
        shown = await service.in_force(
            conn, query.company_id, document, now(request), language=query.language
        )
    return _shown_view(shown, controller)


@endpoint(
    "GET",
    "/v1/policies/{document}/editions/{edition}",
    access=PUBLIC,
    raises=(CompanyMissing, EditionMissing),
)
async def read_policy_edition(
    request: web.Request, *, document: Document, edition: EditionNumber, query: TextQuery
) -> ShownView:
    """Read any published edition: one in force, one that was, or one to come."""
    async with _public(request, query.company_id) as conn:
        controller = await service.controller(conn, query.company_id)
        shown = await service.edition(
            conn, query.company_id, document, edition, language=query.language
        )
    return _shown_view(shown, controller)


@endpoint(
    "GET",
    "/v1/policies/{document}/diff",
    access=ANY_MEMBER,
    raises=(DocumentMissing, EditionMissing),
)
async def read_policy_diff(
    request: web.Request, *, document: Document, query: DiffQuery
) -> DifferenceView:
    """Read what the newest edition changes, by default since the one the caller accepted last."""
    async with transaction(request, readonly=True) as conn:
        found = await service.difference(
            conn,
            request[COMPANY],
            me(request),
            document,
            since=query.since,
            language=query.language,
        )
    return DifferenceView(
        document=found.document,
        since=found.since,
        edition=found.edition,
        language=found.language,
        asked_language=found.asked_language,
        fell_back=found.language is not found.asked_language,
        changes=[ChangeView.model_validate(one) for one in found.changes],
    )


@endpoint(
    "POST",
    "/v1/policies/{document}/editions",
    access=MAIN_USER,
    status=HTTPStatus.CREATED,
    raises=(ChangeClassMisplaced, NoticeTooShort, EditionOrder, EditionTaken, TextUnfit),
    body_bytes_max=EDITION_BYTES_MAX,
)
async def publish_policy_edition(
    request: web.Request, *, document: Document, body: NewEdition
) -> EditionView:
    """Publish an edition and tell every member; it is in force 30 days later at the earliest.

    No class shortens that, not even `protective`; a first edition alone is in force at once. What
    was published cannot be changed or taken back: publish the next edition.
    """
    at = now(request)
    texts = {language: getattr(body.texts, language.value) for language in Locale}
    draft = Draft(
        document=document,
        change_class=body.change_class,
        adds_purpose=body.adds_purpose,
        effective_at=body.effective_at,
        texts={language: text for language, text in texts.items() if text is not None},
    )
    async with transaction(request) as conn:
        made = await service.publish(conn, request[COMPANY], draft, actor=_actor(request), now=at)
    return EditionView.model_validate(made)


@endpoint("GET", "/v1/me/policy-acceptances", access=ANY_MEMBER)
async def list_policy_acceptances(request: web.Request) -> AcceptancesView:
    """List what the caller accepted, and which documents in force they have not."""
    async with transaction(request, readonly=True) as conn:
        found = await service.acceptances(conn, request[COMPANY], me(request), now(request))
    return AcceptancesView(
        items=[AcceptanceView.model_validate(one) for one in found.items],
        outstanding=list(found.outstanding),
    )


def page_routes() -> list[web.RouteDef]:
    """Return the pages for people: every edition, without a log-in and without script."""
    return [
        web.get("/policies/style.css", _style, name="policies_style"),
        web.get("/policies/{company_id}", _index_page, name="policies_page"),
        web.get("/policies/{company_id}/{document}", _document_page, name="policy_page"),
    ]


async def _style(_request: web.Request) -> web.Response:
    return web.Response(text=page.STYLE, content_type="text/css", headers=_HEADERS)


async def _index_page(request: web.Request) -> web.Response:
    company_id = _company_id(request)
    async with _public(request, company_id) as conn:
        controller = await service.controller(conn, company_id)
        standings = await service.standings(conn, company_id, now(request))
    return _html(page.index(company_id, controller, standings, _language(request)))


async def _document_page(request: web.Request) -> web.Response:
    company_id, at, language = _company_id(request), now(request), _language(request)
    try:
        document = Document(request.match_info["document"])
        wanted = request.query.get("edition")
        number = None if wanted is None else _EDITION_NUMBER.validate_strings(wanted)
    except ValueError:  # pydantic's is one
        raise NotThere from None
    async with _public(request, company_id) as conn:
        controller = await service.controller(conn, company_id)
        standing = await service.standing_of(conn, company_id, document, at)
        if number is None:
            shown = await service.in_force(conn, company_id, document, at, language=language)
        else:
            shown = await service.edition(conn, company_id, document, number, language=language)
    return _html(page.document(company_id, controller, standing, shown))


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers=_PAGE_HEADERS)


def _public(request: web.Request, company_id: UUID) -> AbstractAsyncContextManager[Connection]:
    # Policies are public, so naming a company is enough to see its own.
    return db.tenant(request.app[POOL], company_id, readonly=True)


def _company_id(request: web.Request) -> UUID:
    try:
        return _COMPANY_ID.validate_strings(request.match_info["company_id"])
    except ValidationError:
        raise NotThere from None


def _language(request: web.Request) -> Locale:
    asked = request.query.get("language")
    return Locale(asked) if asked in tuple(Locale) else PREVAILING


def _actor(request: web.Request) -> Actor:
    caller = request[CALLER]
    if caller.role is None:
        raise NotPermitted
    return Actor(kind=ActorKind(caller.role.value), member_id=caller.member_id)


def _shown_view(shown: Shown, controller: Controller) -> ShownView:
    edition = EditionView.model_validate(shown.edition)
    return ShownView(
        **edition.model_dump(),
        language=shown.language,
        asked_language=shown.asked_language,
        fell_back=shown.fell_back,
        prevailing_language=PREVAILING,
        text=filled(shown.text, controller, shown.language),
        template=shown.text,
        sha256=shown.sha256,
        authoritative_sha256=shown.authoritative_sha256,
    )


ENDPOINTS: Final = (
    list_policies,
    read_current_policy,
    read_policy_edition,
    read_policy_diff,
    publish_policy_edition,
    list_policy_acceptances,
)
