"""A KEK in OpenBao keeps what ``Keks`` promises: asked of a real one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests
from requests.adapters import HTTPAdapter

from server.kek import engine
from server.kek import transit as transits
from server.kek.engine import TransitAway
from server.kek.model import Bound, KekGone, KekUnusable
from server.kek.places import TransitAt
from server.kek.transit import TransitKeks, open_transit
from tests.kek.openbao import OpenBao

KEY = Bound(bytes(range(32)), b"company 1")


async def test_what_it_wraps_it_unwraps_in_order(transit: TransitKeks) -> None:
    kek = await transit.in_force(None)
    keys = [Bound(bytes([number % 256]) * 32, f"{number}".encode()) for number in range(250)]

    wrapped = await kek.wrap(keys)
    unwrapped = await kek.unwrap(
        [Bound(one, key.aad) for one, key in zip(wrapped, keys, strict=True)]
    )

    assert unwrapped == [key.data for key in keys]
    assert len(set(wrapped)) == len(keys)
    assert await kek.wrap([]) == []
    assert await kek.unwrap([]) == []


async def test_control_openbao_refuses_as_many_at_once(
    transit: TransitKeks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BATCH", 250)
    kek = await transit.in_force(None)

    with pytest.raises(KekUnusable, match="refuses what is asked"):
        await kek.wrap([KEY] * 250)


@pytest.mark.parametrize(
    "changed",
    [
        lambda wrapped: Bound(wrapped, b"company 2"),
        lambda wrapped: Bound(wrapped[:-4] + b"AAAA", KEY.aad),
        lambda wrapped: Bound(wrapped.replace(b":v1:", b":v2:"), KEY.aad),
        lambda _wrapped: Bound(b"vault:v1:AAAA", KEY.aad),
        lambda _wrapped: Bound(b"vault:v1:\xff", KEY.aad),
        lambda _wrapped: Bound(bytes(60), KEY.aad),
    ],
)
async def test_what_was_moved_or_changed_does_not_open(
    transit: TransitKeks, changed: Callable[[bytes], Bound]
) -> None:
    kek = await transit.in_force(None)
    good = await kek.wrap([KEY, KEY])

    with pytest.raises(KekGone):
        await kek.unwrap([Bound(good[0], KEY.aad), changed(good[1])])

    assert await kek.unwrap([Bound(good[1], KEY.aad)]) == [KEY.data]


async def test_it_is_the_same_at_the_second_start(at: TransitAt) -> None:
    async with open_transit(at, may_make=True, is_first=True) as keks:
        first = await keks.in_force(None)
    async with open_transit(at, may_make=False, is_first=False) as keks:
        again = await keks.in_force(first.kek_id)

    assert first.kek_id == again.kek_id


async def test_both_are_there_until_the_old_one_is_ended(
    transit: TransitKeks, at: TransitAt, openbao: OpenBao
) -> None:
    old = await transit.in_force(None)
    (by_old,) = await old.wrap([KEY])
    new = await transit.follow()
    # Somebody may still wrap with the one in force: it does not move to the newest by itself.
    (meanwhile,) = await (await transit.in_force(old.kek_id)).wrap([KEY])
    assert await old.unwrap([Bound(by_old, KEY.aad), Bound(meanwhile, KEY.aad)]) == [KEY.data] * 2
    (by_new,) = await new.wrap([KEY])

    assert await transit.end_others(new.kek_id)

    assert (await transit.in_force(None)).kek_id == new.kek_id
    assert await new.unwrap([Bound(by_new, KEY.aad)]) == [KEY.data]
    for ended in (old.unwrap([Bound(by_old, KEY.aad)]), old.wrap([KEY])):
        with pytest.raises(KekGone):
            await ended
    with pytest.raises(KekGone):
        await transit.in_force(old.kek_id)
    assert not await transit.end_others(new.kek_id)
    # Nor does whoever may do everything there get it back.
    root = openbao.client().secrets.transit
    with pytest.raises(hvac.exceptions.InvalidRequest):
        root.update_key_configuration(at.key, min_decryption_version=1)
    assert root.read_key(at.key)["data"]["min_available_version"] == new.version


async def test_control_a_version_that_is_not_trimmed_can_be_had_back(
    transit: TransitKeks, at: TransitAt, openbao: OpenBao
) -> None:
    old = await transit.in_force(None)
    (by_old,) = await old.wrap([KEY])
    new = await transit.follow()
    root = openbao.client().secrets.transit
    root.update_key_configuration(at.key, min_decryption_version=new.version)
    with pytest.raises(KekGone):
        await old.unwrap([Bound(by_old, KEY.aad)])

    root.update_key_configuration(at.key, min_decryption_version=1)

    assert await old.unwrap([Bound(by_old, KEY.aad)]) == [KEY.data]


async def test_one_that_was_to_follow_and_did_not_goes_with_the_next_exchange(
    transit: TransitKeks,
) -> None:
    await transit.in_force(None)
    given_up = await transit.follow()
    (wrapped,) = await given_up.wrap([KEY])

    new = await transit.follow()
    await transit.end_others(new.kek_id)

    with pytest.raises(KekGone):
        await given_up.unwrap([Bound(wrapped, KEY.aad)])


async def test_nothing_is_destroyed_for_the_sake_of_one_that_is_not_there(
    transit: TransitKeks,
) -> None:
    before = await transit.in_force(None)
    await transit.follow()

    with pytest.raises(KekGone):
        await transit.end_others(b"unknown!")

    assert (await transit.in_force(before.kek_id)).kek_id == before.kek_id


class FailsAt(HTTPAdapter):
    """Cuts the line at the n-th request, before or after OpenBao has done it."""

    def __init__(self, number: int, *, is_done: bool) -> None:
        super().__init__()
        self.left = number
        self.is_done = is_done

    def send(self, *args: Any, **values: Any) -> requests.Response:
        self.left -= 1
        if self.left == 0 and not self.is_done:
            raise requests.ConnectionError
        answer = super().send(*args, **values)
        if self.left == 0:
            raise requests.ConnectionError
        return answer


@pytest.mark.parametrize("is_done", [False, True])
async def test_whichever_request_fails_the_exchange_is_ended_the_next_time(
    at: TransitAt, *, is_done: bool
) -> None:
    failures = 0
    async with open_transit(at, may_make=True, is_first=True) as keks:
        session = keks.engine._session  # noqa: SLF001 - whose line is cut
        number = 1
        has_failed = True
        while has_failed:
            old = await keks.in_force(None)
            (by_old,) = await old.wrap([KEY])
            session.mount("https://", FailsAt(number, is_done=is_done))
            try:
                has_failed = False
                new = await keks.follow()
                await keks.end_others(new.kek_id)
            except TransitAway:
                has_failed = True
            session.mount("https://", HTTPAdapter())
            if has_failed:
                # What was to follow still is there, and takes its place now.
                await keks.end_others((await keks.in_force(None)).kek_id)
                failures += 1
            number += 1
            if number > 2 or is_done:  # the first request cut before it is done changes nothing
                assert [one async for one in _opened(keks, by_old)] == []
    assert failures == 6


async def _opened(keks: TransitKeks, wrapped: bytes) -> Any:
    """Try every version there is."""
    named = await keks._named()  # noqa: SLF001 - all of them
    for one in named.versions:
        try:
            yield await keks._kek(one).unwrap([Bound(wrapped, KEY.aad)])  # noqa: SLF001
        except KekGone:
            continue


async def test_a_key_that_was_made_anew_is_another(
    transit: TransitKeks, at: TransitAt, openbao: OpenBao
) -> None:
    kek = await transit.in_force(None)
    root = openbao.client().secrets.transit
    root.update_key_configuration(at.key, deletion_allowed=True)
    root.delete_key(at.key)
    with pytest.raises(KekGone, match=f"has no key transit/{at.key}"):
        await transit.in_force(kek.kek_id)

    # Its time is in whole seconds.
    while True:
        root.create_key(at.key)
        if (await transit.in_force(None)).kek_id != kek.kek_id:
            break
        root.update_key_configuration(at.key, deletion_allowed=True)
        root.delete_key(at.key)

    with pytest.raises(KekGone):
        await transit.in_force(kek.kek_id)


async def test_none_is_made_where_the_key_database_had_one(at: TransitAt, openbao: OpenBao) -> None:
    with pytest.raises(KekGone, match=f"has no key transit/{at.key}"):
        async with open_transit(at, may_make=False, is_first=False):
            pytest.fail("opened")

    with pytest.raises(hvac.exceptions.InvalidPath):
        openbao.client().secrets.transit.read_key(at.key)


async def test_a_key_that_another_installation_uses_is_refused(at: TransitAt) -> None:
    async with open_transit(at, may_make=True, is_first=True) as keks:
        await keks.end_others((await keks.follow()).kek_id)

    with pytest.raises(KekUnusable, match="was used before"):
        async with open_transit(at, may_make=True, is_first=True):
            pytest.fail("opened")

    async with open_transit(at, may_make=False, is_first=False) as keks:
        assert (await keks.in_force(None)).version == 2


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"key_type": "rsa-2048"}, "must be of the type aes256-gcm96"),
        ({"derived": True}, "must be of the type aes256-gcm96"),
        ({"exportable": True}, "can be had outside the engine"),
        ({"allow_plaintext_backup": True}, "can be had outside the engine"),
    ],
)
async def test_a_key_that_could_outlive_its_destruction_or_binds_nothing_is_refused(
    at: TransitAt, openbao: OpenBao, values: dict[str, object], sentence: str
) -> None:
    openbao.client().secrets.transit.create_key(at.key, **values)

    with pytest.raises(KekUnusable, match=sentence):
        async with open_transit(at, may_make=True, is_first=True):
            pytest.fail("opened")


@pytest.mark.parametrize("left_out", ["keys/{key}/rotate", "keys/{key}/trim", "decrypt/{key}"])
async def test_a_token_that_could_not_do_all_is_told_at_the_start(
    at: TransitAt, openbao: OpenBao, tmp_path: Path, left_out: str
) -> None:
    openbao.client().secrets.transit.create_key(at.key)
    rules = [
        f'path "transit/{path.format(key=at.key)}" {{ capabilities = ["{capability}"] }}'
        for path, capability in transits.NEEDED.items()
        if path != left_out
    ]
    at.token_file.write_text(openbao.token(f"less-{at.key}", *rules))

    with pytest.raises(
        KekUnusable, match=f"may not use transit/{left_out.format(key=at.key)}. See"
    ):
        async with open_transit(at, may_make=False, is_first=False):
            pytest.fail("opened")
    (tmp_path / "fine").write_text(openbao.token(at.key, *rules, _rule(at, left_out)))
    fine = replace(at, token_file=tmp_path / "fine")
    async with open_transit(fine, may_make=False, is_first=False):
        pass


def _rule(at: TransitAt, path: str) -> str:
    return f'path "transit/{path.format(key=at.key)}" {{ capabilities = ["update"] }}'


async def test_an_engine_that_binds_nothing_is_refused(
    at: TransitAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transits, "_bound", lambda _aad: {})

    with pytest.raises(KekUnusable, match="does not bind what it wraps"):
        async with open_transit(at, may_make=True, is_first=True):
            pytest.fail("opened")
