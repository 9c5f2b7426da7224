"""The accounts' endpoints: the staff of the company, and the caller's own account."""

from typing import Final

from aiohttp import web

from server.accounts import service
from server.accounts.wire import Me, MemberView
from server.credentials.access import ANY_MEMBER, MAIN_USER, VAULT, me
from server.kit.api import endpoint
from server.kit.cursors import CursorInvalid
from server.kit.web import COMPANY, transaction
from server.kit.wire import Page, PageQuery


@endpoint("GET", "/v1/members", access=MAIN_USER, raises=(CursorInvalid,))
async def list_members(request: web.Request, *, query: PageQuery) -> Page[MemberView]:
    """List the dispatchers and main users; drivers have a list of their own."""
    async with transaction(request, readonly=True) as conn:
        found, following = await service.staff(
            conn, request.app[VAULT], request[COMPANY], cursor=query.cursor, limit=query.limit
        )
    return Page(items=[MemberView.model_validate(one) for one in found], next_cursor=following)


@endpoint("GET", "/v1/me", access=ANY_MEMBER)
async def read_me(request: web.Request) -> Me:
    """Return the caller's own account."""
    async with transaction(request, readonly=True) as conn:
        found = await service.profile(conn, request.app[VAULT], request[COMPANY], me(request))
    return Me.model_validate(found)


ENDPOINTS: Final = (list_members, read_me)
