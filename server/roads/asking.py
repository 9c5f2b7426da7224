"""Asking a road router over HTTP: bounded in time, size and number, its answers not believed."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from server.kit import outgoing
from server.kit.outgoing import AnswerTooLarge, AnswerTooSlow, Unreached
from server.roads.model import RoadsUnavailable, Trouble

ANSWER_S_MAX: Final = 5.0
ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
AT_ONCE_MAX: Final = 4

T = TypeVar("T")


class Told(BaseModel):
    """A part of an answer: what is not named is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Router:
    """Asks one server, a few questions at a time; who asks more waits."""

    def __init__(self, url: str, *, within_s: float = ANSWER_S_MAX) -> None:
        self._url = url.rstrip("/")
        self._within_s = within_s
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)

    async def ask(self, path: str, body: object | None = None, *, read: Callable[[bytes], T]) -> T:
        """GET ``path``, or POST ``body`` to it; return what ``read``, in a thread, makes of it.

        Raises
        ------
        RoadsUnavailable
        """
        async with self._turns:
            answer = await self._fetched(path, body)
        if answer.status != HTTPStatus.OK:
            # 400 is how both say that there is no way; any other is the server's own trouble.
            refused = answer.status == HTTPStatus.BAD_REQUEST
            raise RoadsUnavailable(Trouble.REFUSED if refused else Trouble.UNREACHABLE)
        try:
            return await asyncio.to_thread(read, answer.body)
        # Their texts repeat what was read: not chained.
        except (ValidationError, ValueError):
            raise RoadsUnavailable(Trouble.UNREADABLE) from None

    async def _fetched(self, path: str, body: object | None) -> outgoing.Fetched:
        try:
            return await outgoing.ask(
                f"{self._url}{path}", body, within_s=self._within_s, bytes_max=ANSWER_BYTES_MAX
            )
        except AnswerTooSlow:
            trouble = Trouble.TOO_SLOW
        except AnswerTooLarge:
            trouble = Trouble.TOO_LARGE
        except Unreached:
            trouble = Trouble.UNREACHABLE
        raise RoadsUnavailable(trouble)
