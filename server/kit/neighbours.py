"""What the processes of one installation tell each other, so that they can count together.

A word is told after it counted here, goes by way of the supervisor, and is heard by all others
within milliseconds. It may be lost where a process is busy or ends: what has to be right is
asked of PostgreSQL.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog
from aiohttp import web

from server.kit.problem import where

log = structlog.get_logger(__name__)

Words: TypeAlias = tuple[str, ...]
Tell: TypeAlias = Callable[[str, Words], None]
Hear: TypeAlias = Callable[[Words], Awaitable[None]]


def _tell_nobody(_topic: str, _words: Words) -> None:
    """Do nothing: there is one process only."""


class Neighbours:
    """One process's way to the others. Words are short: names of things that are counted."""

    def __init__(self) -> None:
        self._tell: Tell = _tell_nobody
        self._hear: dict[str, Hear] = {}

    def connect(self, tell: Tell) -> None:
        """Tell through ``tell`` from now on; it must not wait."""
        self._tell = tell

    def tell(self, topic: str, *words: str) -> None:
        """Tell all others, without waiting for them."""
        self._tell(topic, words)

    def listen(self, topic: str, hear: Hear) -> None:
        """Let ``hear`` have what others tell; what raises there is logged and forgotten."""
        self._hear[topic] = hear

    async def heard(self, topic: str, words: Words) -> None:
        """Take what another one told."""
        hear = self._hear.get(topic)
        if hear is None:
            return
        try:
            await hear(words)
        except Exception as error:  # noqa: BLE001 - a count; the process goes on
            log.warning("neighbour_unheard", **where(error))


NEIGHBOURS: Final[web.AppKey[Neighbours]] = web.AppKey("NEIGHBOURS")


def neighbours_of(app: web.Application) -> Neighbours:
    """Return the application's; one without any others where it has none."""
    return app.get(NEIGHBOURS) or Neighbours()
