"""Asking a transit engine of OpenBao (or of Vault) about one key, bounded in time and threads."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeAlias, TypeVar

import hvac
import requests
from hvac.exceptions import (
    Forbidden,
    InvalidPath,
    InvalidRequest,
    VaultDown,
    VaultError,
)

from server.kek.model import KekGone, KekUnusable
from server.kek.places import TransitAt

T = TypeVar("T")
Item: TypeAlias = Mapping[str, object]

ANOTHER: Final = "The key database was made with another key than the transit engine holds."
HOW: Final = "See docs/how-to/keep-the-kek-elsewhere.md."
STEP_S_MAX: Final = 4
"""To connect, and to read: whole seconds, says hvac."""
WITHIN_S_MAX: Final = 6.0
AGAIN_S: Final = 2.0
"""After an answer that did not come, this long nobody asks."""
RENEW_EVERY_S: Final = 3600.0
BATCH: Final = 100
"""Keys in one request. OpenBao refuses JSON of more than a thousand strings, five for each."""
UNLIKE_AN_ENGINE: Final = (AttributeError, KeyError, TypeError, ValueError)
"""What is raised where an answer is not of the shape that it should have."""
_REFUSED: Final = (
    "{url} refuses the token in JOLDA_KEK_TRANSIT_TOKEN_FILE: it has ended, or may not use {key}. "
    f"{HOW}"
)
AWAY: Final[tuple[tuple[type[Exception], str], ...]] = (
    (Forbidden, _REFUSED),
    (VaultDown, "{url} is sealed, or not ready."),
    (VaultError, "{url} cannot do it now ({kind})."),
    (
        requests.exceptions.SSLError,
        "The certificate of {url} is not trusted; see JOLDA_KEK_TRANSIT_CA_FILE.",
    ),
    (OSError, "{url} cannot be reached ({kind})."),
    (Exception, "{url} does not answer like a transit engine."),
)
"""What a person is told of each failure, the first that it is one of."""
NO_CONTENT: Final = HTTPStatus.NO_CONTENT.value


class TransitAway(KekUnusable, ConnectionError):
    """The engine cannot be asked, or not by us, just now: coming again may help."""


class Engine:
    """Asks about one key, each time in a thread and with the token of that moment."""

    def __init__(
        self, at: TransitAt, session: requests.Session, threads: ThreadPoolExecutor
    ) -> None:
        self._at = at
        self._session = session
        self._threads = threads
        self._renewed_at = -RENEW_EVERY_S
        self._away: str | None = None
        self._again_at = 0.0

    async def ask(self, act: Callable[[hvac.Client], T]) -> T:
        """Return what ``act`` makes of a client.

        While the engine is away one at a time looks whether it is back, and the others are told at
        once: they would be thousands, each for seconds.

        Raises
        ------
        TransitAway, KekUnusable
        """
        if self._away is not None:
            if time.monotonic() < self._again_at:
                raise TransitAway(self._away)
            self._again_at = time.monotonic() + WITHIN_S_MAX
        try:
            answer = await self._in_time(act)
        except TransitAway as error:
            self._away = str(error)
            self._again_at = time.monotonic() + AGAIN_S
            raise
        except KekUnusable:  # it did answer
            self._away = None
            raise
        self._away = None
        return answer

    async def read(self, name: str, *args: object, take: Callable[[Any], T], **values: object) -> T:
        """Call one of hvac's functions about the key; return what ``take`` makes of its ``data``.

        Raises
        ------
        KekGone
            There is no such key, or what was to be unwrapped is not of its making.
        TransitAway, KekUnusable
        """
        at = self._at

        def act(client: hvac.Client) -> T:
            function = getattr(client.secrets.transit, name)
            return take(function(at.key, *args, mount_point=at.mount, **values)["data"])

        return await self.ask(act)

    async def change(self, name: str, *args: object, **values: object) -> None:
        """Call one of hvac's functions that changes the key.

        Raises
        ------
        TransitAway, KekUnusable
        """
        at = self._at

        def act(client: hvac.Client) -> None:
            function = getattr(client.secrets.transit, name)
            answer = function(at.key, *args, mount_point=at.mount, **values)
            # Vault has nothing more to say. A redirection is not followed: it would get the token.
            if isinstance(answer, requests.Response) and answer.status_code != NO_CONTENT:
                raise TransitAway(f"{at.url} answers {answer.status_code}. {HOW}")

        await self.ask(act)

    async def batch(self, name: str, items: Sequence[Item], member: str) -> list[str]:
        """Let the engine wrap or unwrap; return one ``member`` of each answer, in their order."""
        done: list[str] = []
        for begin in range(0, len(items), BATCH):
            batch = list(items[begin : begin + BATCH])
            done += await self.read(name, batch_input=batch, take=partial(_each, member))
        return done

    async def _in_time(self, act: Callable[[hvac.Client], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(WITHIN_S_MAX):
                return await loop.run_in_executor(self._threads, self._asked, act)
        except TimeoutError:
            raise TransitAway(f"{self._at.url} does not answer in time.") from None

    def _asked(self, act: Callable[[hvac.Client], T]) -> T:
        at = self._at
        client = hvac.Client(
            url=at.url,
            token=self._token(),
            session=self._session,
            timeout=STEP_S_MAX,
            allow_redirects=False,
        )
        try:
            self._keep_token(client)
            return act(client)
        except KekUnusable:
            raise
        except (VaultError, OSError, *UNLIKE_AN_ENGINE) as error:
            # Texts of the libraries repeat what was sent, the token also: nothing is chained.
            raise _told(error, at) from None

    def _token(self) -> str:
        try:
            token = self._at.token_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not a token"
            raise TransitAway(f"JOLDA_KEK_TRANSIT_TOKEN_FILE cannot be read: {why}.") from None
        if not token or not token.isprintable():
            raise TransitAway("JOLDA_KEK_TRANSIT_TOKEN_FILE must hold one token.")
        return token

    def _keep_token(self, client: hvac.Client) -> None:
        """Renew the token, where it can be: nobody else may do so."""
        if time.monotonic() < self._renewed_at + RENEW_EVERY_S:
            return
        with suppress(VaultError):  # it has no end, or what is asked next tells that it has ended
            client.auth.token.renew_self()
        self._renewed_at = time.monotonic()


def _told(error: Exception, at: TransitAt) -> KekUnusable:
    """Return what a person is told of a failure of the libraries."""
    if isinstance(error, InvalidPath):
        return KekGone(f"{at.url} has no key {at.mount}/{at.key}. {HOW}")
    if isinstance(error, InvalidRequest):
        if _is_of_a_batch(error.json):
            return KekGone(ANOTHER)
        return KekUnusable(f"{at.url} refuses what is asked of {at.mount}/{at.key}.")
    text = next(text for kind, text in AWAY if isinstance(error, kind))
    return TransitAway(
        text.format(url=at.url, key=f"{at.mount}/{at.key}", kind=type(error).__name__)
    )


def _is_of_a_batch(told: object) -> bool:
    """Tell whether the engine took the request, and only some of its keys could not be opened."""
    data = told.get("data") if isinstance(told, dict) else None
    return isinstance(data, dict) and "batch_results" in data


def _each(member: str, data: Any) -> list[str]:
    return [str(one[member]) for one in data["batch_results"]]
