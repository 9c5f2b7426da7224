"""The demo's side of the public HTTP API: JSON in, JSON out, tokens of its own."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import ClientSession


class ApiRefused(Exception):
    """The server said no. Holds the status and the problem's code, nothing of the request."""

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"{status} {code}")


class Api:
    """One caller of the API."""

    def __init__(self, http: ClientSession, token: str | None = None) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def acting_with(self, token: str) -> "Api":
        """Return the API as another caller."""
        return Api(self._http, token)

    async def get(self, path: str) -> Any:
        return await self._call("GET", path, None)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a POST.

        Raises
        ------
        ApiRefused
        """
        return await self._call("POST", path, body)

    async def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send a PUT.

        Raises
        ------
        ApiRefused
        """
        return await self._call("PUT", path, body)

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        async with self._http.request(method, path, json=body, headers=self._headers) as answer:
            if answer.status >= HTTPStatus.BAD_REQUEST:
                problem = await answer.json(content_type=None)
                raise ApiRefused(answer.status, str(problem.get("code", "unknown")))
            if answer.status == HTTPStatus.NO_CONTENT:
                return None
            return await answer.json()

    async def step_up(self, password: str) -> None:
        """Prove again who calls: for ten minutes they may give somebody new rights."""
        await self.post("/v1/sessions/step-up", {"password": password})

    async def log_in(self, login: str, password: str) -> "Api":
        """Return the API as the person who logs in."""
        session = await self.post(
            "/v1/session", {"login": login, "password": password, "transport": "bearer"}
        )
        return self.acting_with(session["token"])
