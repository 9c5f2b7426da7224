"""Serves the built web apps: pages, their hashed files, and the few fixed redirects."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web

from server.kit.api import NotThere
from server.pages.files import File, Files

REDIRECTS: Final[Mapping[str, str]] = {"/": "/d/", "/d": "/d/"}
"""All there are: no redirect ever goes to a place that a request names."""
PAGES: Final[Mapping[str, tuple[str, ...]]] = {"/d/": ("d", "index.html")}
ASSETS: Final = "assets"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self'; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
# On everything that is served from here, whatever its type.
_ALWAYS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE: Final[Mapping[str, str]] = {
    **_ALWAYS,
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # The dispatcher's pages need none of these; the driver's will have a list of their own.
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), screen-wake-lock=()",
}
_REVALIDATE: Final = "no-cache"
_FOREVER: Final = "public, max-age=31536000, immutable"

_NOT_BUILT: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Jolda</title>
<p>The web app is not built; run <code>make dashboard</code>.</p>
</html>
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def install(app: web.Application, static: Path) -> None:
    """Serve the web apps that were built into ``static``; it may also appear later."""
    app.router.add_routes(routes(static))


def routes(static: Path) -> list[web.RouteDef]:
    files = Files(static)
    return [
        *(web.get(path, _redirect(target)) for path, target in REDIRECTS.items()),
        *(web.get(path, _page(files, parts)) for path, parts in PAGES.items()),
        web.get(f"/{ASSETS}/{{name}}", _asset(files)),
    ]


def _redirect(target: str) -> Handler:
    async def redirect(_request: web.Request) -> web.Response:
        return web.Response(
            status=HTTPStatus.FOUND,
            headers={**_ALWAYS, "Location": target, "Cache-Control": _REVALIDATE},
        )

    return redirect


def _page(files: Files, parts: tuple[str, ...]) -> Handler:
    async def page(request: web.Request) -> web.Response:
        found = await asyncio.to_thread(files.find, *parts)
        if found is None:
            return web.Response(
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                text=_NOT_BUILT,
                content_type="text/html",
                headers={**_PAGE, "Cache-Control": "no-store"},
            )
        return _answer(request, found, {**_PAGE, "Cache-Control": _REVALIDATE})

    return page


def _asset(files: Files) -> Handler:
    async def asset(request: web.Request) -> web.Response:
        found = await asyncio.to_thread(files.find, ASSETS, request.match_info["name"])
        if found is None:
            raise NotThere
        return _answer(request, found, {**_ALWAYS, "Cache-Control": _FOREVER})

    return asset


def _answer(request: web.Request, found: File, headers: Mapping[str, str]) -> web.Response:
    zipped = found.zipped if _takes_gzip(request.headers.getall("Accept-Encoding", ())) else None
    tag = f"{found.digest}-gz" if zipped is not None else found.digest
    headers = {**headers, "ETag": f'"{tag}"', "Vary": "Accept-Encoding"}
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    charset = "utf-8" if found.content_type.startswith("text/") else None
    if zipped is not None:
        headers = {**headers, "Content-Encoding": "gzip"}
    return web.Response(
        body=found.body if zipped is None else zipped,
        content_type=found.content_type,
        charset=charset,
        headers=headers,
    )


def _takes_gzip(accepted: Iterable[str]) -> bool:
    for part in ",".join(accepted).lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            # q=0, q=0.0 ... is a refusal; anything else is a wish.
            return weight.replace(" ", "").rstrip("0").rstrip(".") not in ("q=", "q=0")
    return False
