"""Asks a served Jolda, and looks at every refusal: a problem, with nothing of what was sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from aiohttp import ClientResponse, ClientSession

from server.app import ENDPOINTS
from server.credentials.model import Scope
from server.kit.api import Endpoint
from tests.api import samples
from tests.api.people import CALLERS, People, may_call
from tests.running import Demo

CANARY: Final = "kanareika-55.7558-37.6173"
JSON: Final = {"Content-Type": "application/json"}
WITH_BODY: Final = tuple(one for one in ENDPOINTS if one.takes_body)
GUARDED: Final = tuple(one for one in ENDPOINTS if one.access.security())


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A served Jolda with two companies that know nothing of each other."""

    served: Demo
    http: ClientSession
    ours: People
    theirs: People
    another: Mapping[str, str]
    """What another driver of ours has, by the name that takes its id."""
    erased: Mapping[str, str]
    """What a driver of ours had who was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def paths(self) -> list[str]:
        return [one["path"] for one in self.problem["fields"]]


def name_of(one: Endpoint) -> str:
    return one.name


def path_of(one: Endpoint, ids: Mapping[str, str]) -> str:
    """Return the path with the ids in it; random ones where none is named, and words that exist."""
    chosen = {name: ids.get(name, str(uuid4())) for name in one.parameters}
    words = {"item": "location", "document": "driver_notice", "edition": "1", "plan_version": "1"}
    return one.path.format_map({**chosen, **{name: ids.get(name, words[name]) for name in words}})


def token_for(one: Endpoint, people: People) -> str | None:
    """Return the token of the one who may least and still may call it; None for everybody."""
    caller = next(caller for caller in CALLERS if may_call(one, caller))
    return people.tokens.get(caller)


def tokens_for(one: Endpoint, people: People) -> list[str]:
    """Return every kind of token that may call it."""
    scopes = [scope for scope in Scope if scope == getattr(one.access, "scope", None)]
    return [
        *(token for caller, token in people.tokens.items() if may_call(one, caller)),
        *(people.api_tokens[scope] for scope in scopes),
    ]


async def ask(
    stage: Stage,
    one: Endpoint,
    *,
    token: str | None,
    ids: Mapping[str, str] | None = None,
    path: str | None = None,
    query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Call the endpoint and look at the answer as :func:`refusal` does."""
    shown = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with stage.http.request(
        one.method,
        path or path_of(one, stage.ours.things if ids is None else ids),
        params=samples.query(one) if query is None else query,
        data=data,
        headers={**shown, **(headers or {})},
        allow_redirects=False,
    ) as response:
        return await refusal(response)


async def refusal(response: ClientResponse) -> Answer:
    """Return the answer, once it is sure that a refusal is a problem and tells nothing."""
    if response.status < 400 and response.content_type == "text/event-stream":
        return Answer(status=response.status, body=b"", headers=response.headers)
    answer = Answer(status=response.status, body=await response.read(), headers=response.headers)
    assert answer.status < 500, answer
    if answer.status < 400:
        return answer
    assert response.content_type == "application/problem+json", answer
    told = answer.problem
    assert told["type"] == f"/problems/{told['code']}"
    assert told["title"]
    assert told["status"] == answer.status
    everything = (answer.body.decode() + str(response.headers)).lower()
    for part in CANARY.lower().split("-"):
        assert part not in everything, told["code"]
    return answer
