"""Making the database cluster, and running it for as long as a block lasts."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from server.kit.files import sync_folder
from server.kit.localpg.claim import (
    CLUSTER_NAME,
    claimed,
    end_orphans,
    new_socket_folder,
    remove_half_made,
    remove_socket_folder,
)
from server.kit.localpg.place import (
    SUPERUSER,
    LocalPostgresError,
    Place,
    Say,
    disk_is_full,
    environment,
    explained,
    find,
    launch,
    major_version,
    new_of,
    with_parent,
)
from server.kit.localpg.process import (
    NO_SPACE,
    Server,
    exit_status,
    kept_running,
    ready,
    stop,
)

SETTINGS: Final = {
    "cluster_name": CLUSTER_NAME,
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    # Nothing of a row may reach the log. Terse drops DETAIL, which quotes keys and statements; an
    # ERROR itself may quote a value ("invalid input syntax for type ..."), so only the client, who
    # sent it, gets to see those: the log has what is about the server (LOG, FATAL, PANIC).
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    # A small machine shared with the server itself; short statements, which JIT only slows down.
    "max_connections": "100",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "jit": "off",
}
# Twice as fast, and gone after a power cut.
SETTINGS_FOR_TESTS: Final = SETTINGS | {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    # Proofs of races bring some eighty each, and several tests run at a time.
    "max_connections": "400",
}


def _to_stderr(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


@asynccontextmanager
async def run(
    data: Path, *, unsafe_for_tests: bool = False, say: Say = _to_stderr
) -> AsyncIterator[Server]:
    """Run PostgreSQL on the folder ``data``, made if missing, for as long as the block lasts.

    Should it end it is started again, behind the same socket. It stops with us even if we are
    killed. On Linux that is tied to the thread that enters the block: enter it from the main
    thread.

    Parameters
    ----------
    data
        Its parent gets the log, ``postgres.log``, and the lock file.
    unsafe_for_tests
        Fast, but a power cut loses the data.
    say
        Gets a sentence for a person where something takes long or is unexpected.

    Raises
    ------
    LocalPostgresError
        It cannot be started.
    """
    async with AsyncExitStack() as leaving:
        with _oserrors_explained(data):
            asked = with_parent(data)
            claim = leaving.enter_context(claimed(asked))
            place = find(asked, say)
            made = _is_made(place.data)
            await asyncio.to_thread(end_orphans, place.data)
            remove_half_made(place.data)
            remove_socket_folder(claim.last_socket())
            if not made:
                await _make(place, unsafe_for_tests=unsafe_for_tests, say=say)
            socket = new_socket_folder(place.account)
            leaving.callback(remove_socket_folder, socket)
            claim.note(socket)
            server = Server(place, socket, SETTINGS_FOR_TESTS if unsafe_for_tests else SETTINGS)
            server.launch()
        leaving.push_async_callback(stop, server)
        await ready(server, say)
        await leaving.enter_async_context(kept_running(server))
        yield server


@contextmanager
def _oserrors_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explained(error, folder) from error


# ---- making


def _is_made(data: Path) -> bool:
    """Tell whether ``data`` holds a cluster to run; whatever else is there stays as it is."""
    if not data.exists():
        return False
    try:
        version = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        if any(data.iterdir()):
            raise LocalPostgresError(
                f"The folder {data} holds other files and no database: name another folder."
            ) from None
        return False
    if version != major_version():
        raise LocalPostgresError(
            f"The database in {data} was made by PostgreSQL {version} and this Jolda brings "
            f"{major_version()}: it was left as it is, start it with the Jolda that made it "
            "or name another folder."
        )
    return True


async def _make(place: Place, *, unsafe_for_tests: bool, say: Say) -> None:
    """Make the cluster beside its folder and rename it: half a cluster is never taken for one."""
    say(f"Preparing the database in {place.data}...")
    new = new_of(place.data)
    if place.account is not None:
        os.chown(new, place.account.uid, place.account.gid)
    command = [
        str(place.programs / "initdb"),
        f"--pgdata={new}",
        f"--username={SUPERUSER}",
        "--auth=trust",  # whoever reaches the socket: its folder is ours alone
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--data-checksums",
        "--no-instructions",
        *(["--no-sync"] if unsafe_for_tests else []),
    ]
    try:
        await _initdb(launch(place.account, command, end=signal.SIGKILL), place)
        new.rename(place.data)
    finally:
        remove_half_made(place.data)
    if not unsafe_for_tests:
        # Else a power cut may take the rename back, and the data with it.
        sync_folder(place.data.parent)


async def _initdb(command: list[str], place: Place) -> None:
    with TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: ASYNC220, S603  (does not wait; our own words)
            command,
            cwd="/",
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            status = await exit_status(process)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        said = output.read().decode(errors="replace")
    if status == 0:
        return
    if NO_SPACE in said:
        raise disk_is_full(place.data.parent)
    reason = next((line for line in said.splitlines() if "error:" in line or "FATAL" in line), said)
    raise LocalPostgresError(
        f"The database in {place.data} could not be made: {reason.strip() or status}."
    )
