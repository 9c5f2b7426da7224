"""A main user with a password and, if wanted, an authenticator app."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from aiohttp import ClientResponse, ClientSession

from server.second_factor import model
from tests.accounts.people import EMAIL, PASSWORD, accept, add, log_in, new_staff, token_of
from tests.http import Clock, bearer
from tests.world import World

FACTOR: Final = "/v1/me/second-factor"
STEP: Final = timedelta(seconds=model.STEP_S)


@dataclass(slots=True, kw_only=True)
class Person:
    """Somebody with a session, and what they have to log in with."""

    client: ClientSession
    clock: Clock
    token: str = field(repr=False)
    email: str = EMAIL
    secret: bytes = b""
    recovery_codes: tuple[str, ...] = ()

    def code(self, *, steps: int = 0) -> str:
        """Return what the app shows, so many steps from now."""
        return model.code_at(self.secret, model.step_at(self.clock()) + steps)

    async def call(self, method: str, path: str, body: object = None) -> ClientResponse:
        return await self.client.request(method, path, json=body, headers=bearer(self.token))

    async def log_in(self, code: str | None = None, **changes: object) -> ClientResponse:
        given = {} if code is None else {"code": code}
        return await log_in(self.client, self.email, **given, **changes)

    async def step_up(self, code: str | None = None, password: str = PASSWORD) -> ClientResponse:
        given = {} if code is None else {"code": code}
        return await self.call("POST", "/v1/sessions/step-up", {"password": password, **given})

    async def begin(self) -> Any:
        answer = await self.call("POST", FACTOR)
        assert answer.status == 201, await answer.text()
        begun = await answer.json()
        self.secret = model.read(begun["secret"])
        return begun

    async def enrol(self) -> None:
        """Set the second factor up. The step of its confirmation is used then."""
        assert (await self.step_up()).status == 200
        await self.begin()
        answer = await self.call("POST", f"{FACTOR}/confirm", {"code": self.code()})
        assert answer.status == 200, await answer.text()
        self.recovery_codes = tuple((await answer.json())["recovery_codes"])
        self.clock.at += STEP


async def joined(
    world: World,
    client: ClientSession,
    clock: Clock,
    *,
    role: str = "main_user",
    email: str = EMAIL,
) -> Person:
    """Let somebody of the staff join and log in."""
    by = await world.session("main_user", stepped_up=True)
    added = await add(client, "/v1/members", by, new_staff(role=role, email=email))
    await accept(client, added["invitation"]["code"])
    token = await token_of(await log_in(client, email))
    return Person(client=client, clock=clock, token=token, email=email)
