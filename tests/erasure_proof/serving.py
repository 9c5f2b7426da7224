"""``python -m tests.erasure_proof.serving``: the whole server, at a time that the proof names.

Its standard error is the log that an operator keeps.
"""

import asyncio
import sys
from datetime import datetime

from server import databases, settings
from server.app import create_app
from server.databases import Databases
from server.kit import logs
from server.kit.http_server import listening


async def main(main_dsn: str, keys_dsn: str, at: datetime) -> None:
    """Serve both databases on a port of its own, which it prints, until the input ends."""
    logs.configure()
    found = settings.read()
    dsns = Databases(main=main_dsn, keys=keys_dsn)
    async with databases.opened(dsns, found, now=at) as opened:
        app = create_app(found, opened, clock=lambda: at)
        async with listening(app, host="127.0.0.1", port=0) as address:
            sys.stdout.write(f"{address.url}\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], datetime.fromisoformat(sys.argv[3])))
