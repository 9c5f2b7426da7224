"""``python -m tests.exports``: what a package of 1,000,000 positions takes, made and read back.

SIZE=smoke for a short one. The peak is of this process, which makes it, checks it and holds
nothing else; PostgreSQL's own memory is not in it.
"""

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from server.export_files.manifest import verify_export
from server.exports import service
from tests.exports.made import asked, make, stored
from tests.exports.rich import add_track
from tests.http import Clock
from tests.proofs import size
from tests.stage import Stage, on_a_stage
from tests.world import World

POSITIONS: Final = {"smoke": 20_000, "full": 1_000_000}
SECONDS_MAX: Final = 120.0
MIB: Final = 1024


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


async def measure(at: Stage) -> int:
    """Make a package of so many positions, and of few; tell what both take."""
    world = await World.make(vault=at.vault, pool=at.pool, owner=at.owner)
    clock, positions = Clock(), POSITIONS[size()]
    driver_id, made_s = world.driver.member_id, 0.0
    for count in (1_000, positions):
        await add_track(world, driver_id, positions=count)
        stored_count = await at.owner.fetchval("SELECT sum(count) FROM chunk")
        await at.owner.execute("VACUUM ANALYZE chunk")
        export_id = await asked(world, driver_id, clock)
        before, began = peak_mib(), time.monotonic()
        await make(world, export_id, clock)
        made_s = time.monotonic() - began
        ready = await stored(world, export_id)
        with tempfile.TemporaryDirectory(prefix="jolda-export-") as folder:
            file = Path(folder) / "package.zip"
            began = time.monotonic()
            with file.open("wb") as opened:
                async for part in service.content(at.pool, at.vault, world.company_id, ready):
                    opened.write(part)
            fetched_s = time.monotonic() - began
            peak = peak_mib()
            began = time.monotonic()
            said = await asyncio.to_thread(verify_export, file, None)
            checked_s = time.monotonic() - began
        sys.stdout.write(
            f"{stored_count:,} positions: made in {made_s:.1f} s, read back in {fetched_s:.1f} s,"
            f" checked in {checked_s:.1f} s; {(ready.size_bytes or 0) / 1e6:.1f} MB;"
            f" peak RSS {before:.0f} MiB before, {peak:.0f} MiB after.\n{said[0]}\n"
        )
        sys.stdout.flush()
    return 0 if made_s <= SECONDS_MAX else 1


if __name__ == "__main__":
    sys.exit(on_a_stage(measure))
