"""Who looks or acts, as the ledger names them."""

from typing import Final

from aiohttp import web

from server.credentials.access import CALLER
from server.credentials.model import Caller, Role
from server.ledger.model import Actor, ActorKind

_KINDS: Final = {
    Role.DRIVER: ActorKind.DRIVER,
    Role.DISPATCHER: ActorKind.DISPATCHER,
    Role.MAIN_USER: ActorKind.MAIN_USER,
}


def actor_of(caller: Caller) -> Actor:
    """Return the member under their role, or the integration under its token's id."""
    if caller.role is not None:
        return Actor(kind=_KINDS[caller.role], member_id=caller.member_id)
    return Actor(kind=ActorKind.API_TOKEN, reference_id=caller.api_token_id)


def viewer(request: web.Request) -> Actor:
    """Return who is calling, for endpoints that are not public."""
    return actor_of(request[CALLER])
