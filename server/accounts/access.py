"""Who may call an endpoint: the one vocabulary that every feature's web module uses."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from server.accounts.model import Caller, Role, Scope

CALLER: web.RequestKey[Caller] = web.RequestKey("CALLER")

SECURITY_SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session, device or API token.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-jolda",
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
        return ", ".join(who)


STAFF_ROLES: Final = frozenset({Role.DISPATCHER, Role.MAIN_USER})

PUBLIC: Final = Access(public=True)
ANY_MEMBER: Final = Access(roles=frozenset(Role))
DRIVER: Final = Access(roles=frozenset({Role.DRIVER}))
STAFF: Final = Access(roles=STAFF_ROLES)
MAIN_USER: Final = Access(roles=frozenset({Role.MAIN_USER}))
DEVICE: Final = Access(device=True)


def staff(scope: Scope) -> Access:
    """Dispatchers, main users, and API tokens with the scope."""
    return Access(roles=STAFF_ROLES, scope=scope)


def everyone(scope: Scope) -> Access:
    """Any member (the service looks whose it is), and API tokens with the scope."""
    return Access(roles=frozenset(Role), scope=scope)
