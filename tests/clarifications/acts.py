"""What tests of the clarifications do."""

from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientSession

from server.accounts.model import Locale
from server.clarifications import service
from server.clarifications.model import Question, ShownClarification
from server.kit import db
from server.ledger.model import Actor, ActorKind
from server.policies.model import Document
from tests.http import bearer
from tests.world import NOW, World

MINE: Final = "/v1/me/clarifications"
ASKED: Final = "/v1/clarifications"
ABOUT: Final = {"document": "driver_notice", "edition": 1, "language": "en"}
QUESTION: Final = "Who sees where I am when my shift is over?\n\nAnd on a break?"
ANSWER: Final = "Nobody does. A break is no part of the shift."


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Sessions of one of each role, and the ids of the staff."""

    driver: str = field(repr=False)
    dispatcher: str = field(repr=False)
    boss: str = field(repr=False)
    dispatcher_id: UUID
    boss_id: UUID


async def call(
    client: ClientSession, method: str, path: str, token: str | None, body: object = None
) -> tuple[int, Any]:
    headers = {} if token is None else bearer(token)
    async with client.request(method, path, json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def asked(client: ClientSession, token: str, text: str = QUESTION, **about: object) -> Any:
    """Ask a question that is taken; return it."""
    status, told = await call(client, "POST", MINE, token, {**ABOUT, "question": text, **about})
    assert status == 201, told
    return told


async def answer(
    client: ClientSession, token: str, question: Any, text: str = ANSWER
) -> tuple[int, Any]:
    path = f"{ASKED}/{question['clarification_id']}/answer"
    return await call(client, "POST", path, token, {"answer": text})


async def withdraw(client: ClientSession, token: str, question: Any) -> tuple[int, Any]:
    path = f"{MINE}/{question['clarification_id']}/withdraw"
    return await call(client, "POST", path, token)


async def ask(world: World, member_id: UUID, kind: ActorKind) -> ShownClarification:
    """Ask without HTTP."""
    question = Question(
        document=Document.DRIVER_NOTICE, edition=1, language=Locale.EN, text=QUESTION
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.ask(
            conn,
            world.vault,
            world.company_id,
            question,
            by=Actor(kind=kind, member_id=member_id),
            by_member=member_id,
            now=NOW,
        )


async def acts(world: World) -> list[str]:
    """Return the acts in the ledger about questions and acceptances, oldest first."""
    rows = await world.owner.fetch(
        "SELECT act FROM ledger_entry WHERE act LIKE 'clarification%' OR act = 'edition_accepted'"
        " ORDER BY index"
    )
    return [row["act"] for row in rows]
