"""The document says what the glue does; schemathesis tries to catch it lying."""

import json
from typing import Any

import schemathesis

from server.kit.http_server import listening
from server.kit.openapi import document
from tests.kit import toy
from tests.kit.fuzz import fuzz

DOCUMENT = toy.described()


def operation(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
    return found


def test_it_is_openapi_3_1() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert DOCUMENT["openapi"] == "3.1.0"


def test_each_endpoint_says_who_may_call_it_and_what_it_may_answer() -> None:
    add = operation("/v1/places", "post")

    assert add["summary"] == "Add a place"
    assert add["description"] == (
        "Its name stands for it: no other place may have it.\n\n"
        "Who may call: who has the `toy` token."
    )
    assert add["security"] == [{"bearer": []}]
    assert sorted(add["responses"]) == [
        "201", "400", "401", "403", "408", "409", "413", "415", "422", "503"
    ]  # fmt: skip
    assert add["responses"]["409"]["description"] == "Conflict: place-taken"


def test_an_absent_parameter_is_left_out_and_never_null() -> None:
    parameters = {one["name"]: one for one in operation("/v1/places", "get")["parameters"]}

    assert parameters["since"]["schema"]["format"] == "date-time"
    assert parameters["limit"]["schema"]["default"] == 50
    assert not parameters["limit"]["required"]
    assert "null" not in json.dumps(parameters)


def test_a_path_parameter_is_required_and_typed() -> None:
    (place_id,) = operation("/v1/places/{place_id}", "get")["parameters"]

    assert (place_id["in"], place_id["required"]) == ("path", True)
    assert place_id["schema"]["format"] == "uuid"


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    named = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}

    assert named <= set(DOCUMENT["components"]["schemas"])
    assert "#/$defs" not in text


def test_the_same_endpoints_give_the_same_document() -> None:
    assert document(toy.ENDPOINTS, title="a", version="1", security={}) == document(
        toy.ENDPOINTS, title="a", version="1", security={}
    )


async def test_schemathesis_finds_no_lie_in_the_document() -> None:
    async with listening(toy.application(), host="127.0.0.1", port=0) as address:
        passed, told = await fuzz(
            address.url, headers={"Authorization": f"Bearer {toy.TOKEN}"}, max_examples=10
        )

    assert passed, told
    assert "4 selected / 4 total" in told


async def test_schemathesis_would_find_one() -> None:
    app = toy.application()
    lying = {**DOCUMENT, "paths": {"/v1/wrong": {"get": operation("/v1/places", "get")}}}
    app.router.add_get("/lying/openapi.json", toy.told(lying))
    async with listening(app, host="127.0.0.1", port=0) as address:
        passed, told = await fuzz(f"{address.url}/lying", headers={}, max_examples=2)

    assert not passed
    assert "Server error" in told
