"""No command writes to a `main` from before; whatever only looks does not ask."""

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from server.__main__ import _parser
from server.backups import fence
from server.backups.model import Behind
from server.settings import Settings
from tests.backups.conftest import Backups, Restored
from tests.backups.test_fence import act, head_of
from tests.conftest import Databases
from tests.running import settings

OTHERS = {
    "serve": "compares them itself: test_fence",
    "worker": "is started by serve",
    "jobs": "is started by serve",
    "demo": "serves, as serve does",
    "migrate": "changes the schema alone; reconciling needs the newest",
    "clean": "removes all of it",
    "backup": "reads",
    "restore": "is how it is mended",
    "keys status": "reads",
    "ledger verify": "reads",
    "receipt verify": "asks no database",
    "certificate verify": "asks no database",
    "export verify": "asks no database",
}
"""Which command needs no such fence, and why."""


def writing(company_id: object) -> dict[str, list[str]]:
    """Return the words after each command that writes to `main`."""
    company = f"--company={company_id}"
    return {
        "company create": ["--name=Aral", "--main-user-name=A", "--main-user-email=a@b.example"],
        "company keep": [company, "--plan-days=30"],
        "company close": [company, "--in-days=30", "--yes"],
        "company keep-open": [company],
        "retention": [company],
        "keys rotate": [],
        "order block": [company, f"--driver={uuid4()}", "--reference=12-3"],
        "order unblock": [company, f"--driver={uuid4()}"],
    }


def every(parser: argparse.ArgumentParser, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield each command there is."""
    subs = [
        one
        for one in parser._actions  # noqa: SLF001 - argparse tells it nowhere else
        if isinstance(one, argparse._SubParsersAction)  # noqa: SLF001
    ]
    if not subs:
        yield " ".join(above)
    for one in subs:
        for name, below in one.choices.items():
            yield from every(below, (*above, name))


async def run(found: Settings, *words: str) -> None:
    """Do what the command does."""
    chosen = _parser().parse_args(words)
    await chosen.command(chosen, found, asyncio.Event())


@pytest.fixture
def found(tmp_path: Path, databases: Databases, kek_file: Path) -> Settings:
    return replace(settings(tmp_path, databases), kek_file=kek_file)


async def from_before(backups: Backups) -> Path:
    folder = await backups.take()
    await act(backups.world)
    await backups.journal()
    return folder


def test_of_each_command_it_is_known_whether_it_writes() -> None:
    assert sorted(every(_parser())) == sorted({*OTHERS, *writing("")})


async def test_each_command_that_writes_is_refused_before_it_does(
    backups: Backups, found: Settings
) -> None:
    folder = await from_before(backups)

    async with backups.restored(folder) as restored:
        on_it = replace(found, database_url=restored.dsn)
        head = await head_of(restored)
        for command, words in writing(backups.world.company_id).items():
            with pytest.raises(Behind, match="Run: jolda restore reconcile"):
                await run(on_it, *command.split(), *words)
        with pytest.raises(Behind):
            await run(
                on_it, "company", "keep", f"--company={restored.world.company_id}", "--track-days=9"
            )
        assert await head_of(restored) == head
        assert restored.world.company_id in await restored.companies()
        assert len(await restored.companies()) == 1

        await restored.reconcile()
        await keep(on_it, restored)
        await restored.refuse_behind()


async def keep(found: Settings, restored: Restored) -> None:
    await run(found, "company", "keep", f"--company={restored.world.company_id}", "--plan-days=30")


async def test_control_without_the_fence_a_command_takes_the_place_of_what_was_lost(
    backups: Backups, found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await from_before(backups)

    async def let_pass(*_: object) -> None:
        """Compare nothing."""

    async with backups.restored(folder) as restored:
        head = await head_of(restored)
        with monkeypatch.context() as without:
            without.setattr(fence, "refuse_behind", let_pass)
            await keep(replace(found, database_url=restored.dsn), restored)

        assert await head_of(restored) == head + 1


async def test_what_only_looks_does_not_ask(backups: Backups, found: Settings) -> None:
    folder = await from_before(backups)

    async with backups.restored(folder) as restored:
        on_it = replace(found, database_url=restored.dsn)
        await run(on_it, "retention", "--dry-run")
        await run(on_it, "keys", "status")
        await run(on_it, "ledger", "verify")
