"""A real OpenBao for tests: ``bao server -dev`` on this machine, in memory, with TLS."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import hvac
import requests

from server.kek.places import TransitAt
from server.kek.transit import NEEDED

READY_S_MAX: Final = 20.0


def binary() -> str | None:
    """Return where ``bao`` lies, if it is installed."""
    return shutil.which("bao", path=f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', '')}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBao:
    """A server that runs, and its root token."""

    url: str
    folder: Path
    root: str = field(repr=False)
    process: "subprocess.Popen[bytes]"

    @property
    def ca_file(self) -> Path:
        return self.folder / "vault-ca.pem"

    def client(self, token: str | None = None) -> Any:
        return hvac.Client(
            url=self.url, token=token or self.root, verify=str(self.ca_file), timeout=5
        )

    def named(self, folder: Path, *, key: str | None = None) -> TransitAt:
        """Name a key that nobody else uses, which is not made, and a token that may make it."""
        key = key or f"key-{secrets.token_hex(4)}"
        rules = [
            f'path "transit/{path.format(key=key)}" {{ capabilities = ["{capability}"] }}'
            for path, capability in NEEDED.items()
            if path != "keys/{key}"
        ]
        rules.append(f'path "transit/keys/{key}" {{ capabilities = ["read", "create", "update"] }}')
        token_file = folder / f"token-{key}"
        token_file.write_text(self.token(key, *rules) + "\n")
        return TransitAt(
            url=self.url, mount="transit", key=key, token_file=token_file, ca_file=self.ca_file
        )

    def token(self, policy: str, *rules: str, **values: object) -> str:
        client = self.client()
        client.sys.create_or_update_policy(policy, "\n".join(rules))
        made = client.auth.token.create(policies=[policy], **{"ttl": "1h", **values})
        return str(made["auth"]["client_token"])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it stand still: it takes connections, and says nothing."""
        self.process.send_signal(signal.SIGSTOP)
        # The signal is sent, not obeyed yet: until the last thread has stopped one may answer.
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """Let it be as after a start that nobody unsealed yet."""
        self.client().sys.seal()
        try:
            yield
        finally:
            self.client().sys.submit_unseal_key(_unseal_key(self.folder))


@contextmanager
def started(folder: Path) -> Iterator[OpenBao]:
    """Start a server with a transit engine; nothing of it is left when the block ends."""
    found = binary()
    assert found is not None
    port, root = _free_port(), secrets.token_hex(8)
    url = f"https://127.0.0.1:{port}"
    # Apart: what it logs at that moment would break the line with the key.
    with (folder / "log").open("wb") as log, (folder / "banner").open("wb") as banner:
        process = subprocess.Popen(  # noqa: S603 - our own words
            [
                *(found, "server", "-dev", "-dev-tls", f"-dev-tls-cert-dir={folder}"),
                *(f"-dev-listen-address=127.0.0.1:{port}", f"-dev-root-token-id={root}"),
                "-dev-no-store-token",
            ],
            env={"HOME": str(folder), "PATH": os.environ.get("PATH", "")},
            stdout=banner,
            stderr=log,
        )
    try:
        bao = OpenBao(url=url, folder=folder, root=root, process=process)
        _wait(bao)
        bao.client().sys.enable_secrets_engine("transit")
        yield bao
    finally:
        process.kill()
        process.wait()


def _wait(bao: OpenBao) -> None:
    until = time.monotonic() + READY_S_MAX
    while True:
        try:
            if bao.client().sys.is_sealed() is False:
                return
        except (OSError, hvac.exceptions.VaultError, requests.RequestException):
            assert time.monotonic() < until, (bao.folder / "log").read_text()
        time.sleep(0.05)


def _unseal_key(folder: Path) -> str:
    """Return what it said at its start; it may answer before it said it."""
    until = time.monotonic() + READY_S_MAX
    while True:
        for line in (folder / "banner").read_text().splitlines(keepends=True):
            if line.startswith("Unseal Key") and line.endswith("\n"):
                return line.split()[-1]
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
