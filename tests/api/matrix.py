"""Who may do what to whose things, at every endpoint: a cell for each, made from the router.

``python -m tests.api.matrix`` writes docs/reference/access-matrix.md anew; test_matrix.py asks a
served Jolda for every cell.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from server.app import ENDPOINTS
from server.credentials.model import Role, Scope
from server.kit.api import Endpoint
from tests.api import samples

FILE: Final = Path(__file__).parents[2] / "docs" / "reference" / "access-matrix.md"
NOBODY: Final = "nobody"
DEVICE: Final = "device"
CALLERS: Final = (
    NOBODY,
    DEVICE,
    *(role.value for role in (Role.DRIVER, Role.DISPATCHER, Role.MAIN_USER)),
    *(scope.value for scope in Scope),
)
"""An API token stands here with each scope alone."""
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
BY_HANDLER: Final = "upload_positions"
"""Finds out who calls by itself, so that only a device's own token means anything to it."""
OF_ERASED: Final = (
    *("driver_id", "member_id", "session_id", "device_id", "record_id", "notice_id"),
    *("clarification_id", "event_id", "export_id", "hold_id", "person_request_id"),
)
"""What goes with a driver."""
STAYING: Final = ("route_id", "stop_id", "request_id", "disclosure_id", "incident_id")
"""What is about one driver and stays after their erasure, without a person."""
OF_ANOTHER: Final = (*OF_ERASED, *STAYING)
"""What is a driver's own, and no other driver's of the same company."""
OF_THE_COMPANY: Final = (
    *("alert_id", "api_token_id", "change_id", "company_id", "import_id", "link_id"),
    *("news_id", "vehicle_id"),
)
"""What is nobody's own: of one company, and not of another."""
NAMED: Final = ("item", "document", "edition", "plan_version", "field")
"""Parameters of paths that take a word or a number which is the same for everybody."""
SHOWN: Final = ("token",)
"""Parameters of paths that prove by themselves what may be seen."""


class Owner(StrEnum):
    """Whose the ids are that a request names."""

    NONE = "no ids"
    OWN = "the own company's"
    ANOTHER = "another member's of the company"
    FOREIGN = "another company's"
    ERASED = "an erased member's"
    NOTHING = "nobody's"


class Expected(StrEnum):
    UNKNOWN = "401"
    REFUSED = "403"
    NOT_THERE = "404"
    SAME = "as nobody's"
    """The answer to an id that never was, in status and every byte."""
    MAY = "may"
    NO_METHOD = "405"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    caller: str
    owner: Owner
    expected: Expected


def may_call(one: Endpoint, caller: str) -> bool:
    """Tell whether the access lets this kind of caller in, after a step-up if it asks for one."""
    access = one.access
    if not access.security():
        return True
    if caller == DEVICE:
        return bool(getattr(access, "device", False))
    if caller in tuple(Role):
        return Role(caller) in getattr(access, "roles", ())
    scope = getattr(access, "scope", None)
    return scope is not None and caller == scope.value


def ids_in(one: Endpoint) -> list[str]:
    """Return the names of the ids that the endpoint takes, in its path, query or body."""
    body = samples.bodies(one)[0] if one.takes_body else {}
    parameters = samples.operation(one)["parameters"]
    named = {part["name"] for part in parameters if part["schema"].get("format") == "uuid"}
    named |= {name for name, value in body.items() if value == samples.UUID_OF_NOTHING}
    return sorted(named - {"cursor"})


def without_thing(endpoints: Iterable[Endpoint], things: Container[str]) -> list[str]:
    """Return what endpoints ask for and there is none of: its cells would prove nothing."""
    asked = {name for one in endpoints for name in (*ids_in(one), *one.parameters)}
    return sorted(name for name in asked - set(NAMED) if name not in things)


def cells(one: Endpoint) -> list[Cell]:
    """Return every cell of the endpoint."""
    return [
        Cell(caller=caller, owner=owner, expected=_expected(one, caller, owner))
        for caller in CALLERS
        for owner in _owners(one, caller)
    ]


def _owners(one: Endpoint, caller: str) -> Iterator[Owner]:
    names = ids_in(one)
    if not names:
        yield Owner.NONE
        return
    yield from (Owner.NOTHING, Owner.OWN, Owner.FOREIGN)
    if not set(names).isdisjoint(OF_ERASED):
        yield Owner.ERASED
    is_own_only = one.path.startswith("/v1/me/") or caller == Role.DRIVER.value
    if is_own_only and not set(names).isdisjoint(OF_ANOTHER):
        yield Owner.ANOTHER


def _expected(one: Endpoint, caller: str, owner: Owner) -> Expected:
    if not one.access.security():
        return Expected.MAY
    if not may_call(one, caller):
        unknown = caller == NOBODY or one.name == BY_HANDLER
        return Expected.UNKNOWN if unknown else Expected.REFUSED
    if owner in {Owner.NONE, Owner.OWN}:
        return Expected.MAY
    if owner is Owner.NOTHING:
        in_path = set(one.parameters) & set(ids_in(one))
        return Expected.NOT_THERE if in_path else Expected.SAME
    return Expected.SAME


def paths() -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.path for one in ENDPOINTS))


def methods_not_there(path: str) -> list[str]:
    known = {one.method for one in ENDPOINTS if one.path == path}
    return [method for method in METHODS if method not in known]


HEAD: Final = """# Access matrix

Every endpoint, asked by every kind of caller for the things of every kind of owner. The cells are
made from the router, so an endpoint that is new has its rows at once; `make test` asks a served
Jolda for each cell and fails if one answers otherwise. This page is written by
`python -m tests.api.matrix`, and `make test` fails if it is not what the router says. Who may call
what in words: [Roles and scopes](roles-and-scopes.md).

- *401*: without a token that is known. *403*: known, and not allowed to call this at all, whatever
  it asked for.
- *404*: the path names an id that never was. *as nobody's*: the answer, in its status and every
  byte, is the one to an id that never was: nobody learns that it is somebody's.
- *may*: it is let in. What comes of it is in the tests of the feature.
- *405*: the path does not have this method, whoever asks.

Sessions are asked after a step-up log-in where an endpoint needs one; without it each answers 403
`step-up-needed`.
"""


def page() -> str:
    """Return the page."""
    every = [(one, cell) for one in ENDPOINTS for cell in cells(one)]
    no_method = sum(len(methods_not_there(path)) * len(CALLERS) for path in paths())
    sums = Counter((cell.owner, cell.expected) for _, cell in every)
    shown = [one for one in Expected if one is not Expected.NO_METHOD]
    lines = [HEAD, "## How many\n", "| things | " + " | ".join(shown) + " | cells |"]
    lines.append("|---" * (len(shown) + 2) + "|")
    for owner in Owner:
        counts = [sums[owner, one] for one in shown]
        lines.append(f"| {owner} | " + " | ".join(f"{n:,}" for n in (*counts, sum(counts))) + " |")
    lines.append(
        f"\n{len(ENDPOINTS)} endpoints and {len(CALLERS)} kinds of callers: {len(every):,} cells, "
        f"and {no_method:,} of methods that a path does not have, each 405. Every cell answers as "
        "it is said here: 0 leaks.\n"
    )
    lines += ["## Who is let in\n", "Scopes are those that an API token has alone.\n"]
    lines += ["| endpoint | " + " | ".join(f"`{one}`" for one in CALLERS) + " |"]
    lines.append("|---" * (len(CALLERS) + 1) + "|")
    for one in ENDPOINTS:
        own = {cell.caller: cell.expected for cell in cells(one) if cell.owner in _FIRST}
        row = " | ".join(own[caller] for caller in CALLERS)
        lines.append(f"| `{one.method} {one.path}` | {row} |")
    return "\n".join(lines) + "\n"


_FIRST: Final = (Owner.NONE, Owner.OWN)

if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
