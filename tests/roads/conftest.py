"""A router of each kind, and what is asked of it."""

from collections.abc import AsyncIterator

import pytest

from server.roads.model import RouterAt, RouterKind
from server.roads.service import Roads, roads_of
from tests.roads.router_server import Roadside, router_server


@pytest.fixture
def roadside() -> Roadside:
    return Roadside()


@pytest.fixture(params=RouterKind)
async def at(request: pytest.FixtureRequest, roadside: Roadside) -> AsyncIterator[RouterAt]:
    async with router_server(roadside, request.param) as found:
        yield found


@pytest.fixture
def roads(at: RouterAt) -> Roads:
    return roads_of(at)
