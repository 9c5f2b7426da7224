"""``python -m tests.erasure_proof.worker``: erases somebody, and is killed at a place of the way.

By the signal that nothing can catch, sent by itself: so it strikes exactly there.
"""

import asyncio
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from uuid import UUID

from server.erasure import saga
from server.kek.key_file import load
from server.kit import db
from server.vault.opening import open_vault


async def main(dsns: tuple[str, str], kek: Path, at: datetime) -> None:
    """Erase whom each line of the standard input names, up to the place that it names."""
    async with (
        db.pool(dsns[0], role=db.ROLE_APP, size_max=2) as pool,
        db.pool(dsns[1], role=db.ROLE_KEYS, size_max=2) as keys_pool,
    ):
        vault = await open_vault(keys_pool, load(kek), at)
        company_id, request_id, place = (await asyncio.to_thread(sys.stdin.readline)).split()

        def kill(here: str) -> None:
            if here == place:
                os.kill(os.getpid(), signal.SIGKILL)

        await saga.run(pool, vault, UUID(company_id), UUID(request_id), at, failpoint=kill)


if __name__ == "__main__":
    asyncio.run(
        main((sys.argv[1], sys.argv[2]), Path(sys.argv[3]), datetime.fromisoformat(sys.argv[4]))
    )
