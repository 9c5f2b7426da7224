"""Of two installations with one KEK file each would destroy what the other needs."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from server import databases as databases_of
from server.databases import Databases, Opened
from server.kek import claim
from server.kek.claim import mark_of
from server.kek.key_file import load
from server.kek.model import KekGone, KekUnusable
from server.kit import db
from server.kit.ids import uuid7
from server.rekeying import service as rekeying
from server.rekeying.model import SETTLES
from server.rekeying.service import Rekeyer
from server.settings import Settings
from server.vault import opening
from server.vault.opening import was_opened
from tests.conftest import copy_databases
from tests.world import NOW

ANOTHERS = "belongs to another installation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Two databases, and settings that name a KEK."""

    dsns: Databases
    settings: Settings

    async def start(self) -> None:
        """Open both databases as ``jolda serve`` does, and close them again."""
        async with databases_of.opened(self.dsns, self.settings, now=NOW):
            pass

    async def exchange(self) -> None:
        """Exchange the keys, as the job of each minute does."""
        keks = load(self.settings.kek_file, may_make=False)
        rekeyer = Rekeyer(keys_dsn=self.dsns.keys, keks=keks, reindex=nothing_to_index)
        await rekeying.begin(rekeyer, now=NOW)
        done = await rekeying.run_due(rekeyer, every=SETTLES, now=NOW + SETTLES)
        assert done is not None
        assert done.ended_at is not None


async def nothing_to_index() -> None:
    """Index no log-in anew."""


@pytest.fixture
async def two(server_dsn: str, tmp_path: Path) -> AsyncIterator[list[Installation]]:
    """Two installations whose settings name one KEK file."""
    settings = Settings(home=tmp_path, kek_file=tmp_path / "keys" / "kek")
    suffixes = [uuid4().hex for _ in range(2)]
    found = [await copy_databases(server_dsn, one) for one in suffixes]
    yield [
        Installation(dsns=Databases(main=one.main, keys=one.keys), settings=settings)
        for one in found
    ]
    admin = await asyncpg.connect(found[0].admin)
    for suffix in suffixes:
        for schema in ("main", "keys"):
            await admin.execute(f"DROP DATABASE {schema}_{suffix} WITH (FORCE)")
    await admin.close()


async def opens(one: Installation) -> bool:
    """Tell whether the KEK opens what the installation's key database holds."""
    async with db.pool(one.dsns.keys, role=db.ROLE_KEYS, size_max=1) as keys_pool:
        try:
            await opening.open_vault(keys_pool, load(one.settings.kek_file, may_make=False), NOW)
        except KekGone:
            return False
        return True


async def test_the_second_one_is_refused_and_makes_nothing(two: list[Installation]) -> None:
    first, second = two
    await first.start()

    with pytest.raises(KekUnusable, match=ANOTHERS):
        await second.start()

    async with db.pool(second.dsns.keys, role=db.ROLE_KEYS, size_max=1) as keys_pool:
        assert not await was_opened(keys_pool)
    await first.start()
    await first.exchange()
    assert await opens(first)


async def test_one_that_did_start_exchanges_nothing_of_anothers(two: list[Installation]) -> None:
    """It started with a KEK of its own, and its file was then made the one that is shared."""
    first, second = two
    await second.start()
    claim.remove_all(second.settings.kek_file)
    await first.start()

    with pytest.raises(KekUnusable, match=ANOTHERS):
        await second.exchange()

    assert await opens(first)


async def test_control_where_nothing_says_whose_it_is_one_destroys_what_the_other_needs(
    two: list[Installation],
) -> None:
    first, second = two
    await first.start()
    mark_of(first.settings.kek_file).unlink()
    await second.start()
    assert await opens(first)

    await second.exchange()

    assert await opens(second)
    assert not await opens(first)


async def test_who_is_refused_for_another_kek_does_not_claim_it(
    two: list[Installation], tmp_path: Path
) -> None:
    first, second = two
    await first.start()
    await second_with_its_own(second, tmp_path)
    mark_of(first.settings.kek_file).unlink()

    with pytest.raises(KekGone):
        await second.start()

    assert not mark_of(first.settings.kek_file).exists()
    await first.start()


async def second_with_its_own(second: Installation, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, kek_file=tmp_path / "other" / "kek")
    await Installation(dsns=second.dsns, settings=settings).start()


async def test_a_copy_of_the_kek_alone_is_nobodys(two: list[Installation], tmp_path: Path) -> None:
    first, _ = two
    await first.start()
    elsewhere = Settings(home=tmp_path, kek_file=tmp_path / "trial" / "kek")
    elsewhere.kek_file.parent.mkdir()
    shutil.copy(first.settings.kek_file, elsewhere.kek_file)

    await Installation(dsns=first.dsns, settings=elsewhere).start()

    assert mark_of(elsewhere.kek_file).exists()


async def test_the_copy_on_another_disk_is_claimed_as_well(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    places = load(tmp_path / "keys" / "kek", copy=tmp_path / "disk" / "kek")
    ours = uuid7()

    await places.claim(ours)

    await places.refuse_other(ours)
    with pytest.raises(KekUnusable, match=str(mark_of(tmp_path / "disk" / "kek"))):
        await load(tmp_path / "third" / "kek", copy=tmp_path / "disk" / "kek").claim(uuid7())
    assert not mark_of(tmp_path / "third" / "kek").exists()


async def test_what_was_moved_into_a_key_server_leaves_no_claim(tmp_path: Path) -> None:
    places = load(tmp_path / "keys" / "kek")
    await places.claim(uuid7())

    await places.end_all()

    assert list((tmp_path / "keys").iterdir()) == []


async def test_a_mark_that_says_nothing_is_anothers(tmp_path: Path) -> None:
    places = load(tmp_path / "kek")
    mark_of(tmp_path / "kek").write_bytes(b"\xff\n")

    with pytest.raises(KekUnusable, match=ANOTHERS):
        await places.claim(uuid7())


async def test_the_name_of_an_installation_stays(opened: Opened) -> None:
    first = await opening.installation_of(opened.keys_pool, NOW)

    assert await opening.installation_of(opened.keys_pool, NOW) == first
