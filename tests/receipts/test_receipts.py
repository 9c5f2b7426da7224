"""Receipts: what they prove to somebody who has nothing but the file and the public key."""

import json
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientSession
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given as forall
from hypothesis import strategies as st

from server.consent import service as consent
from server.consent.model import ConsentItem
from server.kit import db
from server.ledger import documents
from server.ledger import service as ledger
from server.ledger.documents import DocumentRefused
from server.receipts import service, verification
from server.receipts.model import KIND
from tests.consent.acts import give, withdraw
from tests.consent.people import new_driver
from tests.consents import BIN, CONTACT
from tests.endpoints import CONSENT as ENDPOINTS
from tests.http import bearer, serve
from tests.world import NOW, Driver, World

PEM: Final = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
Receipt = dict[str, Any]


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS) as opened:
        yield opened


async def issued(world: World, driver: Driver, number: int = 0) -> Receipt:
    """Return a driver's receipt as a file would hold it."""
    async with db.tenant(world.pool, world.company_id) as conn:
        page = await consent.history(
            conn, world.company_id, driver.member_id, cursor=None, limit=100
        )
        made = await service.receipt(
            conn,
            world.vault,
            world.company_id,
            driver.member_id,
            page.items[number].record_id,
            now=NOW,
        )
    found: Receipt = json.loads(json.dumps(made))
    return found


@pytest.fixture
async def receipt(world: World) -> Receipt:
    driver = await new_driver(world, name="Saule Probkina")
    await give(world, driver, ConsentItem.LOCATION)
    return await issued(world, driver)


def public_key(world: World) -> bytes:
    return world.vault.public_keys()[world.vault.signing_key_id]


def faults(receipt: Receipt, trusted: bytes | None = None) -> tuple[str, ...]:
    try:
        verification.verify(receipt, trusted)
    except DocumentRefused as refused:
        return refused.faults
    return ()


@pytest.mark.proves("relog-driver-manager-apps:8")
async def test_the_driver_downloads_a_receipt_that_holds(
    world: World, client: ClientSession, tmp_path: Path
) -> None:
    driver = await new_driver(world, name="Saule Probkina")
    given = await give(world, driver, ConsentItem.LOCATION)
    path = f"/v1/me/consents/records/{given.record_id}/receipt"
    answer = await client.get(path, headers=bearer(await world.driver_session(driver)))
    file, key = tmp_path / "receipt.jsonld", tmp_path / "key.pem"
    file.write_bytes(await answer.read())
    pem = Ed25519PublicKey.from_public_bytes(public_key(world)).public_bytes(*PEM)
    key.write_bytes(pem)

    said = verification.verify_receipt(file, key)

    assert answer.status == 200
    assert answer.content_type == "application/ld+json"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert str(given.record_id) in said[0]
    assert "trusted key" in said[-1]
    assert "Compare" in verification.verify_receipt(file, None)[-1]
    found = json.loads(file.read_bytes())
    assert found["subject"]["name"] == "Saule Probkina"
    assert found["record"]["law_94_v_article_8_4"]["operator"]["bin"] == BIN
    assert found["record"]["party_identification"][0]["party_contact"] == CONTACT


async def test_every_act_has_a_receipt_also_long_after(world: World) -> None:
    driver = await new_driver(world)
    for _ in range(3):
        await give(world, driver, ConsentItem.PLAN_FACT)
        await withdraw(world, driver, ConsentItem.PLAN_FACT)
        async with db.tenant(world.pool, world.company_id) as conn:
            await ledger.checkpoint(conn, world.vault, world.company_id, NOW)
    await give(world, driver, ConsentItem.PLAN_FACT)

    for number in range(7):
        made = await issued(world, driver, number)
        assert faults(made, public_key(world)) == ()
        assert made["ledger"]["entry"]["act"] == f"consent_{made['record']['event']['event_state']}"


async def test_a_receipt_outlives_the_erasure_of_the_person(world: World) -> None:
    driver = await new_driver(world)
    await give(world, driver, ConsentItem.LOCATION)
    made = await issued(world, driver)
    async with db.tenant(world.pool, world.company_id) as conn:
        await consent.erase(conn, world.company_id, driver.member_id)
    await world.vault.destroy(world.company_id, driver.member_id, NOW)

    facts = json.loads(made["ledger"]["entry"]["facts"])

    assert faults(made, public_key(world)) == ()
    left = await world.owner.fetchval("SELECT commitment FROM consent_commitment")
    assert left.hex() == facts["commitment"]


def change(*way: Any, to: Any) -> Callable[[Receipt], None]:
    """Put ``to``, or what it makes of what stood there, in one place of a receipt."""

    def apply(receipt: Receipt) -> None:
        inside: Any = receipt
        for step in way[:-1]:
            inside = inside[step]
        inside[way[-1]] = to(inside[way[-1]]) if callable(to) else to

    return apply


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            change("record", "event", "event_state", to="withdrawn"),
            ["signature does not match", "record does not match its hash", "of another record"],
        ),
        (change("subject", "name", to="Somebody Else"), ["signature does not match"]),
        (change("nonce", to="00" * 32), ["signature does not match", "of another record"]),
        (
            change("record_sha256", to="00" * 32),
            ["signature does not match", "record does not match its hash"],
        ),
        (
            change("ledger", "entry", "recorded_at", to="2026-11-22T12:00:01.000000Z"),
            ["signature does not match", "entry was changed", "does not lead to the checkpoint"],
        ),
        (
            change("ledger", "checkpoint", "hash", to="00" * 32),
            ["signature does not match", "does not lead to the checkpoint", "checkpoint's sign"],
        ),
        (
            change("ledger", "checkpoint", "made_at", to="2026-11-22T12:00:01+00:00"),
            ["signature does not match", "checkpoint's signature"],
        ),
        (change("proof", "signature", to="00" * 64), ["signature does not match"]),
        (change("proof", "signature", to="no digits"), ["damaged"]),
        (change("ledger", to=None), ["signature does not match", "damaged"]),
    ],
    ids=["record", "name", "nonce", "hash", "entry", "checkpoint", "time", "proof", "form", "part"],
)
async def test_a_changed_receipt_is_refused_and_told_what_is_wrong(
    world: World, receipt: Receipt, changed: Callable[[Receipt], None], told: list[str]
) -> None:
    assert faults(receipt, public_key(world)) == ()

    changed(receipt)

    found = faults(receipt, public_key(world))
    assert len(found) == len(told)
    for fault, part in zip(found, told, strict=True):
        assert part in fault


def signed_anew(receipt: Receipt, private: Ed25519PrivateKey) -> Receipt:
    """Return the receipt as a forger would sign it."""
    raw = private.public_key().public_bytes_raw().hex()
    proof = {k: v for k, v in receipt["proof"].items() if k != "signature"} | {"public_key": raw}
    unsigned = {**receipt, "proof": proof}
    signature = private.sign(KIND.statement(unsigned)).hex()
    return {**unsigned, "proof": {**proof, "signature": signature}}


async def test_another_key_is_told_only_to_who_brings_the_trusted_one(
    world: World, receipt: Receipt
) -> None:
    forged = signed_anew(receipt, Ed25519PrivateKey.generate())

    found = faults(forged, public_key(world))

    assert "another key" in found[0]
    assert "signature does not match" in found[1]
    assert faults(forged) == ()  # why the command says which key it was


@pytest.mark.parametrize(
    "changed",
    [
        change("proof", "signature", to=str.upper),
        change("proof", "signature", to=lambda text: f"{text[:2]} {text[2:]}"),
        change("ledger", "index", to=float),
        change("ledger", "entry", "index", to=float),
        change("ledger", "entry", "recorded_at", to="0001-01-01T00:00:00+14:00"),
        change("ledger", "index", to=10**30),
        change("record", "record_id", to=float("inf")),
        change("subject", "name", to="\ud800"),
    ],
    ids=["capitals", "blank", "index", "entry", "year 1", "huge", "infinite", "surrogate"],
)
async def test_what_reads_the_same_but_is_other_bytes_is_refused(
    world: World, receipt: Receipt, changed: Callable[[Receipt], None]
) -> None:
    changed(receipt)

    assert faults(receipt, public_key(world)) != ()


async def test_a_record_cannot_be_exchanged_even_by_who_has_the_key(receipt: Receipt) -> None:
    private = Ed25519PrivateKey.generate()
    receipt["record"]["event"]["event_state"] = "withdrawn"

    found = faults(signed_anew(receipt, private), private.public_key().public_bytes_raw())

    assert [part for part in found if "of another record" in part]


def leaves(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for name, part in value.items() for leaf in leaves(part, (*at, name))]
    if isinstance(value, list) and value:
        return [leaf for n, part in enumerate(value) for leaf in leaves(part, (*at, n))]
    return [at]


async def test_whatever_leaf_is_changed_it_is_found(world: World, receipt: Receipt) -> None:
    spots = leaves(receipt)

    @forall(
        st.sampled_from(spots),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]),
    )
    def is_found(at: tuple[Any, ...], value: Any) -> None:
        changed = deepcopy(receipt)
        change(*at, to=value)(changed)
        same = json.dumps(changed, sort_keys=True) == json.dumps(receipt, sort_keys=True)
        assert bool(faults(changed, public_key(world))) is not same

    is_found()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        b'{"type": "ConsentReceipt"}',
        b'{"type": "ConsentReceipt", "receipt_version": "2"}',
        b'{"type": "ConsentReceipt", "type": "ConsentReceipt", "receipt_version": "1"}',
        b'{"type": "Invoice", "receipt_version": "1"}',
        b"[" * 100_000,
        b" " * (documents.DOCUMENT_BYTES_MAX + 1),
    ],
    ids=range(11),
)
def test_what_is_no_receipt_is_told_so(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)

    with pytest.raises(DocumentRefused, match=r"not a receipt|version"):
        verification.verify_receipt(file, None)


@pytest.mark.parametrize("data", [b'{"type": "ConsentReceipt", "receipt_version": "1"}'])
def test_a_receipt_with_nothing_in_it_is_damaged(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)

    with pytest.raises(DocumentRefused, match="damaged"):
        verification.verify_receipt(file, None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"00" * 31,
        b"not digits",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        X25519PrivateKey.generate().public_key().public_bytes(*PEM),
    ],
    ids=["empty", "short", "words", "broken", "other kind"],
)
def test_what_is_no_public_key_is_told_so(data: bytes) -> None:
    with pytest.raises(DocumentRefused, match="public key"):
        documents.read_public_key(data)


async def test_a_public_key_is_read_as_digits_too(world: World) -> None:
    assert documents.read_public_key(public_key(world).hex().encode()) == public_key(world)
