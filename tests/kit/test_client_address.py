"""Behind a proxy, log-ins are counted by who asked the proxy."""

from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from aiohttp import web
from multidict import CIMultiDict

from server import settings
from server.credentials.access import PUBLIC
from server.kit.api import endpoint
from server.kit.client_address import TRUSTED_PROXIES, client_address
from server.log_in.web import logging_in
from tests.endpoints import ACCOUNTS as ENDPOINTS
from tests.http import serve
from tests.world import World

OWN = "127.0.0.1"
PROXIES = (OWN, "10.0.0.0/24", "fd00::/64")


@endpoint("GET", "/address", access=PUBLIC)
async def address(request: web.Request) -> dict[str, str]:
    return {"address": client_address(request)}


async def seen(world: World, proxies: Sequence[str], forwarded: Sequence[str]) -> str:
    def prepare(app: web.Application) -> None:
        app[TRUSTED_PROXIES] = [ip_network(one) for one in proxies]

    headers = CIMultiDict(("X-Forwarded-For", one) for one in forwarded)
    async with serve(world, (address,), prepare=prepare) as client:
        answer = await client.get("/address", headers=headers)
        found: str = (await answer.json())["address"]
        return found


@pytest.mark.parametrize(
    ("forwarded", "found"),
    [
        ([], OWN),
        (["192.0.2.7"], "192.0.2.7"),
        (["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        (["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
        (["198.51.100.1, 192.0.2.7, 10.0.0.9"], "192.0.2.7"),
        (["192.0.2.7,fd00::1 , 10.0.0.9"], "192.0.2.7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        (["192.0.2.7, nonsense, 10.0.0.9"], "10.0.0.9"),
        (["unknown"], OWN),
        ([""], OWN),
        ([", ".join(["192.0.2.7", *["10.0.0.9"] * 500])], "10.0.0.9"),
    ],
)
async def test_the_last_address_that_a_trusted_proxy_saw_counts(
    world: World, forwarded: list[str], found: str
) -> None:
    assert await seen(world, PROXIES, forwarded) == found


@pytest.mark.parametrize("proxies", [(), ("10.0.0.0/24",)])
async def test_who_is_no_trusted_proxy_is_not_believed(
    world: World, proxies: tuple[str, ...]
) -> None:
    assert await seen(world, proxies, ["192.0.2.7"]) == OWN


async def test_people_behind_one_proxy_do_not_use_up_each_others_attempts(world: World) -> None:
    def prepare(app: web.Application) -> None:
        app[TRUSTED_PROXIES] = [ip_network(OWN)]
        app.cleanup_ctx.append(logging_in)

    async with serve(world, ENDPOINTS, prepare=prepare) as client:
        statuses = []
        for number in range(102):
            answer = await client.post(
                "/v1/session",
                json={"login": f"nobody{number}@aral.example", "password": "wrong password"},
                headers={"X-Forwarded-For": "192.0.2.8" if number == 101 else "192.0.2.7"},
            )
            statuses.append(answer.status)

    assert statuses == [401] * 100 + [429, 401]


def test_proxies_are_addresses_and_networks_and_lift_the_limit_of_connections() -> None:
    none = settings.read({})
    some = settings.read({"JOLDA_TRUSTED_PROXIES": " 10.0.0.7, fd00::/64,"})
    both = settings.read({"JOLDA_TRUSTED_PROXIES": OWN, "JOLDA_CONNECTIONS_PER_ADDRESS_MAX": "300"})

    assert (none.trusted_proxies, none.connections_per_address_max) == ((), 256)
    assert some.trusted_proxies == (ip_network("10.0.0.7"), ip_network("fd00::/64"))
    assert some.connections_per_address_max == 1_000_000
    assert both.connections_per_address_max == 300


@pytest.mark.parametrize("value", ["proxy.internal", "10.0.0.7/8", "*", "10.0.0.7 10.0.0.8"])
def test_proxies_that_cannot_be_read_end_the_start(value: str) -> None:
    with pytest.raises(settings.SettingsInvalid, match="JOLDA_TRUSTED_PROXIES"):
        settings.read({"JOLDA_TRUSTED_PROXIES": value})
