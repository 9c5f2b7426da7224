"""Where handlers find the roads."""

from typing import Final

from aiohttp import web

from server.roads.service import OFF, Roads

ROADS: Final[web.AppKey[Roads]] = web.AppKey("ROADS")


def roads(request: web.Request) -> Roads:
    """Return the roads of the application; none are set up in one that does not say."""
    return request.app.get(ROADS, OFF)
