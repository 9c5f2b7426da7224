"""The notices' endpoints: a member's own, what they want, and news."""

from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import ANY_MEMBER, CALLER, MAIN_USER, VAULT, me
from server.credentials.model import NotAuthenticated, Role
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Page, Text, Wire
from server.notice_kinds.kinds import PROSE_CHARS_MAX, Category, Channel, NoticeKind
from server.notice_kinds.table import KINDS
from server.notices import service
from server.notices.model import (
    MarketingConsentNeeded,
    NoticeMissing,
    Preference,
    ServiceNoticeNotRefusable,
    ShownNotice,
)

NOTICES_MAX: Final = 200
CURSOR_CHARS_MAX: Final = 64
HEADLINE_CHARS_MAX: Final = 120
WAYS_OUT: web.AppKey[Collection[Channel]] = web.AppKey("WAYS_OUT")
"""The channels that messages leave by, beside the app."""


class NoticeView(Wire):
    notice_id: UUID
    kind: NoticeKind
    category: Category
    language: str | None
    title: str
    text: str
    queued_at: Instant
    seen_at: Instant | None


class InboxQuery(Wire):
    unseen: bool = False
    cursor: Annotated[str, Text(CURSOR_CHARS_MAX)] | None = None
    limit: Annotated[int, Field(ge=1, le=NOTICES_MAX)] = 50


class ServiceChannels(Wire):
    """Always on: notices about rights and the account cannot be switched off."""

    in_app: Literal[True] = True
    email: Literal[True] = True
    sms: Literal[True] = True
    push: Literal[True] = True


class MarketingChannels(Wire):
    email: bool
    sms: bool
    push: bool


class PreferenceView(Wire):
    service: ServiceChannels = ServiceChannels()
    marketing: MarketingChannels
    changed_at: Instant | None


class ServiceWish(Wire):
    in_app: bool | None = None
    email: bool | None = None
    sms: bool | None = None
    push: bool | None = None


class MarketingWish(Wire):
    """What is left out, or null, stays as it is."""

    email: bool | None = None
    sms: bool | None = None
    push: bool | None = None


class PreferenceChange(Wire):
    service: ServiceWish = ServiceWish()
    marketing: MarketingWish = MarketingWish()


class News(Wire):
    news_id: UUID
    """Made by the caller: the same news are sent once, however often this is asked."""
    headline: Annotated[str, Text(HEADLINE_CHARS_MAX)]
    message: Annotated[str, Text(PROSE_CHARS_MAX)]


class NewsQueued(Wire):
    members: int


@endpoint("GET", "/v1/me/notices", access=ANY_MEMBER, raises=(CursorInvalid,))
async def list_my_notices(request: web.Request, *, query: InboxQuery) -> Page[NoticeView]:
    """List what the caller was told, newest first, in the language it was written in."""
    async with transaction(request) as conn:
        found, following = await service.inbox(
            conn,
            request.app[VAULT],
            request[COMPANY],
            me(request),
            unseen=query.unseen,
            cursor=query.cursor,
            limit=query.limit,
            ways_out=request.app[WAYS_OUT],
            now=now(request),
        )
    return Page(items=[_view(one) for one in found], next_cursor=following)


@endpoint("POST", "/v1/me/notices/{notice_id}/seen", access=ANY_MEMBER, raises=(NoticeMissing,))
async def see_my_notice(request: web.Request, *, notice_id: UUID) -> None:
    """Record that the caller saw a notice. Again changes nothing."""
    async with transaction(request) as conn:
        await service.mark_seen(
            conn, request[COMPANY], me(request), notice_id, by=_role(request), now=now(request)
        )


@endpoint("GET", "/v1/me/notice-preferences", access=ANY_MEMBER)
async def read_my_notice_preferences(request: web.Request) -> PreferenceView:
    """Read where the caller wants marketing; nowhere unless they asked for it."""
    async with transaction(request, readonly=True) as conn:
        found = await service.preference(conn, request[COMPANY], me(request))
    return _preference(found)


@endpoint(
    "PATCH",
    "/v1/me/notice-preferences",
    access=ANY_MEMBER,
    raises=(ServiceNoticeNotRefusable, MarketingConsentNeeded),
)
async def change_my_notice_preferences(
    request: web.Request, *, body: PreferenceChange
) -> PreferenceView:
    """Switch marketing on or off. Once off was answered, none goes out any more.

    A driver chooses under their consent to marketing: giving it switches all channels on, ending
    it switches them off.
    """
    async with transaction(request) as conn:
        found = await service.set_preference(
            conn,
            request[COMPANY],
            me(request),
            by=_role(request),
            marketing=_named(body.marketing),
            service=_named(body.service),
            now=now(request),
        )
    await service.drain(request.app[POOL], request[COMPANY], me(request))
    return _preference(found)


@endpoint("POST", "/v1/news", access=MAIN_USER, status=HTTPStatus.ACCEPTED)
async def send_news(request: web.Request, *, body: News) -> NewsQueued:
    """Queue news for the members who asked for marketing, and for nobody else."""
    async with transaction(request) as conn:
        members = await service.queue_marketing(
            conn,
            request[COMPANY],
            news_id=body.news_id,
            headline=body.headline,
            message=body.message,
            now=now(request),
        )
    return NewsQueued(members=members)


def _view(shown: ShownNotice) -> NoticeView:
    notice, text = shown.notice, shown.text
    return NoticeView(
        notice_id=notice.notice_id,
        kind=notice.kind,
        category=KINDS[notice.kind].category,
        language=None if text is None else text.language,
        title="" if text is None else text.title,
        text="" if text is None else text.body,
        queued_at=notice.queued_at,
        seen_at=notice.seen_at,
    )


def _preference(found: Preference) -> PreferenceView:
    marketing = {channel.value: wanted for channel, wanted in found.wanted.items()}
    return PreferenceView(
        marketing=MarketingChannels.model_validate(marketing), changed_at=found.changed_at
    )


def _named(wish: ServiceWish | MarketingWish) -> dict[Channel, bool]:
    """Return the channels that the caller said something about."""
    return {Channel(name): wanted for name, wanted in wish if wanted is not None}


def _role(request: web.Request) -> Role:
    role = request[CALLER].role
    if role is None:
        raise NotAuthenticated
    return role


ENDPOINTS: Final = (
    list_my_notices,
    see_my_notice,
    read_my_notice_preferences,
    change_my_notice_preferences,
    send_news,
)
