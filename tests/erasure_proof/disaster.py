"""A large ``main`` is backed up, both databases are lost, and restored as an operator types it."""

import asyncio
import os
import shutil
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from server.accounts import service as accounts
from server.credentials.model import MemberMissing
from server.kek.key_file import load
from server.kit import db
from server.kit.ids import uuid7
from server.vault.model import Category
from server.vault.opening import open_vault
from tests.erasure.person import Person, opened
from tests.erasure_proof.copies import database
from tests.erasure_proof.scene import Scene
from tests.erasure_proof.times import POSITIONS_A_ROW, ROW_BYTES
from tests.proofs import ROOT
from tests.world import NOW

DRIVERS: Final = 200
BATCH_ROWS: Final = 50_000
NOISE_BYTES: Final = 16 * 1024 * 1024
"""What stands for ciphertext is cut out of it. Two neighbours of a row have nothing in common, so
that it packs as badly as what is sealed."""
STEP_BYTES: Final = 7_919
"""From one row's cut to the next one's: a prime, longer than a row."""
SHOWN: Final = 3
"""A person's name, phone and e-mail."""
COMMAND_S_MAX: Final = 1_800.0
FREE_FACTOR: Final = 6
"""The database, its dump, its copy, and the WAL of both."""


class DiskShort(Exception):
    """There is too little room to do this. ``str`` says how little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What it took, and what came of it."""

    database_bytes: int
    """Of ``main``."""
    dump_bytes: int
    rows: int
    backup_s: float
    """Of both databases."""
    restore_s: float
    """Of ``main``, its sums checked."""
    keys_s: float
    """The same of the key database, which is restored first."""
    changed: int
    """Drivers whose rows are not what they were."""
    changed_if_one_is: int
    """The same, after one bit of one row was turned over."""
    unread: int
    """Texts of somebody who lives that both restored databases do not tell any more."""
    unread_if_erased: int
    """The same of somebody who was erased before, read from what a thief kept of them."""


async def recover(scene: Scene, folder: Path, *, bytes_min: int) -> Recovery:
    """Make ``main`` so large, back both databases up, and restore both into empty ones."""
    _refuse_short(folder, bytes_min)
    living, gone = await scene.person(), await scene.person()
    await scene.erase(gone.driver_id)
    company_id = (await scene.neighbour()).company_id
    try:
        rows = await _fill(scene, company_id, bytes_min)
        return await _recover(scene, folder, company_id, rows, (living, gone))
    finally:
        await scene.owner.execute("DELETE FROM chunk WHERE company_id = $1", company_id)


async def _recover(
    scene: Scene, folder: Path, company_id: UUID, rows: int, people: tuple[Person, Person]
) -> Recovery:
    made, place = folder / "backup", scene.place
    size = await _size(scene)
    before = await _sums(scene.owner, company_id)
    # Not of the command: what filling the database left to do would be done meanwhile.
    await scene.owner.execute("CHECKPOINT")
    backup_s = await _jolda(
        scene, "backup", str(made), main=place.main, keys=place.keys, kek=place.kek
    )
    # The file alone, as whoever lost everything else has it: that of the living is another's.
    kek = folder / "elsewhere" / "kek"
    kek.parent.mkdir()
    shutil.copy(place.kek, kek)
    async with _empty(scene) as keys, _empty(scene) as main:
        keys_s = await _jolda(scene, "restore", str(made), "--keys", main=main, keys=keys, kek=kek)
        restore_s = await _jolda(
            scene, "restore", str(made), "--main", main=main, keys=keys, kek=kek
        )
        owner = await asyncpg.connect(main)
        try:
            changed = _differ(before, await _sums(owner, company_id))
            await owner.execute(
                "UPDATE chunk SET blob = set_bit(blob, 200, 1 - get_bit(blob, 200))"
                " WHERE ctid = (SELECT min(ctid) FROM chunk WHERE company_id = $1)",
                company_id,
            )
            if_one_is = _differ(before, await _sums(owner, company_id))
        finally:
            await owner.close()
        unread, if_erased = [await _unread(scene, main, keys, one) for one in people]
    dumps = [one for one in made.rglob("*") if one.is_file()]
    return Recovery(
        database_bytes=size,
        dump_bytes=sum(one.stat().st_size for one in dumps),
        rows=rows,
        backup_s=backup_s,
        restore_s=restore_s,
        keys_s=keys_s,
        changed=changed,
        changed_if_one_is=if_one_is,
        unread=unread,
        unread_if_erased=if_erased,
    )


def _refuse_short(folder: Path, bytes_min: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < FREE_FACTOR * bytes_min:
        raise DiskShort(f"{folder} has {free:,} bytes free, {FREE_FACTOR * bytes_min:,} are needed")


async def _fill(scene: Scene, company_id: UUID, bytes_min: int) -> int:
    """Store hours of many drivers as compaction leaves them; return how many rows."""
    drivers = [uuid7() for _ in range(DRIVERS)]
    keys = []
    for driver_id in drivers:
        await scene.world.vault.create_subject(company_id, driver_id)
        at = NOW - timedelta(days=1)
        key = await scene.world.vault.key(company_id, driver_id, Category.TRACK, at=at)
        keys.append(key.key_id)
    noise, rows = os.urandom(NOISE_BYTES), 0
    while rows == 0 or await _size(scene) < bytes_min:
        await scene.owner.execute(
            """
            INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at,
                               count, key_id, blob)
            SELECT $1, ($2::uuid[])[1 + i % $4], at, gen_random_uuid(), at - interval '59 minutes',
                   at, $5, key_id,
                   '\\x01'::bytea || uuid_send(key_id)
                   || substring($6::bytea FROM (1 + i * $7 % $8)::int FOR $9)
              FROM generate_series($10::bigint, $11::bigint) AS i,
                   LATERAL (SELECT ($3::uuid[])[1 + i % $4] AS key_id,
                                   $12::timestamptz - i / $4 * interval '1 hour' AS at) AS one
            """,
            company_id,
            drivers,
            keys,
            len(drivers),
            POSITIONS_A_ROW,
            noise,
            STEP_BYTES,
            NOISE_BYTES - ROW_BYTES,
            ROW_BYTES,
            rows,
            rows + min(BATCH_ROWS, max(1, bytes_min // ROW_BYTES)) - 1,
            NOW,
            timeout=COMMAND_S_MAX,
        )
        rows = await scene.owner.fetchval(
            "SELECT count(*) FROM chunk WHERE company_id = $1", company_id
        )
    return rows


async def _size(scene: Scene) -> int:
    found: int = await scene.owner.fetchval("SELECT pg_database_size(current_database())")
    return found


async def _sums(
    owner: "asyncpg.Connection[asyncpg.Record]", company_id: UUID
) -> dict[UUID, tuple[int, str]]:
    """Return of each driver how many rows there are, and a sum of all that is in them."""
    rows = await owner.fetch(
        "SELECT driver_id, count(*) AS rows,"
        " bit_xor(('x' || md5(md5(blob) || md5((c.last_at, c.first_at, c.stored_at, c.upload_id,"
        " c.count, c.key_id)::text)))::bit(128))::text AS sum"
        " FROM chunk c WHERE company_id = $1 GROUP BY driver_id",
        company_id,
        timeout=COMMAND_S_MAX,
    )
    return {row["driver_id"]: (row["rows"], row["sum"]) for row in rows}


def _differ(before: dict[UUID, tuple[int, str]], after: dict[UUID, tuple[int, str]]) -> int:
    return sum(before.get(one) != after.get(one) for one in before.keys() | after.keys())


@asynccontextmanager
async def _empty(scene: Scene) -> AsyncGenerator[str]:
    """Give an empty database of the same server, until the block ends."""
    name = f"restored_{uuid4().hex}"
    admin = await asyncpg.connect(database(scene.place.main, "postgres"))
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        try:
            yield database(scene.place.main, name)
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


async def _jolda(scene: Scene, *words: str, main: str, keys: str, kek: Path) -> float:
    """Run a command of Jolda's; return how many seconds it took, its start included."""
    is_unsafe = await scene.owner.fetchval("SELECT current_setting('fsync') = 'off'")
    settings = {
        "DATABASE_URL": main,
        "KEYS_DATABASE_URL": keys,
        "JOLDA_KEK_FILE": str(kek),
        "JOLDA_HOME": str(kek.parent),
        "JOLDA_STORAGE_COUNTRY": "KZ",
        "JOLDA_ALLOW_UNSAFE_POSTGRES": "for-tests-only" if is_unsafe else "",
    }
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", *words),
        cwd=ROOT,
        env=os.environ | settings,
        stdout=PIPE,
        stderr=STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), COMMAND_S_MAX)
    assert process.returncode == 0, said.decode()
    return time.monotonic() - began


async def _unread(scene: Scene, main: str, keys: str, person: Person) -> int:
    """Count what is known of the person and is not read from the restored databases."""
    company_id, driver_id = scene.world.company_id, person.driver_id
    async with (
        db.pool(main, role=db.ROLE_APP, size_max=2) as pool,
        db.pool(keys, role=db.ROLE_KEYS, size_max=2) as keys_pool,
    ):
        vault = await open_vault(keys_pool, load(scene.place.kek, may_make=False), scene.at)
        sealed, shown = await opened(vault, company_id, person), list[str | None]()
        async with db.tenant(pool, company_id, readonly=True) as conn:
            with suppress(MemberMissing):
                profile = await accounts.profile(conn, vault, company_id, driver_id)
                shown += [profile.name, profile.phone, profile.email]
    # Name, phone and e-mail: as they were sealed, and as they are shown.
    known = person.canaries[:SHOWN]
    return sealed.count(None) + sum(one not in texts for texts in (sealed, shown) for one in known)
