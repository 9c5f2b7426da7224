import asyncio
import gzip
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from server.kit.problem import problems
from server.pages import web as pages

INDEX = b"<!doctype html><title>Jolda</title>" + b"<p>text</p>" * 200
SCRIPT = b"export const answer = 42;\n" * 100
SECRET = b"outside the web apps"


@asynccontextmanager
async def serve(static: Path) -> AsyncIterator[ClientSession]:
    app = web.Application(middlewares=[problems])
    pages.install(app, static)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with ClientSession(f"http://{host}:{port}", auto_decompress=False) as client:
            yield client
    finally:
        await runner.cleanup()


async def ask_raw(client: ClientSession, path: str) -> tuple[int, bytes]:
    """Send the path byte for byte: every client library would tidy it up first."""
    async with client.get("/d/") as known:
        host, port = known.url.host, known.url.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), answer


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    root = tmp_path / "dist"
    (root / "d").mkdir(parents=True)
    (root / "assets").mkdir()
    (root / "d" / "index.html").write_bytes(INDEX)
    (root / "assets" / "d-BZMbjGnB.js").write_bytes(SCRIPT)
    (root / "assets" / "tiny-1.css").write_bytes(b"p{}")
    (root / "assets" / ".hidden.js").write_bytes(SECRET)
    (root / "secret.txt").write_bytes(SECRET)
    (tmp_path / "outside.js").write_bytes(SECRET)
    return root


@pytest.fixture
async def client(dist: Path) -> AsyncIterator[ClientSession]:
    async with serve(dist) as opened:
        yield opened


async def test_the_root_leads_to_the_dispatcher(client: ClientSession) -> None:
    for path in ("/", "/d", "/?next=//evil.example/"):
        async with client.get(path, allow_redirects=False) as answer:
            assert answer.status == 302
            assert answer.headers["Location"] == "/d/"


async def test_the_page_carries_the_policy_and_is_asked_for_again(client: ClientSession) -> None:
    async with client.get("/d/") as answer:
        body = await answer.read()

    assert (answer.status, gzip.decompress(body)) == (200, INDEX)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; worker-src 'self'; font-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "geolocation=()" in answer.headers["Permissions-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-cache"


async def test_a_hashed_file_is_kept_for_a_year(client: ClientSession) -> None:
    async with client.get("/assets/d-BZMbjGnB.js") as answer:
        body = await answer.read()

    assert gzip.decompress(body) == SCRIPT
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "gzip; q=0.00", "br", ""])
async def test_who_does_not_take_gzip_gets_it_plain(client: ClientSession, accepted: str) -> None:
    async with client.get("/assets/d-BZMbjGnB.js", headers={"Accept-Encoding": accepted}) as answer:
        assert "Content-Encoding" not in answer.headers
        assert await answer.read() == SCRIPT


@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP;q=0.5", "gzip;q=1.0"])
async def test_who_takes_gzip_gets_it(client: ClientSession, accepted: str) -> None:
    async with client.get("/assets/d-BZMbjGnB.js", headers={"Accept-Encoding": accepted}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"


async def test_a_tiny_file_is_not_compressed(client: ClientSession) -> None:
    async with client.get("/assets/tiny-1.css") as answer:
        assert await answer.read() == b"p{}"


async def test_a_file_that_is_known_is_not_sent_again(client: ClientSession) -> None:
    async with client.get("/d/") as first:
        tag = first.headers["ETag"]
    async with client.get("/d/", headers={"If-None-Match": tag}) as again:
        assert (again.status, await again.read()) == (304, b"")
    other = {"If-None-Match": tag, "Accept-Encoding": "identity"}
    async with client.get("/d/", headers=other) as plain:
        assert (plain.status, await plain.read()) == (200, INDEX)


async def test_head_tells_the_length_and_sends_nothing(client: ClientSession) -> None:
    async with client.head("/d/", headers={"Accept-Encoding": "identity"}) as answer:
        assert answer.headers["Content-Length"] == str(len(INDEX))
        assert await answer.read() == b""


async def test_a_new_build_is_served_without_a_restart(client: ClientSession, dist: Path) -> None:
    await (await client.get("/d/")).read()
    (dist / "d" / "index.html").write_bytes(b"<p>newer</p>")

    async with client.get("/d/") as answer:
        assert await answer.read() == b"<p>newer</p>"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../secret.txt",
        "/assets/..%2fsecret.txt",
        "/assets/..%2Fsecret.txt",
        "/assets/..%5csecret.txt",
        "/assets/..%5Csecret.txt",
        "/assets/..\\secret.txt",
        "/assets/%2e%2e/secret.txt",
        "/assets/%2e%2e%2fsecret.txt",
        "/assets/..%252fsecret.txt",
        "/assets/%c0%ae%c0%ae%c0%afsecret.txt",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets//",
        "/assets/",
        "/assets",
        "/assets/..",
        "/assets/.",
        "/assets/.hidden.js",
        "/assets/d-BZMbjGnB.js%00.css",
        "/assets/d-BZMbjGnB.js%0a",
        "/assets/d-BZMbjGnB.js/",
        "/assets/C:%5cboot.ini",
        "/assets/linked.js",
        "/assets/absolute.js",
        "/assets/pipe.js",
        "/assets/" + "a" * 300,
        "/linkedfolder/secret.txt",
        "/secret.txt",
        "/d/../secret.txt",
        "/d/..%2fsecret.txt",
        "/d/index.html",
        "/d/unknown",
        "/unknown",
    ],
)
async def test_nothing_else_is_found(client: ClientSession, dist: Path, path: str) -> None:
    (dist / "assets" / "linked.js").symlink_to(dist.parent / "outside.js")
    (dist / "assets" / "absolute.js").symlink_to("/etc/passwd")
    os.mkfifo(dist / "assets" / "pipe.js")

    status, body = await ask_raw(client, path)

    assert status == 404
    assert b'"code": "not-found"' in body
    assert SECRET not in body


async def test_a_linked_folder_is_not_followed(client: ClientSession, dist: Path) -> None:
    (dist / "assets").rename(dist / "elsewhere")
    (dist / "assets").symlink_to(dist / "elsewhere")

    async with client.get("/assets/d-BZMbjGnB.js") as answer:
        assert answer.status == 404


async def test_a_root_that_is_itself_a_link_is_served(dist: Path) -> None:
    (dist.parent / "current").symlink_to(dist)

    async with serve(dist.parent / "current") as client, client.get("/d/") as answer:
        assert answer.status == 200


async def test_without_a_build_the_page_says_what_to_run(tmp_path: Path) -> None:
    async with serve(tmp_path / "missing") as client:
        async with client.get("/", allow_redirects=False) as root:
            assert root.status == 302
        async with client.get("/d/") as page:
            text = re.sub("<[^>]+>", "", await page.text())
        async with client.get("/assets/d-BZMbjGnB.js") as asset:
            assert asset.status == 404

    assert page.status == 503
    assert "The web app is not built; run make dashboard" in text
    assert "Content-Security-Policy" in page.headers


async def test_only_reading_is_possible(client: ClientSession) -> None:
    for path in ("/", "/d/", "/assets/d-BZMbjGnB.js"):
        async with client.post(path) as answer:
            assert answer.status == 405
