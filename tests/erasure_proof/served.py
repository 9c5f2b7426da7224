"""Somebody is tracked and downloaded from a server of its own, then erased: what is left there."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit
from uuid import UUID

from aiohttp import ClientSession

from server.kit.wire import rfc3339
from server.report_files.model import FileFormat
from tests.erasure_proof import traces as disk
from tests.erasure_proof.scene import HOUR, Scene
from tests.http import bearer
from tests.proofs import ROOT
from tests.report_files.test_web import words_of
from tests.world import Driver, add_driver, add_member, open_session

NAME: Final = "Aizhan Kanarova-served"
POSITIONS: Final = 600
STEP_MS: Final = 5_000
PLACES: Final = tuple(
    (round(43.25 - step * 1e-4 + 7e-6, 6), round(76.85 - step * 1e-4 + 7e-6, 6))
    for step in range(POSITIONS)
)
"""Where the driver was, latest first: no plan leads there."""
KNOWN: Final = tuple(
    text.encode() for text in (NAME, quote(NAME), *(f"{one:.6f}" for at in PLACES for one in at))
)
TRACKS: Final = ("json", "geojson", "gpx", "csv")
START_S_MAX: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How often somebody was met."""

    exports: int
    """Files that were asked for."""
    told_before: int
    """Those of them in which the driver is, while they are there."""
    told_after: int
    """The same, once they are erased."""
    kept: int
    """Files of the server in which they are: its log, its folder, what it made for a while."""
    log_lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is downloaded: under which name it is kept, where it is, what opens it."""

    name: str
    path: str
    kind: FileFormat


async def serve(scene: Scene, folder: Path) -> Served:
    """Track and download somebody over HTTP, erase them, and look at what the server keeps."""
    scene.at += HOUR
    world, began = scene.world, scene.at - 3 * HOUR
    driver = await add_driver(world.vault, world.pool, world.company_id, name=NAME, at=began)
    staff = await add_member(world.vault, world.pool, world.company_id, role="dispatcher", at=began)
    token = await open_session(world.pool, world.company_id, staff, at=began)
    of_server, of_reader = folder / "server", folder / "reader"
    async with _server(scene, of_server) as url, ClientSession(url) as client:
        route_id = await _drive(client, scene, driver, bearer(token))
        asked = _exports(scene, driver.member_id, route_id)
        before = await _downloaded(client, asked, bearer(token), of_reader / "before")
        await _blunder(client, url, driver)
        await scene.erase(driver.member_id)
        after = await _downloaded(client, asked, bearer(token), of_reader / "after")
    log = of_server / "server.log"
    return Served(
        exports=len(asked),
        told_before=before,
        told_after=after,
        kept=_met(of_server),
        log_lines=len(log.read_text().splitlines()),
    )


def _met(folder: Path) -> int:
    return sum(bool(disk.found([file], KNOWN)) for file in disk.files_of(folder))


@asynccontextmanager
async def _server(scene: Scene, folder: Path) -> AsyncGenerator[str]:
    """Run a server whose every file is in the folder; give its URL."""
    for name in ("home", "made"):
        (folder / name).mkdir(parents=True)
    place = scene.place
    is_unsafe = await scene.owner.fetchval("SELECT current_setting('fsync') = 'off'")
    settings = {
        "JOLDA_HOME": str(folder / "home"),
        "JOLDA_KEK_FILE": str(place.kek),
        "JOLDA_ALLOW_UNSAFE_POSTGRES": "for-tests-only" if is_unsafe else "",
        "TMPDIR": str(folder / "made"),
    }
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.erasure_proof.serving"),
            *(place.main, place.keys, scene.at.isoformat()),
            cwd=ROOT,
            env=os.environ | settings,
            stdin=PIPE,
            stdout=PIPE,
            stderr=log,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            url = await asyncio.wait_for(process.stdout.readline(), START_S_MAX)
            assert url, (folder / "server.log").read_text()
            yield url.decode().strip()
            process.stdin.close()
            assert await asyncio.wait_for(process.wait(), START_S_MAX) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _drive(
    client: ClientSession, scene: Scene, driver: Driver, staff: dict[str, str]
) -> UUID:
    """Plan a route and drive somewhere else."""
    body = {
        "name": "Round",
        "date": scene.at.date().isoformat(),
        "driver_id": str(driver.member_id),
        "planned_start": rfc3339(scene.at - HOUR),
        "stops": [
            {"name": "Depot", "lat": 43.2, "lon": 76.8, "planned_arrival": rfc3339(scene.at)},
            {"name": "Market", "lat": 43.3, "lon": 76.9},
        ],
        "line": [[76.8, 43.2], [76.9, 43.3]],
    }
    async with client.post("/v1/routes", json=body, headers=staff) as answer:
        assert answer.status == 201, await answer.text()
        route_id = UUID((await answer.json())["route_id"])
    last_ms = round(scene.at.timestamp() * 1000)
    columns = {
        "recorded_at_ms": [last_ms - STEP_MS * step for step in range(POSITIONS)],
        "lat": [lat for lat, _ in PLACES],
        "lon": [lon for _, lon in PLACES],
    }
    of_device = bearer(driver.device_token)
    async with client.post("/v1/positions", json={"columns": columns}, headers=of_device) as answer:
        assert (await answer.json())["accepted"] == POSITIONS
    return route_id


def _exports(scene: Scene, driver_id: UUID, route_id: UUID) -> list[Asked]:
    """Return every kind of file that a dispatcher may download about a driver."""
    since, until = (quote(rfc3339(at)) for at in (scene.at - HOUR, scene.at + timedelta(minutes=1)))
    return [
        *(
            Asked(
                name=f"report.{kind.value}",
                path=f"/v1/routes/{route_id}/plan-fact/file?format={kind.value}&language=en",
                kind=kind,
            )
            for kind in FileFormat
        ),
        *(
            Asked(
                name=f"track.{one}",
                path=f"/v1/drivers/{driver_id}/track?from={since}&to={until}&format={one}",
                kind=FileFormat(one),
            )
            for one in TRACKS
        ),
    ]


async def _downloaded(
    client: ClientSession, asked: list[Asked], staff: dict[str, str], folder: Path
) -> int:
    """Keep each file as it reads; return in how many the driver is."""
    await asyncio.to_thread(partial(folder.mkdir, parents=True))
    for one in asked:
        async with client.get(one.path, headers=staff) as answer:
            body = await answer.read()
            text = words_of(one.kind, body) if answer.status == 200 else body.decode()
        (folder / one.name).write_text(text)
    return _met(folder)


async def _blunder(client: ClientSession, url: str, driver: Driver) -> None:
    """Ask wrongly, with everything in it that no log should have."""
    lat, lon = PLACES[0]
    wrong = f'{{"name": "{NAME}", "lat": {lat:.6f}, "lon": {lon:.6f}'
    of_device = bearer(driver.device_token)
    for path, data in (
        (f"/v1/drivers/{quote(NAME)}/track", None),
        (f"/v1/{quote(NAME)}?lat={lat:.6f}&lon={lon:.6f}", None),
        ("/v1/positions", wrong),
        ("/v1/positions", wrong + "}"),
    ):
        async with client.request(
            "GET" if data is None else "POST",
            path,
            data=data,
            headers=of_device | {"Content-Type": "application/json", "Referer": f"{url}/{lat:.6f}"},
        ) as answer:
            assert 400 <= answer.status < 500, await answer.text()
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET /{lat:.6f} HTTP/1.1\r\nName : {NAME}\r\n\r\n".encode())
    await writer.drain()
    await asyncio.wait_for(reader.read(), START_S_MAX)
    writer.close()
    await writer.wait_closed()
