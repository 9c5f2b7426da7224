"""Questions about policies over HTTP, and accepting a policy with what was clarified before."""

from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.accounts.model import Locale
from server.clarifications import service
from server.clarifications.model import (
    TEXT_CHARS_MAX,
    ClarificationActRefused,
    ClarificationBlank,
    ClarificationMissing,
    ClarificationOwn,
    ClarificationState,
    ClarificationsTooMany,
    Question,
    ShownClarification,
)
from server.credentials.access import ANY_MEMBER, STAFF, VAULT, me
from server.credentials.viewers import viewer
from server.kit.api import Endpoint, endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Page, PageQuery, Text, Wire
from server.policies import service as policies
from server.policies.model import (
    Acceptance,
    Document,
    EditionMissing,
    EditionOutdated,
    TextDiffers,
)
from server.policies.wire import AcceptanceView, EditionNumber, NewAcceptance
from server.vault.model import SubjectErased

Paragraphs = Annotated[str, Text(TEXT_CHARS_MAX, lines=True)]


class NewQuestion(Wire):
    document: Document
    edition: EditionNumber
    language: Locale
    """In which the edition was shown; where it has no such text, the prevailing one counts."""
    question: Paragraphs


class NewAnswer(Wire):
    answer: Paragraphs


class ClarificationView(Wire):
    clarification_id: UUID
    document: Document
    edition: int
    language: Locale
    state: ClarificationState
    asked_at: Instant
    question: str
    answered_at: Instant | None
    answered_by: str | None = Field(
        description="The name; empty where the person was erased, null before the answer."
    )
    answer: str | None
    withdrawn_at: Instant | None


class AskedView(ClarificationView):
    """As the company sees it."""

    member_id: UUID
    asked_by: str = Field(description="The name of whoever asked.")


class AskedQuery(PageQuery):
    state: Literal["open", "answered"] | None = None
    """Left out: both, the open ones first."""


@endpoint(
    "POST",
    "/v1/me/clarifications",
    access=ANY_MEMBER,
    status=HTTPStatus.CREATED,
    raises=(EditionMissing, ClarificationBlank, ClarificationsTooMany, SubjectErased),
)
async def ask_clarification(request: web.Request, *, body: NewQuestion) -> ClarificationView:
    """Ask what an edition of a policy means, before accepting it or consenting by it.

    The main users are told that a question waits; who answers it may read it.
    """
    at = now(request)
    asked = Question(
        document=body.document, edition=body.edition, language=body.language, text=body.question
    )
    async with transaction(request) as conn:
        shown = await service.ask(
            conn,
            request.app[VAULT],
            request[COMPANY],
            asked,
            by=viewer(request),
            by_member=me(request),
            now=at,
        )
    return _view(shown)


@endpoint("GET", "/v1/me/clarifications", access=ANY_MEMBER, raises=(CursorInvalid,))
async def list_my_clarifications(
    request: web.Request, *, query: PageQuery
) -> Page[ClarificationView]:
    """List what the caller asked, with the answers, the newest first."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.own(
            conn,
            request.app[VAULT],
            request[COMPANY],
            me(request),
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page(items=[_view(one) for one in found], next_cursor=following)


@endpoint(
    "POST",
    "/v1/me/clarifications/{clarification_id}/withdraw",
    access=ANY_MEMBER,
    raises=(ClarificationMissing, ClarificationActRefused),
)
async def withdraw_clarification(
    request: web.Request, *, clarification_id: UUID
) -> ClarificationView:
    """Take back a question that waits: the company does not see it any more."""
    at = now(request)
    async with transaction(request) as conn:
        shown = await service.withdraw(
            conn,
            request.app[VAULT],
            request[COMPANY],
            clarification_id,
            by=viewer(request),
            by_member=me(request),
            now=at,
        )
    return _view(shown)


@endpoint("GET", "/v1/clarifications", access=STAFF, raises=(CursorInvalid,))
async def list_clarifications(request: web.Request, *, query: AskedQuery) -> Page[AskedView]:
    """List what members asked: what waits for an answer first, and of it the oldest first."""
    state = None if query.state is None else ClarificationState(query.state)
    async with transaction(request, readonly=True) as conn:
        found, following = await service.asked(
            conn,
            request.app[VAULT],
            request[COMPANY],
            state=state,
            cursor=query.cursor,
            limit=query.limit,
        )
    return Page(items=[_asked_view(one) for one in found], next_cursor=following)


@endpoint(
    "POST",
    "/v1/clarifications/{clarification_id}/answer",
    access=STAFF,
    raises=(
        ClarificationBlank,
        ClarificationMissing,
        ClarificationActRefused,
        ClarificationOwn,
        SubjectErased,
    ),
)
async def answer_clarification(
    request: web.Request, *, clarification_id: UUID, body: NewAnswer
) -> AskedView:
    """Answer a question, once: whoever asked is told, and the answer is never changed."""
    at = now(request)
    async with transaction(request) as conn:
        shown = await service.answer(
            conn,
            request.app[VAULT],
            request[COMPANY],
            clarification_id,
            body.answer,
            by=viewer(request),
            by_member=me(request),
            now=at,
        )
    return _asked_view(shown)


@endpoint(
    "POST",
    "/v1/me/policy-acceptances",
    access=ANY_MEMBER,
    status=HTTPStatus.CREATED,
    raises=(EditionMissing, EditionOutdated, TextDiffers),
)
async def accept_policy(request: web.Request, *, body: NewAcceptance) -> AcceptanceView:
    """Accept one edition of one document, by the hash of the text that was shown.

    It is no consent to anything. Again is the same as once. What the caller had asked about the
    edition stands in the acceptance: which questions were answered before, and how many waited.
    """
    at, company_id, member_id = now(request), request[COMPANY], me(request)
    async with transaction(request) as conn:
        clarified = await service.answered_before(
            conn, company_id, member_id, body.document, body.edition, at
        )
        acceptance = Acceptance(
            member_id=member_id,
            document=body.document,
            edition=body.edition,
            language=body.language,
            sha256=body.sha256,
            accepted_at=at,
            clarified=clarified,
        )
        accepted = await policies.accept(conn, company_id, acceptance, actor=viewer(request))
    return AcceptanceView.model_validate(accepted)


def _view(shown: ShownClarification) -> ClarificationView:
    one = shown.clarification
    return ClarificationView(
        clarification_id=one.clarification_id,
        document=one.document,
        edition=one.edition,
        language=one.language,
        state=one.state,
        asked_at=one.asked_at,
        question=shown.question,
        answered_at=one.answered_at,
        answered_by=shown.answered_by,
        answer=shown.answer,
        withdrawn_at=one.withdrawn_at,
    )


def _asked_view(shown: ShownClarification) -> AskedView:
    return AskedView(
        member_id=shown.clarification.member_id,
        asked_by=shown.asked_by,
        **dict(_view(shown)),
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    ask_clarification,
    list_my_clarifications,
    withdraw_clarification,
    list_clarifications,
    answer_clarification,
    accept_policy,
)
