"""Who may call an endpoint: the one vocabulary that every feature's web module uses."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from aiohttp import web

from server.credentials import service
from server.credentials.model import (
    USE_NOTED_EVERY,
    Caller,
    Kind,
    NotAuthenticated,
    NotPermitted,
    OriginForeign,
    Role,
    Scope,
    SecondFactorNeeded,
    StepUpNeeded,
)
from server.kit import db, tokens
from server.kit.tokens import Token
from server.kit.web import COMPANY, POOL, now
from server.vault.service import Vault

VAULT: web.AppKey[Vault] = web.AppKey("VAULT")
CALLER: web.RequestKey[Caller] = web.RequestKey("CALLER")
PUBLIC_ORIGIN: web.AppKey[str] = web.AppKey("PUBLIC_ORIGIN")
"""Where browsers reach us when a proxy stands in front, e.g. ``https://jolda.example``."""
COOKIE: Final = "__Host-jolda"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

SECURITY_SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session, device or API token.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A browser's session; unsafe methods also need the page's own Origin.",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Roles that may call, and the scope an API token needs (None: API tokens may not)."""

    roles: frozenset[Role] = frozenset()
    scope: Scope | None = None
    device: bool = False
    public: bool = False
    proved_by_handler: bool = False
    """The handler finds out who calls, from a cache: uploads cannot afford a look-up each."""
    step_up: bool = False
    """Only a session that was proven anew within the last minutes; see :func:`after_step_up`."""
    while_enrolling: bool = False
    """Also whoever still has to set up the second factor that their company asks for."""

    def permits(self, caller: Caller) -> bool:
        """Tell whether the caller may; whose data it is about is the service's question."""
        if caller.device_id is not None:
            return self.device
        if caller.role is not None:
            return caller.role in self.roles
        return self.scope is not None and self.scope in caller.scopes

    def security(self) -> list[dict[str, list[str]]]:
        if self.public:
            return []
        return [{"bearer": []}] if self.device else [{"bearer": []}, {"cookie": []}]

    def words(self) -> str:
        if self.public:
            return "everybody"
        who = sorted(role.value for role in self.roles)
        if self.device:
            who.append("a device's token")
        if self.scope is not None:
            who.append(f"an API token with `{self.scope.value}`")
        if self.step_up:
            who.append("after a step-up log-in")
        return ", ".join(who)


STAFF_ROLES: Final = frozenset({Role.DISPATCHER, Role.MAIN_USER})

PUBLIC: Final = Access(public=True)
ANY_MEMBER: Final = Access(roles=frozenset(Role))
DRIVER: Final = Access(roles=frozenset({Role.DRIVER}))
STAFF: Final = Access(roles=STAFF_ROLES)
MAIN_USER: Final = Access(roles=frozenset({Role.MAIN_USER}))
DEVICE: Final = Access(device=True, proved_by_handler=True)
ITS_DEVICE: Final = Access(device=True)
"""A driver's device, looked up as everybody else is: for what it does now and then."""


def staff(scope: Scope) -> Access:
    """Dispatchers, main users, and API tokens with the scope."""
    return Access(roles=STAFF_ROLES, scope=scope)


def everyone(scope: Scope) -> Access:
    """Any member (the service looks whose it is), and API tokens with the scope."""
    return Access(roles=frozenset(Role), scope=scope)


def after_step_up(access: Access) -> Access:
    """Return the access for those of its members who have just proven again who they are."""
    return replace(access, scope=None, device=False, step_up=True)


def while_enrolling(access: Access) -> Access:
    """Return the access for those as well who still have to set up a second factor."""
    return replace(access, while_enrolling=True)


async def authorize(request: web.Request, access: Access) -> None:
    """Find out who is calling and whether they may; runs before anything else is read.

    Raises
    ------
    NotAuthenticated, NotPermitted, SecondFactorNeeded, StepUpNeeded, OriginForeign
    """
    if access.public or access.proved_by_handler:
        return
    token = presented(request)
    if token is None:
        raise NotAuthenticated
    # The company in the token is a claim: it only decides whose rows the look-up may see.
    async with db.tenant(request.app[POOL], token.company_id, readonly=True) as conn:
        caller = await service.caller_of_token(conn, token, now=now(request))
    if caller is None:
        raise NotAuthenticated
    if not access.permits(caller):
        raise NotPermitted
    if caller.must_enrol and not access.while_enrolling:
        raise SecondFactorNeeded
    request[CALLER] = caller
    request[COMPANY] = caller.company_id
    if access.step_up:
        refuse_unless_stepped_up(request)
    await _note_use(request, token, caller)


async def _note_use(request: web.Request, token: Token, caller: Caller) -> None:
    """Note that the session is used, if it was not noted of late.

    Where nothing can be written, it goes on being answered what only reads.
    """
    at, noted_at = now(request), caller.use_noted_at
    if noted_at is None or at - noted_at < USE_NOTED_EVERY:
        return
    with suppress(*db.OUTAGES):
        async with db.tenant(request.app[POOL], caller.company_id) as conn:
            await service.note_use(conn, caller.company_id, token.digest, at)


def refuse_unless_stepped_up(request: web.Request) -> None:
    """Refuse a session that was not proven anew within the last minutes.

    For what only some calls of an endpoint need; where all of them do, its access says so. A device
    or an API token is always refused: nobody proves anything there.

    Raises
    ------
    StepUpNeeded
    """
    until = request[CALLER].stepped_up_until
    if until is None or until <= now(request):
        raise StepUpNeeded


def presented(request: web.Request) -> Token | None:
    """Return the caller's token: of the Authorization header, else of the browser's cookie.

    Raises
    ------
    OriginForeign
        A cookie came with an unsafe method from a page that is not ours.
    """
    headers = request.headers.getall("Authorization", [])
    if headers:
        scheme, _, bearer = headers[0].partition(" ")
        return tokens.parse(bearer) if len(headers) == 1 and scheme.lower() == "bearer" else None
    cookie = request.cookies.get(COOKIE)
    token = None if cookie is None else tokens.parse(cookie)
    if token is None or token.kind != Kind.SESSION:
        return None
    if request.method not in SAFE_METHODS and not _is_own_origin(request):
        raise OriginForeign
    return token


def digest_of(request: web.Request) -> bytes:
    """Return the digest of the token that the caller presents.

    Raises
    ------
    NotAuthenticated
    """
    token = presented(request)
    if token is None:  # authorize() has read the same header before
        raise NotAuthenticated
    return token.digest


def _is_own_origin(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    if not origin:
        return False
    return origin in (f"{request.scheme}://{request.host}", request.app.get(PUBLIC_ORIGIN))


def me(request: web.Request) -> UUID:
    """Return the calling member's id; for endpoints whose access admits members only.

    Raises
    ------
    NotAuthenticated
    """
    member_id = request[CALLER].member_id
    if member_id is None:
        raise NotAuthenticated
    return member_id
