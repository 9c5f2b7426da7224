"""A driver's own electronic signature over what they agree to: its hash is kept, and no more."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
from aiohttp import ClientSession

from server.consent import record
from server.ledger.documents import DocumentRefused
from server.receipts import verification
from tests.consent.acts import call
from tests.consent.people import new_driver
from tests.consents import body
from tests.endpoints import CONSENT as ENDPOINTS
from tests.http import bearer, serve
from tests.test_commands import jolda, told
from tests.world import World

# What a signing program would hand out: to Jolda it is bytes.
SIGNATURE: Final = b"0\x82\x05\xdc\x06\t*\x86H\x86\xf7\r\x01\x07\x02 canary-of-the-signature"
MADE: Final = {"format": "CMS", "sha256": hashlib.sha256(SIGNATURE).hexdigest()}
RECORDS: Final = "/v1/me/consents/records"


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS) as opened:
        yield opened


@pytest.fixture
async def token(world: World) -> str:
    return await world.driver_session(await new_driver(world))


async def records(client: ClientSession, token: str) -> list[dict[str, Any]]:
    _, page = await call(client, token, "GET", RECORDS)
    items: list[dict[str, Any]] = page["items"]
    return items


async def given(client: ClientSession, token: str, **more: Any) -> int:
    status, _ = await call(client, token, "POST", "/v1/me/consents", body("location", **more))
    return status


async def receipt_file(client: ClientSession, token: str, folder: Path) -> Path:
    """Download the receipt of the driver's last record."""
    last = (await records(client, token))[-1]
    answer = await client.get(f"{RECORDS}/{last['record_id']}/receipt", headers=bearer(token))
    assert answer.status == 200
    file = folder / "receipt.jsonld"
    file.write_bytes(await answer.read())
    return file


@pytest.fixture
def signature(tmp_path: Path) -> Path:
    file = tmp_path / "consent.p7s"
    file.write_bytes(SIGNATURE)
    return file


@pytest.mark.proves("qoldau:10")
async def test_its_hash_is_kept_in_the_record_and_in_the_receipt(
    client: ClientSession, token: str, tmp_path: Path, signature: Path
) -> None:
    assert await given(client, token, signature=MADE) == 201

    [one] = await records(client, token)
    assert one["record"]["event"]["signature"] == MADE
    assert jsonschema_rs.Draft202012Validator(dict(record.schema())).is_valid(one["record"])
    text = record.canonical(one["record"])
    assert record.digest(text).hex() == one["record_sha256"]
    file = await receipt_file(client, token, tmp_path)
    said = verification.verify_receipt(file, None, signature)
    assert said[-2].startswith("consent.p7s is the signature that came with the consent.")
    assert "Not checked: whether it is valid or qualified" in said[-2]


@pytest.mark.proves("qoldau:10")
async def test_the_command_tells_whether_a_file_is_that_signature(
    client: ClientSession, token: str, tmp_path: Path, signature: Path
) -> None:
    await given(client, token, signature=MADE)
    file = await receipt_file(client, token, tmp_path)
    other = tmp_path / "other.p7s"
    other.write_bytes(SIGNATURE + b"x")

    same = jolda("receipt", "verify", str(file), "--signature", str(signature), home=tmp_path)
    differs = jolda("receipt", "verify", str(file), "--signature", str(other), home=tmp_path)

    assert same.returncode == 0
    assert "is the signature that came with the consent" in same.stdout
    assert "is not the signature that came with this consent" in told(differs)


async def test_a_receipt_without_one_says_so(
    client: ClientSession, token: str, tmp_path: Path, signature: Path
) -> None:
    assert await given(client, token) == 201
    file = await receipt_file(client, token, tmp_path)

    with pytest.raises(DocumentRefused, match=r"^No signature came with this consent\.$"):
        verification.verify_receipt(file, None, signature)


async def test_the_record_of_the_withdrawal_has_none(client: ClientSession, token: str) -> None:
    await given(client, token, signature=MADE)

    await call(client, token, "POST", "/v1/me/consents/location/withdraw")

    first, last = await records(client, token)
    assert first["record"]["event"]["signature"] == MADE
    assert last["state"] == "withdrawn"
    assert "signature" not in last["record"]["event"]


async def test_giving_on_other_terms_takes_a_signature_of_its_own(
    client: ClientSession, token: str
) -> None:
    await given(client, token, signature=MADE)

    assert await given(client, token, background=False) == 201

    signed = ["signature" in one["record"]["event"] for one in await records(client, token)]
    assert signed == [True, False, False]


async def test_it_cannot_be_handed_in_later(client: ClientSession, token: str) -> None:
    await given(client, token)

    assert await given(client, token, signature=MADE) == 409


async def test_saying_no_is_not_signed(client: ClientSession, token: str) -> None:
    no = body("location", "declined", signature=MADE)

    status, problem = await call(client, token, "POST", "/v1/me/consents", no)

    assert (status, problem["code"]) == (422, "signature-misplaced")
    assert await records(client, token) == []


@pytest.mark.parametrize(
    "made",
    [
        {"format": "CMS"},
        {"sha256": MADE["sha256"]},
        {**MADE, "format": "XML"},
        {**MADE, "sha256": MADE["sha256"].upper()},
        {**MADE, "sha256": MADE["sha256"][1:]},
        {**MADE, "file": "MIIF"},
        {**MADE, "sha256": 7},
        "CMS",
        [],
    ],
    ids=str,
)
async def test_what_is_no_such_hash_is_refused(
    client: ClientSession, token: str, made: object
) -> None:
    assert await given(client, token, signature=made) == 422
    assert await records(client, token) == []


@pytest.mark.parametrize("made", [None, "CMS", {"format": "CMS"}, {"sha256": None}], ids=str)
async def test_a_receipt_with_a_broken_one_is_damaged_or_refused(
    client: ClientSession, token: str, tmp_path: Path, signature: Path, made: object
) -> None:
    await given(client, token, signature=MADE)
    file = await receipt_file(client, token, tmp_path)
    changed = json.loads(file.read_bytes())
    changed["record"]["event"]["signature"] = made
    file.write_text(json.dumps(changed))

    with pytest.raises(DocumentRefused) as refused:
        verification.verify_receipt(file, None, signature)

    assert len(refused.value.faults) > 1


async def test_the_file_itself_is_nowhere(world: World, client: ClientSession, token: str) -> None:
    await given(client, token, signature=MADE)

    rows = await world.owner.fetch("SELECT r::text FROM consent_record r")

    assert MADE["sha256"] in str(rows)
    assert "canary-of-the-signature" not in str(rows)
