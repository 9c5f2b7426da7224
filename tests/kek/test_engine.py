"""A transit engine that cannot be asked: told in one sentence, in time, and without the token."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web

from server.kek import engine
from server.kek.engine import Engine, TransitAway
from server.kek.model import Bound, KekUnusable
from server.kek.places import TransitAt
from server.kek.transit import TransitKeks, open_transit
from server.kit.db import is_outage
from tests.kek.openbao import OpenBao

KEY = Bound(bytes(range(32)), b"company 1")


def token_of(at: TransitAt) -> str:
    return at.token_file.read_text().strip()


async def refused(at: TransitAt) -> str:
    """Return the sentence with which a start is refused."""
    with pytest.raises(KekUnusable) as raised:
        async with open_transit(at, may_make=True, is_first=True):
            pytest.fail("opened")
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__
    if at.token_file.exists():
        assert token_of(at) not in str(raised.value)
    return str(raised.value)


async def away(keks: TransitKeks) -> str:
    """Return the sentence with which nothing is unwrapped just now."""
    with pytest.raises(TransitAway) as raised:
        await keks.in_force(None)
    assert is_outage(raised.value)
    return str(raised.value)


async def test_nobody_who_listens(at: TransitAt) -> None:
    gone = replace(at, url="https://127.0.0.1:9")

    assert await refused(gone) == "https://127.0.0.1:9 cannot be reached (ConnectionError)."


async def test_a_certificate_that_nobody_signed(at: TransitAt) -> None:
    told = await refused(replace(at, ca_file=None))

    assert told.endswith("is not trusted; see JOLDA_KEK_TRANSIT_CA_FILE.")


async def test_a_token_that_ended(at: TransitAt, openbao: OpenBao) -> None:
    openbao.client().auth.token.revoke(token_of(at))

    assert "refuses the token in JOLDA_KEK_TRANSIT_TOKEN_FILE: it has ended" in await refused(at)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"", "must hold one token."),
        (b"s.one\ns.two", "must hold one token."),
        (b"s.\xd1\x82", "cannot be read: it is not a token."),
    ],
)
async def test_a_token_that_is_none(at: TransitAt, content: bytes | None, sentence: str) -> None:
    at.token_file.unlink()
    if content is not None:
        at.token_file.write_bytes(content)

    with pytest.raises(KekUnusable, match=f"^JOLDA_KEK_TRANSIT_TOKEN_FILE {sentence}$"):
        async with open_transit(at, may_make=True, is_first=True):
            pytest.fail("opened")


async def test_a_sealed_one_is_away_until_it_is_unsealed(
    transit: TransitKeks, openbao: OpenBao
) -> None:
    kek = await transit.in_force(None)
    (wrapped,) = await kek.wrap([KEY])

    with openbao.sealed():
        assert (await away(transit)).endswith("is sealed, or not ready.")

    assert await kek.unwrap([Bound(wrapped, KEY.aad)]) == [KEY.data]


async def test_a_frozen_one_is_told_in_time_and_holds_up_nobody_else(
    transit: TransitKeks, openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WITHIN_S_MAX", 2.0)
    await transit.in_force(None)

    with openbao.frozen():
        began = time.monotonic()
        asked = [asyncio.create_task(away(transit)) for _ in range(30)]
        await asyncio.sleep(0.1)
        # A log-in's password is hashed in a thread as well, and does not wait behind those.
        await asyncio.to_thread(lambda: None)
        assert not any(one.done() for one in asked)
        told = await asyncio.gather(*asked)
        assert time.monotonic() - began < 2 * engine.WITHIN_S_MAX

    assert all(one.endswith("does not answer in time.") for one in told)
    await until_it_answers(transit)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When OpenBao was really asked, and half a second was waited for it."""
    monkeypatch.setattr(engine, "WITHIN_S_MAX", 0.5)
    times: list[float] = []
    in_time = Engine._in_time  # noqa: SLF001 - counted

    async def noting(self: Engine, act: Callable[[Any], Any]) -> Any:
        times.append(time.monotonic())
        return await in_time(self, act)

    monkeypatch.setattr(Engine, "_in_time", noting)
    return times


async def ask_a_frozen_one(keks: TransitKeks, openbao: OpenBao, asked: list[float]) -> None:
    with openbao.frozen():
        await away(keks)
        asked.clear()
        await asyncio.gather(*(away(keks) for _ in range(50)))


async def test_while_it_is_away_one_looks_and_the_others_are_told_at_once(
    transit: TransitKeks, openbao: OpenBao, asked: list[float]
) -> None:
    await ask_a_frozen_one(transit, openbao, asked)

    assert len(asked) == 1
    await until_it_answers(transit)


async def test_control_otherwise_all_of_them_wait(
    transit: TransitKeks,
    openbao: OpenBao,
    asked: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Engine, "ask", Engine._in_time)  # noqa: SLF001 - each asks for itself

    await ask_a_frozen_one(transit, openbao, asked)

    assert len(asked) == 50


async def until_it_answers(keks: TransitKeks) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await keks.in_force(None)
            except TransitAway:
                continue
            return


async def test_the_token_is_read_anew_whenever_something_is_asked(
    transit: TransitKeks, at: TransitAt, openbao: OpenBao
) -> None:
    old = token_of(at)
    at.token_file.write_text(openbao.token(at.key, _all_of(at)))
    openbao.client().auth.token.revoke(old)

    await transit.in_force(None)

    at.token_file.write_text(old)
    assert "refuses the token" in await away(transit)


async def outlives_its_end(at: TransitAt, openbao: OpenBao) -> bool:
    at.token_file.write_text(openbao.token(at.key, _all_of(at), ttl="2s", period="2s"))
    async with open_transit(at, may_make=True, is_first=True) as keks:
        for _ in range(5):
            await asyncio.sleep(0.5)
            try:
                await keks.in_force(None)
            except TransitAway:
                return False
    return True


async def test_a_token_that_can_be_renewed_is(
    at: TransitAt, openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RENEW_EVERY_S", 0.2)

    assert await outlives_its_end(at, openbao)


async def test_control_a_token_that_is_not_renewed_ends(at: TransitAt, openbao: OpenBao) -> None:
    assert not await outlives_its_end(at, openbao)


def _all_of(at: TransitAt) -> str:
    used = f'path "transit/+/{at.key}*" {{ capabilities = ["read", "create", "update"] }}'
    return f'{used}\npath "transit/keys/{at.key}/*" {{ capabilities = ["update"] }}'


async def test_what_the_environment_says_of_proxies_and_vaults_is_not_heard(
    at: TransitAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "VAULT_ADDR"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("VAULT_TOKEN", "of somebody else")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")

    async with open_transit(at, may_make=True, is_first=True) as keks:
        await keks.in_force(None)


@dataclass
class Other:
    """Some other server, and the tokens it was shown."""

    answer: web.Response
    tokens: list[str | None] = field(default_factory=list)


@asynccontextmanager
async def other_server(other: Other) -> AsyncIterator[str]:
    async def tell(request: web.Request) -> web.StreamResponse:
        other.tokens.append(request.headers.get("X-Vault-Token"))
        made = other.answer
        return web.Response(status=made.status, headers=made.headers, body=made.body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", tell)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_a_redirection_is_not_followed_with_the_token(at: TransitAt) -> None:
    elsewhere = Other(web.Response(text="{}"))
    async with other_server(elsewhere) as url:
        sends_on = Other(web.Response(status=307, headers={"Location": f"{url}/v1/transit"}))
        async with other_server(sends_on) as first:
            told = await refused(replace(at, url=first, ca_file=None))

    assert told.endswith("does not answer like a transit engine.")
    assert sends_on.tokens
    assert elsewhere.tokens == []


@pytest.mark.parametrize(
    "body",
    ["", "hello", "[]", "{}", '{"data": null}', '{"data": {"type": "aes256-gcm96"}}'],
)
async def test_something_that_is_no_transit_engine(at: TransitAt, body: str) -> None:
    other = Other(web.Response(text=body, content_type="application/json"))
    async with other_server(other) as url:
        told = await refused(replace(at, url=url, ca_file=None))

    assert told
    assert body not in told or not body
