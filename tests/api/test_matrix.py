"""The access matrix, asked cell by cell; see matrix.py."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from server.app import ENDPOINTS
from server.kit.api import Endpoint
from tests.api import matrix
from tests.api.asking import Answer, Stage, name_of, path_of
from tests.api.matrix import CALLERS, FILE, Cell, Expected, Owner, cells, ids_in
from tests.api.people import People
from tests.api.test_access import call

MADE_ELSEWHERE = {"session_id", "news_id"}


def token_of(people: People, caller: str) -> str | None:
    by_scope = {str(scope): token for scope, token in people.api_tokens.items()}
    return people.tokens.get(caller) or by_scope.get(caller)


def ids_of(stage: Stage, one: Endpoint, owner: Owner) -> dict[str, str]:
    """Return the ids of one owner's things; of nobody's where that owner has no such thing."""
    things: Mapping[str, str] = {
        Owner.OWN: stage.ours.things,
        Owner.FOREIGN: stage.theirs.things,
        Owner.ANOTHER: stage.another,
        Owner.ERASED: stage.erased,
    }.get(owner, {})
    return {name: things.get(name, str(uuid4())) for name in ids_in(one)}


async def asked(stage: Stage, one: Endpoint, cell: Cell) -> Answer:
    token = token_of(stage.ours, cell.caller)
    return await call(stage, one, token, ids_of(stage, one, cell.owner))


async def leaks(stage: Stage, one: Endpoint) -> list[str]:
    """Return the cells that answer otherwise than the matrix says."""
    found = []
    of_nobodys: dict[str, Answer] = {}
    for cell in cells(one):
        if cell.expected is Expected.MAY:
            continue  # it would change what the others ask for; the features' tests do
        answer = await asked(stage, one, cell)
        if cell.owner is Owner.NOTHING:
            of_nobodys[cell.caller] = answer
        if cell.expected is Expected.SAME:
            nobodys = of_nobodys[cell.caller]
            right = (answer.status, answer.body) == (nobodys.status, nobodys.body)
        else:
            right = str(answer.status) == cell.expected
        if not right:
            found.append(f"{cell.caller}, {cell.owner}: {answer.status}, not {cell.expected}")
    return found


@pytest.mark.proves("relog-service:2.3")
@pytest.mark.parametrize("one", ENDPOINTS, ids=name_of)
async def test_every_cell_answers_as_the_matrix_says(stage: Stage, one: Endpoint) -> None:
    assert {cell.caller for cell in cells(one)} == set(CALLERS)

    assert await leaks(stage, one) == []


def test_there_is_one_of_everything_that_endpoints_ask_for(stage: Stage) -> None:
    """Ids that are nobody's are refused whoever asks: a cell with such a one proves nothing."""
    for people in (stage.ours, stage.theirs):
        assert matrix.without_thing(ENDPOINTS, people.things) == []
    ids = {name for one in ENDPOINTS for name in ids_in(one)}
    assert {*matrix.OF_ANOTHER, *matrix.OF_THE_COMPANY} == ids
    assert set(matrix.OF_ANOTHER).isdisjoint(matrix.OF_THE_COMPANY)
    for name in (*ids, *matrix.SHOWN):
        # The request for an erasure that stands for ours is another driver's already.
        another = None if name == "request_id" else stage.another.get(name)
        others = [stage.theirs.things[name], another, stage.erased.get(name)]
        assert stage.ours.things[name] not in others, name


def test_control_what_there_is_none_of_is_named(stage: Stage) -> None:
    things = {name: one for name, one in stage.ours.things.items() if name != "hold_id"}

    assert matrix.without_thing(ENDPOINTS, things) == ["hold_id"]


async def test_the_ids_are_of_things_that_are_there(
    stage: Stage, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Each but a session's, which is made of its token's digest, and those that clients make."""
    columns = await owner.fetch(
        """
        SELECT c.relname AS relation, a.attname AS name
          FROM pg_attribute a
          JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
         WHERE c.relnamespace = 'public'::regnamespace AND a.atttypid = 'uuid'::regtype
           AND EXISTS (SELECT FROM pg_attribute o
                        WHERE o.attrelid = c.oid AND o.attname = 'company_id')
        """
    )
    for people, things in (
        (stage.ours, stage.ours.things),
        (stage.theirs, stage.theirs.things),
        (stage.ours, stage.another),
    ):
        there = {
            str(row["id"])
            for column in columns
            for row in await owner.fetch(
                f"SELECT {column['name']} AS id FROM {column['relation']} WHERE company_id = $1",  # noqa: S608 - names from the catalogue
                people.company_id,
            )
        }
        asked = {name for one in ENDPOINTS for name in ids_in(one)} - MADE_ELSEWHERE
        missing = {name for name in asked & set(things) if things[name] not in there}
        assert missing == set()


async def test_control_another_driver_is_found_and_the_erased_one_was_named(stage: Stage) -> None:
    assert set(stage.another) == set(matrix.OF_ANOTHER)
    assert set(stage.erased) == set(matrix.OF_ERASED)
    other = stage.another["driver_id"]
    [read] = [one for one in ENDPOINTS if one.name == "read_driver"]
    for driver_id, status in ((other, 200), (stage.erased["driver_id"], 404)):
        answer = await call(stage, read, stage.ours.tokens["dispatcher"], {"driver_id": driver_id})
        assert answer.status == status


async def test_control_a_cell_that_leaks_is_found(stage: Stage) -> None:
    """Here the erased driver's things are those of one who is there."""
    [read] = [one for one in ENDPOINTS if one.name == "read_driver"]

    found = await leaks(replace(stage, erased=stage.another), read)

    assert [line.rpartition(": ")[0] for line in found] == [
        f"{caller}, {Owner.ERASED}" for caller in CALLERS if matrix.may_call(read, caller)
    ]


@pytest.mark.parametrize("path", matrix.paths())
async def test_a_method_that_a_path_does_not_have_is_405_whoever_asks(
    stage: Stage, path: str
) -> None:
    one = next(one for one in ENDPOINTS if one.path == path)
    address = path_of(one, stage.ours.things)
    for method in matrix.methods_not_there(path):
        bodies = set()
        for caller in CALLERS:
            token = token_of(stage.ours, caller)
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            async with stage.http.request(method, address, headers=headers) as response:
                assert response.status == 405, (method, caller)
                bodies.add(await response.read())
        assert len(bodies) == 1, method


def test_the_page_is_what_the_router_says() -> None:
    assert FILE.read_text(encoding="utf-8") == matrix.page(), "Run: python -m tests.api.matrix"
