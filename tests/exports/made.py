"""Makes a driver's package as the job does, and opens it as the driver would."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any
from uuid import UUID

from server.exports import making, service, store
from server.exports.model import Export, State
from server.kit import db
from tests.http import Clock
from tests.world import World

Opened = dict[str, bytes]
"""The files of a package by name."""


async def asked(world: World, driver_id: UUID, clock: Clock) -> UUID:
    """Ask for a package; return its id."""
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await service.ask(conn, world.vault, world.company_id, driver_id, now=clock())
    return found.export.export_id


async def make(
    world: World,
    export_id: UUID,
    clock: Clock,
    *,
    failpoint: Callable[[str], None] = lambda _place: None,
) -> bool:
    return await making.make(
        world.pool, world.vault, world.company_id, export_id, clock, failpoint=failpoint
    )


async def stored(world: World, export_id: UUID) -> Export:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await store.get(conn, world.company_id, export_id)
    assert found is not None
    return found


async def content(world: World, export: Export) -> bytes:
    """Return the bytes of a package that is ready."""
    assert export.state is State.READY
    parts = [
        part async for part in service.content(world.pool, world.vault, world.company_id, export)
    ]
    return b"".join(parts)


async def package(world: World, driver_id: UUID, clock: Clock | None = None) -> bytes:
    """Ask for a package, make it and return its bytes."""
    clock = clock or Clock()
    export_id = await asked(world, driver_id, clock)
    assert await make(world, export_id, clock)
    return await content(world, await stored(world, export_id))


def files(data: bytes) -> Opened:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def tables(opened: Opened) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the package's JSON, by table."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, data in opened.items():
        if name.startswith("data/"):
            said = json.loads(data)
            found |= {table: rows for table, rows in said.items() if isinstance(rows, list)}
    return found
