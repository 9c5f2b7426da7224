"""The served description of the API: complete, strict, and kept by the server itself."""

import asyncio
import json
import os
import sys
from pathlib import Path

import schemathesis

from server.app import ENDPOINTS, api_document
from tests.kit.schema_walk import unbounded

TOP = Path(__file__).parents[1]
DOCUMENT = api_document()


def test_it_is_openapi_3_1() -> None:
    schemathesis.openapi.from_dict(dict(DOCUMENT)).validate()

    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_endpoint_stands_in_it_once() -> None:
    operations = [
        operation["operationId"]
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
    ]

    assert sorted(operations) == sorted(one.name for one in ENDPOINTS)
    assert len(set(operations)) == len(operations)


def test_every_body_and_query_is_bounded() -> None:
    assert unbounded(DOCUMENT) == []


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    named = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}

    assert named <= set(DOCUMENT["components"]["schemas"])
    assert "#/$defs" not in text


async def test_the_server_does_what_it_says_for_every_kind_of_caller(
    server_dsn: str, tmp_path: Path
) -> None:
    """In a process of its own: hypothesis and schemathesis keep much in globals."""
    assert server_dsn
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.api.schemathesis", str(tmp_path)),
        cwd=TOP,
        env={**os.environ, "SIZE": "smoke"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await running.communicate()

    assert running.returncode == 0, told.decode()
