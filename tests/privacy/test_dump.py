"""A dump of `main` after the demo tells nothing of any driver: no name, phone or coordinate."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from server.demo.api import Api
from server.demo.company import DISPATCHER_EMAIL, DRIVERS, MAIN_USER_EMAIL
from server.demo.tracks import whole_runs
from server.kit import localpg
from tests.running import Demo, demo

DRIVEN = timedelta(minutes=25)


@pytest.fixture(scope="module")
async def driven(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """The demo after its fleet has driven for a while."""
    async with demo(server_dsn, Path(tmp_path_factory.mktemp("demo"))) as served:
        await served.clock.sleep(DRIVEN)
        yield served


async def dump(dsn: str) -> bytes:
    """Return a plain SQL dump, everything in it."""
    command = [str(localpg.binary("pg_dump")), "--dbname", dsn]
    done = await asyncio.to_thread(
        subprocess.run, command, check=True, capture_output=True, timeout=60
    )
    return done.stdout


def canaries() -> dict[str, list[bytes]]:
    """What must not be found, in every spelling a database could store it in."""
    people = [*DRIVERS, ("Main User", MAIN_USER_EMAIL), ("Dana Dispatcher", DISPATCHER_EMAIL)]
    words = [word for name, _ in people for word in name.split()]
    logins = [login.lstrip("+") for _, login in people]
    run = whole_runs()[0]
    coordinates = [f"{value:.4f}" for fix in run.lon_lat[:40] for value in fix]
    scaled = [str(round(abs(float(value)) * 1e7)) for fix in run.lon_lat[:40] for value in fix]
    return {
        "names": _spellings(words),
        "logins": _spellings(logins),
        "coordinates": _spellings([*coordinates, *scaled]),
    }


def _spellings(texts: Iterable[str]) -> list[bytes]:
    plain = [text.encode() for text in texts]
    # pg_dump writes bytea as hexadecimal digits.
    return [*plain, *(text.hex().encode() for text in plain)]


def found(haystack: bytes) -> dict[str, list[bytes]]:
    return {
        kind: [canary for canary in wanted if canary in haystack]
        for kind, wanted in canaries().items()
    }


async def test_a_dump_of_main_holds_no_driver(driven: Demo) -> None:
    everything = await dump(driven.databases.main)

    assert b"COPY public.chunk" in everything
    assert everything.count(b"\\\\x01") > 100  # sealed values are there
    assert found(everything) == {"names": [], "logins": [], "coordinates": []}


async def test_control_the_scanner_finds_what_is_stored_in_clear(driven: Demo) -> None:
    owner = await asyncpg.connect(driven.databases.main)
    await owner.execute("CREATE TABLE control (plain text, bytes bytea)")
    run = whole_runs()[0]
    try:
        for (name, phone), (lon, lat) in zip(DRIVERS, run.lon_lat[: len(DRIVERS)], strict=True):
            await owner.execute(
                "INSERT INTO control VALUES ($1, $2)",
                f"{phone} {lat:.6f}",
                f"{name} {lon:.6f}".encode(),
            )
        everything = await dump(driven.databases.main)
    finally:
        await owner.execute("DROP TABLE control")
        await owner.close()

    seen = found(everything)
    assert len(seen["names"]) >= len(DRIVERS)
    assert len(seen["logins"]) >= len(DRIVERS)
    assert len(seen["coordinates"]) >= len(DRIVERS)


async def test_a_deleted_driver_is_gone_from_the_dump_and_from_every_answer(driven: Demo) -> None:
    driver = driven.company.drivers[0]
    name = DRIVERS[0][0]
    dispatcher = await driven.dispatcher()
    route = (await dispatcher.get(f"/v1/routes?driver_id={driver.driver_id}"))["items"][0]
    before = await dispatcher.get(f"/v1/routes/{route['route_id']}/plan-fact")
    assert before["fact"]["segments"] != []

    asked = await dispatcher.post("/v1/erasure-requests", {"driver_id": driver.driver_id})
    async with asyncio.timeout(30):
        while await _state(dispatcher, asked["request_id"]) != "erased":  # noqa: ASYNC110 - another process's work
            await asyncio.sleep(0.1)

    after = await dispatcher.get(f"/v1/routes/{route['route_id']}/plan-fact")
    listed = str((await dispatcher.get("/v1/drivers"))["items"])
    live = str(await dispatcher.get("/v1/live"))
    everything = await dump(driven.databases.main)
    assert after["availability"] == "no_driver"
    assert after["fact"]["segments"] == []
    assert name not in listed + live
    assert driver.driver_id not in listed + live
    chunks = everything.split(b"COPY public.chunk", 1)[1].split(b"\\.", 1)[0]
    assert driver.driver_id.encode() not in chunks
    assert driven.company.drivers[1].driver_id.encode() in chunks


async def _state(dispatcher: Api, request_id: str) -> str:
    return str((await dispatcher.get(f"/v1/erasure-requests/{request_id}"))["state"])
