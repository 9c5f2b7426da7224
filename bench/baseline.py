"""What Jolda is measured against: the same upload, stored plainly, one row per position.

The usual service: aiohttp, a pydantic model per position, asyncpg with a pool, one transaction per
upload, the driver's gate checked and locked in the same statement. Its table is partitioned by
nothing and indexed by driver and time only; tokens are looked up in memory; nothing is encrypted.
Where there was a choice, it was made in its favour.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import uvloop
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from server.kit import tokens

TABLE: Final = """
    CREATE TABLE position_row (
        company_id uuid NOT NULL, driver_id uuid NOT NULL, recorded_at timestamptz NOT NULL,
        lat double precision NOT NULL, lon double precision NOT NULL, accuracy_m real,
        speed_mps real, heading_deg real, altitude_m real, battery_pct smallint,
        PRIMARY KEY (company_id, driver_id, recorded_at)
    )
"""
_STORE: Final = """
    WITH ok AS MATERIALIZED (
        SELECT company_id, driver_id FROM gate
         WHERE company_id = $1 AND driver_id = $2 AND account_active
           AND location_since IS NOT NULL AND plan_fact_since IS NOT NULL
           FOR SHARE
    ),
    stored AS (
        INSERT INTO position_row
        SELECT ok.company_id, ok.driver_id, p.*
          FROM ok, unnest($3::timestamptz[], $4::float8[], $5::float8[], $6::real[], $7::real[],
                          $8::real[], $9::real[], $10::smallint[]) AS p
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM ok) AS open, (SELECT count(*) FROM stored) AS stored
"""
_COLUMNS: Final = (
    "recorded_at",
    "lat",
    "lon",
    "accuracy_m",
    "speed_mps",
    "heading_deg",
    "altitude_m",
    "battery_pct",
)


class Position(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    recorded_at: datetime
    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    accuracy_m: Annotated[float, Field(ge=0, le=100_000)] | None = None
    speed_mps: Annotated[float, Field(ge=0, le=600)] | None = None
    heading_deg: Annotated[float, Field(ge=0, le=360)] | None = None
    altitude_m: Annotated[float, Field(ge=-1_000, le=100_000)] | None = None
    battery_pct: Annotated[int, Field(ge=0, le=100)] | None = None


class Upload(BaseModel):
    model_config = ConfigDict(extra="forbid")

    positions: list[Position] = Field(min_length=1, max_length=10_000)


POOL: web.AppKey["asyncpg.Pool[asyncpg.Record]"] = web.AppKey("POOL")
DRIVERS: web.AppKey[dict[bytes, tuple[UUID, UUID]]] = web.AppKey("DRIVERS")


async def upload_positions(request: web.Request) -> web.Response:
    secret = request.headers.get("Authorization", "").removeprefix("Bearer ")
    token = tokens.parse(secret)
    driver = None if token is None else request.app[DRIVERS].get(token.digest)
    if driver is None:
        return web.Response(status=401)
    upload = Upload.model_validate_json(await request.read())
    columns = [[getattr(one, name) for one in upload.positions] for name in _COLUMNS]
    row = await request.app[POOL].fetchrow(_STORE, *driver, *columns)
    if row is None or not row["open"]:
        return web.Response(status=403)
    accepted = row["stored"]
    duplicate = len(upload.positions) - accepted
    return web.Response(
        text=f'{{"accepted":{accepted},"duplicate":{duplicate},"refused":[]}}',
        content_type="application/json",
    )


async def opened(app: web.Application) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["BASELINE_DSN"], min_size=20, max_size=20) as pool:
        app[POOL] = pool
        rows = await pool.fetch("SELECT company_id, member_id, token_hash FROM device")
        app[DRIVERS] = {row["token_hash"]: (row["company_id"], row["member_id"]) for row in rows}
        yield


async def serve() -> None:
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.cleanup_ctx.append(opened)
    app.router.add_post("/v1/positions", upload_positions)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["BASELINE_PORT"])).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve())
