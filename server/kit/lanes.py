"""One connection outside any pool, opened when needed and again after it was lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from server.kit.db import Connection

CONNECT_S_MAX: Final = 2.0


class Lane:
    """Holds the connection between its uses."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._conn: Connection | None = None

    async def connection(self) -> Connection:
        """Return the connection.

        Raises
        ------
        ConnectionError
        """
        if self._conn is None or self._conn.is_closed():
            try:
                async with asyncio.timeout(CONNECT_S_MAX):
                    self._conn = await self._connect()
            except Exception as error:
                raise ConnectionError from error
        return self._conn

    def drop(self) -> None:
        """Give the connection up: whatever it was doing, its outcome is unknown."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.terminate()
