"""Passwords: which are refused, and how they are hashed and compared."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from server.kit import errors
from server.log_in.model import LogInBusy

WORKERS: Final = 2
WAITING_MAX: Final = 32
"""Log-ins in progress in one process; more are told to come again."""
PASSWORD_SCORE_MIN: Final = 3
"""Of 0 to 4: a guesser who knows word lists and habits needs 10**8 tries at least."""
SCORED_CHARS_MAX: Final = 40
"""The beginning of a password that is scored: the time grows faster than the length."""


class Passwords:
    """argon2id in threads of its own; how many at once is bounded."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="argon2")
        self._of_nobody = self._hasher.hash(secrets.token_urlsafe())
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Take part, unless too many wait already.

        Raises
        ------
        LogInBusy
        """
        if self._waiting >= WAITING_MAX:
            raise LogInBusy
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def hash(self, password: str, *, known: Sequence[str] = ()) -> str:
        """Return the new password's hash; words ``known`` of its person make it no better.

        Raises
        ------
        PasswordTooCommon
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hash, password, known)

    def _hash(self, password: str, known: Sequence[str]) -> str:
        # Its word lists take 12 MB; a process in which nobody chooses a password never loads them.
        from zxcvbn import zxcvbn  # noqa: PLC0415

        if zxcvbn(password[:SCORED_CHARS_MAX], list(known))["score"] < PASSWORD_SCORE_MIN:
            raise PasswordTooCommon
        return self._hasher.hash(password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Tell whether it is the password; with no hash the same work, in vain."""
        loop = asyncio.get_running_loop()
        against = self._of_nobody if password_hash is None else password_hash
        return await loop.run_in_executor(self._threads, self._matches, against, password)

    def _matches(self, against: str, password: str) -> bool:
        try:
            return self._hasher.verify(against, password) and against is not self._of_nobody
        except VerifyMismatchError:
            return False

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class PasswordTooCommon(errors.Invalid):
    slug = "password-too-common"
    title = "This password is too easy to guess"

    def __init__(self) -> None:
        super().__init__("Take several words that do not belong together.")
