from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from server.kek import engine
from server.kek.key_file import KeyFile, load
from server.kek.places import TransitAt
from server.kek.transit import TransitKeks, open_transit
from tests.kek.openbao import OpenBao, binary, started


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    if binary() is None:
        pytest.skip("bao is not installed")
    with started(tmp_path_factory.mktemp("openbao")) as bao:
        yield bao


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let OpenBao be asked again as soon as it did not answer."""
    monkeypatch.setattr(engine, "AGAIN_S", 0.0)


@pytest.fixture
def at(openbao: OpenBao, tmp_path: Path) -> TransitAt:
    """A key of its own, not made yet, and a token for it."""
    return openbao.named(tmp_path)


@pytest.fixture
async def transit(at: TransitAt) -> AsyncIterator[TransitKeks]:
    async with open_transit(at, may_make=True, is_first=True) as keks:
        yield keks


@pytest.fixture
def places(tmp_path: Path) -> KeyFile:
    """A KEK file, and its copy on another disk."""
    (tmp_path / "other").mkdir()
    return load(tmp_path / "keys" / "kek", copy=tmp_path / "other" / "kek")
