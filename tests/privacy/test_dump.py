"""A dump of `main` after the demo tells nothing of any driver: no name, phone or coordinate."""

import asyncio
import re
import struct
import subprocess
from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from zstandard import ZstdError

from geo.types import Floats
from server.demo.api import Api
from server.demo.company import DISPATCHER_EMAIL, DRIVERS, MAIN_USER_EMAIL
from server.demo.tracks import whole_runs
from server.kit import localpg
from server.tracking import codec
from server.tracking.codec import BlobUnreadable
from server.tracking.model import LAT, LON, Positions
from tests.running import Demo, demo

DRIVEN = timedelta(minutes=25)


@pytest.fixture(scope="module")
async def driven(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    """The demo after its fleet has driven for a while."""
    async with demo(server_dsn, Path(tmp_path_factory.mktemp("demo"))) as served:
        await served.clock.sleep(DRIVEN)
        yield served


def positions_of(lon_lat: Floats) -> Positions:
    values = np.full((7, len(lon_lat)), np.nan)
    values[LAT], values[LON] = lon_lat[:, 1], lon_lat[:, 0]
    return Positions(
        time_ms=np.arange(len(lon_lat), dtype=np.int64),
        values=values,
        flags=np.zeros(len(lon_lat), np.uint8),
    )


def is_packed(blob: bytes) -> bool:
    """Tell whether the bytes are positions that nobody sealed."""
    try:
        values = codec.unpack(blob).positions.values
    except (BlobUnreadable, ZstdError, ValueError, MemoryError, OverflowError):
        return False
    return bool((np.abs(values[LAT]) <= 90).all() and (np.abs(values[LON]) <= 180).all())


async def dump(dsn: str) -> bytes:
    """Return a plain SQL dump, everything in it."""
    command = [str(localpg.binary("pg_dump")), "--dbname", dsn]
    done = await asyncio.to_thread(
        subprocess.run, command, check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def canaries() -> dict[str, list[bytes]]:
    """What must not be found, in every spelling a database could store it in."""
    # The staff's names are words of our own texts too, one by one.
    staff = [("Main User", MAIN_USER_EMAIL), ("Dana Dispatcher", DISPATCHER_EMAIL)]
    words = [word for name, _ in DRIVERS for word in name.split()] + [name for name, _ in staff]
    logins = [login.lstrip("+") for _, login in [*DRIVERS, *staff]]
    # Every fix of every driver, and with them the stops, which lie where the drivers halted.
    fixes = np.concatenate([run.lon_lat for run in whole_runs()[: len(DRIVERS)]])
    coordinates = {f"{value:.4f}" for fix in fixes for value in fix}
    scaled = {str(round(abs(float(value)) * 1e7)) for fix in fixes for value in fix}
    # As our own codec would pack them were they not sealed: latitude and longitude side by side.
    packed = [
        struct.pack("<ii", round(float(lat) * 1e7), round(float(lon) * 1e7)).hex().encode()
        for lon, lat in fixes
    ]
    return {
        "names": _spellings(words),
        "logins": _spellings(logins),
        "coordinates": [*_spellings(sorted(coordinates)), *(_as_hex(one) for one in scaled)],
        "numbers": [one.encode() for one in scaled],
        "packed": packed,
    }


def _spellings(texts: Collection[str]) -> list[bytes]:
    plain = [text.encode() for text in texts]
    # pg_dump writes bytea as hexadecimal digits.
    return [*plain, *map(_as_hex, texts)]


def _as_hex(text: str) -> bytes:
    return text.encode().hex().encode()


# The seconds of a time, which may be the digits of a coordinate: 20:15:53.4435.
_SECONDS = re.compile(rb":\d\d\.\d+")


# A number that stands by itself. Hashes are full of eight digits in a row.
_NUMBER = re.compile(rb"(?<![0-9a-f])\d{7,}(?![0-9a-f])")


def found(haystack: bytes) -> dict[str, list[bytes]]:
    haystack = _SECONDS.sub(b"", haystack)
    wanted = canaries()
    numbers = set(_NUMBER.findall(haystack))
    return {
        **{kind: [one for one in ones if one in haystack] for kind, ones in wanted.items()},
        "numbers": [one for one in wanted["numbers"] if one in numbers],
    }


@pytest.mark.proves("relog-driver-manager-apps:1.3.1-mandatory", "gocargo:protection")
async def test_a_dump_of_main_holds_no_driver(driven: Demo) -> None:
    everything = await dump(driven.databases.main)

    assert b"COPY public.chunk" in everything
    assert len(re.findall(rb"\\\\x0[12]", everything)) > 100  # sealed values are there
    assert found(everything) == {
        "names": [],
        "logins": [],
        "coordinates": [],
        "numbers": [],
        "packed": [],
    }


@pytest.mark.proves("gocargo:protection")
async def test_no_stored_blob_is_a_packed_one(driven: Demo) -> None:
    owner = await asyncpg.connect(driven.databases.main)
    blobs = [row["blob"] for row in await owner.fetch("SELECT blob FROM chunk")]
    await owner.close()
    run = whole_runs()[0]
    plain = codec.pack(positions_of(run.lon_lat[:2]), 0)

    assert len(blobs) > 100
    assert is_packed(plain)
    assert not any(is_packed(blob) for blob in blobs)


async def test_control_the_scanner_finds_what_is_stored_in_clear(driven: Demo) -> None:
    owner = await asyncpg.connect(driven.databases.main)
    await owner.execute("CREATE TABLE control (plain text, bytes bytea)")
    run = whole_runs()[0]
    try:
        for fix in range(10):  # what the chunks would be without their seal
            packed = codec.pack(positions_of(run.lon_lat[fix : fix + 1]), 0)
            await owner.execute("INSERT INTO control (bytes) VALUES ($1)", packed)
        for (name, phone), (lon, lat) in zip(DRIVERS, run.lon_lat[: len(DRIVERS)], strict=True):
            await owner.execute(
                "INSERT INTO control VALUES ($1, $2)",
                f"{phone} {lat:.6f} {round(abs(lon) * 1e7)}",
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
    assert seen["numbers"]
    assert len(seen["packed"]) >= 5  # some of the first fixes are the same place


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
