"""Accepting an invitation over HTTP."""

from typing import Annotated, Final
from uuid import UUID

from aiohttp import web

from server.accounts.model import InvitationNotUsable
from server.credentials.access import PUBLIC, VAULT
from server.credentials.model import Role
from server.erasure.model import ErasureUnderWay
from server.kit.api import Endpoint, endpoint
from server.kit.tokens import TOKEN_CHARS_MAX
from server.kit.web import POOL, now
from server.kit.wire import Text, Wire
from server.life import joining
from server.log_in.model import LogInBusy
from server.log_in.passwords import PasswordTooCommon
from server.log_in.web import PASSWORDS
from server.log_in.wire import PASSWORD_CHARS_MIN


class Acceptance(Wire):
    code: Annotated[str, Text(TOKEN_CHARS_MAX)]
    password: Annotated[str, Text(128, PASSWORD_CHARS_MIN)]


class Accepted(Wire):
    member_id: UUID
    role: Role


@endpoint(
    "POST",
    "/v1/invitations/accept",
    access=PUBLIC,
    raises=(InvitationNotUsable, PasswordTooCommon, LogInBusy, ErasureUnderWay),
)
async def accept_invitation(request: web.Request, *, body: Acceptance) -> Accepted:
    """Set a password with the one-time code. The account is active from then on.

    Not while its erasure is asked for: that is decided first.
    """
    app = request.app
    member = await joining.join(
        app[POOL], app[VAULT], app[PASSWORDS], body.code, body.password, now=now(request)
    )
    return Accepted(member_id=member.member_id, role=member.role)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (accept_invitation,)
