"""The record of every act: complete by its form, chained, never edited, gone but for a hash."""

import hashlib
import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

import asyncpg
import jsonschema_rs
import pytest
import rfc8785
from hypothesis import given as forall
from hypothesis import strategies as st

from server.consent import expiry, record, service
from server.consent.model import (
    Consent,
    ConsentAct,
    ConsentItem,
    ConsentRecordIncomplete,
    ConsentState,
    LocationTerms,
)
from server.gate import service as gate
from server.kit import db
from server.ledger.model import SYSTEM
from tests.consent.acts import MINUTE, adding, decide, give, withdraw
from tests.consent.people import new_driver
from tests.consents import BIN, CONTACT, NOTICE
from tests.world import NOW, Driver, World, begin_erasing

VALIDATOR: Final = jsonschema_rs.Draft202012Validator(dict(record.schema()))
# ISO/IEC TS 27560:2023, 6.3: what every record has to hold, under the standard's own names.
ISO_27560: Final = (
    *("/schema_version", "/record_id", "/pii_principal_id"),
    *("/pii_processing/privacy_notice", "/pii_processing/language", "/pii_processing/purposes"),
    *(
        f"/pii_processing/purposes/0/{name}"
        for name in (
            *("purpose", "purpose_type", "lawful_basis", "pii_information", "pii_controllers"),
            *("collection_method", "processing_method", "storage_locations", "retention_period"),
            *("jurisdiction", "recipient_third_parties", "withdrawal_method", "privacy_rights"),
        )
    ),
    *(
        f"/party_identification/0/{name}"
        for name in (
            *("party_id", "party_type", "party_role", "party_name", "party_address"),
            "party_contact",
        )
    ),
    *(
        f"/event/{name}"
        for name in (
            *("event_time", "event_type", "event_state", "validity_duration", "entity_id"),
        )
    ),
)
# The law of Kazakhstan on personal data, 94-V, article 8(4), 1) to 7).
ARTICLE_8_4: Final = tuple(
    f"/law_94_v_article_8_4/{name}"
    for name in (
        *("operator/name", "operator/bin", "subject", "valid/from", "valid/until"),
        *("transfer_to_third_parties", "cross_border_transfer", "distribution_in_public_sources"),
        "collected_data",
    )
)


async def records(world: World, driver: Driver) -> list[Consent]:
    async with db.tenant(world.pool, world.company_id) as conn:
        page = await service.history(
            conn, world.company_id, driver.member_id, cursor=None, limit=100
        )
    return list(page.items)


async def a_record(world: World) -> dict[str, Any]:
    given = await give(world, await new_driver(world), ConsentItem.LOCATION)
    found: dict[str, Any] = json.loads(given.record or "")
    return found


def without(document: dict[str, Any], pointer: str) -> dict[str, Any]:
    """Return the document without the member at a JSON Pointer."""
    changed = deepcopy(document)
    *way, last = pointer.strip("/").split("/")
    inside: Any = changed
    for step in way:
        inside = inside[int(step)] if isinstance(inside, list) else inside[step]
    del inside[last]
    return changed


async def every_state(world: World) -> dict[str, Consent]:
    """Return a record of every state that an act can lead to."""
    driver = await new_driver(world)
    company_id, driver_id = world.company_id, driver.member_id
    found: list[Consent] = []
    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        found.append(
            await service.request(
                conn, company_id, driver_id, ConsentItem.LOCATION, by=SYSTEM, now=NOW
            )
        )
    found.append(await decide(world, driver, ConsentItem.MARKETING, ConsentAct.DECLINE))
    found.append(await give(world, driver, ConsentItem.LOCATION))
    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        edition = adding(ConsentItem.LOCATION)
        superseded = await service.supersede(conn, company_id, driver_id, edition, now=NOW)
    assert superseded is not None
    found.append(superseded)
    await give(world, driver, ConsentItem.LOCATION)
    found.append(await withdraw(world, driver, ConsentItem.LOCATION))
    again = await give(world, driver, ConsentItem.LOCATION)
    assert again.valid_until is not None
    await expiry.expire_due(world.pool, company_id, again.valid_until)
    await give(world, driver, ConsentItem.LOCATION)
    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        await service.invalidate(conn, company_id, driver_id, now=NOW)
    found += [
        one for one in await records(world, driver) if one.state in {"expired", "invalidated"}
    ]
    return {one.state.value: one for one in found}


async def test_every_state_leaves_a_record_that_fits_the_form(world: World) -> None:
    found = await every_state(world)

    assert set(found) == {state.value for state in ConsentState} - {"not_asked"}
    for state, one in found.items():
        document = json.loads(one.record or "")
        assert list(VALIDATOR.iter_errors(document)) == []
        assert list(record.faults(document)) == []
        assert document["event"]["event_state"] == state
        assert one.record == rfc8785.dumps(document).decode()
        assert one.record_sha256 == hashlib.sha256((one.record or "").encode()).digest()


async def test_a_record_says_what_was_agreed_to_and_names_nobody(world: World) -> None:
    driver = await new_driver(world, name="Saule Probkina")

    given = await give(world, driver, ConsentItem.LOCATION, terms=LocationTerms(background=False))

    document = json.loads(given.record or "")
    assert document["pii_principal_id"] == str(driver.member_id)
    assert document["pii_processing"]["privacy_notice"] == {
        "document": "driver_notice",
        "edition": NOTICE.edition,
        "language": "en",
        "sha256": NOTICE.sha256,
        "clarified": {"answered": [], "open": 0},
    }
    purpose = document["pii_processing"]["purposes"][0]
    assert purpose["location_terms"]["background"] is False
    assert purpose["storage_locations"] == ["KZ"]
    assert document["event"]["validity_duration"] == {
        "from": "2026-11-22T12:00:00Z",
        "until": "2027-11-22T12:00:00Z",
    }
    said = document["law_94_v_article_8_4"]
    assert said["operator"] == {"name": "Aral Freight", "bin": BIN}
    assert document["party_identification"][0]["party_contact"] == CONTACT
    assert "Saule" not in (given.record or "")


@pytest.mark.parametrize("item", ConsentItem)
async def test_the_record_of_each_item_tells_who_receives_the_data(
    world: World, item: ConsentItem
) -> None:
    given = await give(world, await new_driver(world), item)

    document = json.loads(given.record or "")
    recipients = document["pii_processing"]["purposes"][0]["recipient_third_parties"]
    assert document["law_94_v_article_8_4"]["transfer_to_third_parties"] is bool(recipients)
    within = item in {ConsentItem.LOCATION, ConsentItem.DISPATCH_TRACKING, ConsentItem.PLAN_FACT}
    assert bool(recipients) is not within


async def test_data_stored_abroad_is_told_as_crossing_the_border(world: World) -> None:
    await world.owner.execute("UPDATE company SET storage_country = 'DE'")

    document = await a_record(world)

    assert document["law_94_v_article_8_4"]["cross_border_transfer"] is True
    assert document["pii_processing"]["purposes"][0]["storage_locations"] == ["DE"]


@pytest.mark.parametrize("item", [ConsentItem.LOCATION, ConsentItem.PLAN_FACT])
async def test_a_record_says_how_long_tracks_were_kept_when_it_was_written(
    world: World, item: ConsentItem
) -> None:
    records = []
    for days in (30, 45):
        await world.owner.execute("UPDATE company SET track_days = $1", days)
        records.append(json.loads((await give(world, await new_driver(world), item)).record or ""))

    said = [one["pii_processing"]["purposes"][0]["retention_period"] for one in records]
    assert said == ["P30D", "P45D"]


@pytest.mark.proves("qoldau:11")
@pytest.mark.parametrize("pointer", [*ISO_27560, *ARTICLE_8_4])
async def test_a_record_without_a_field_that_is_asked_for_does_not_fit(
    world: World, pointer: str
) -> None:
    document = without(await a_record(world), pointer)

    assert not VALIDATOR.is_valid(document)
    assert pointer in list(record.faults(document))


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("2026-11-22"),
    lambda part: (
        st.lists(part, max_size=2) | st.dictionaries(st.text(max_size=4), part, max_size=2)
    ),
    max_leaves=4,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict | list):
        for step, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*at, step))


async def test_our_own_check_of_the_form_agrees_with_a_validator(world: World) -> None:
    document = await a_record(world)
    spots = [at for at in places(document) if at]

    @forall(st.sampled_from(spots), JSON)
    def agrees(at: tuple[Any, ...], value: Any) -> None:
        changed = deepcopy(document)
        inside: Any = changed
        for step in at[:-1]:
            inside = inside[step]
        inside[at[-1]] = value
        assert VALIDATOR.is_valid(changed) is not any(record.faults(changed))

    agrees()


async def test_a_consent_that_would_lack_a_field_is_not_written(world: World) -> None:
    driver = await new_driver(world)
    await world.owner.execute("UPDATE policy_controller SET privacy_contact = NULL")

    with pytest.raises(ConsentRecordIncomplete, match="party_contact"):
        await give(world, driver, ConsentItem.LOCATION)

    assert await records(world, driver) == []


async def test_a_withdrawal_is_written_whatever_the_company_left_out(world: World) -> None:
    driver = await new_driver(world)
    await give(world, driver, ConsentItem.LOCATION)
    await world.owner.execute("UPDATE policy_controller SET bin = NULL, privacy_contact = NULL")

    withdrawn = await withdraw(world, driver, ConsentItem.LOCATION, NOW + MINUTE)

    document = json.loads(withdrawn.record or "")
    assert VALIDATOR.is_valid(document)
    assert document["event"]["validity_duration"] == {
        "from": "2026-11-22T12:00:00Z",
        "until": "2026-11-22T12:01:00Z",
    }


async def test_what_is_older_than_records_ends_with_a_record_of_the_end_alone(
    world: World,
) -> None:
    driver = await new_driver(world)
    given = await give(world, driver, ConsentItem.LOCATION)
    withdrawn = await withdraw(world, driver, ConsentItem.LOCATION)
    old = replace(given, record=None, record_sha256=None, nonce=None, ledger_index=None)

    document = record.ended(withdrawn, old)

    assert document["event"]["event_state"] == "withdrawn"
    assert document["follows"] is None
    assert "pii_processing" not in document


async def test_each_record_names_the_hash_of_the_one_before(world: World) -> None:
    driver = await new_driver(world)
    await give(world, driver, ConsentItem.LOCATION)
    await withdraw(world, driver, ConsentItem.LOCATION)
    await give(world, driver, ConsentItem.LOCATION)

    written = await records(world, driver)

    follows = [json.loads(one.record or "")["follows"] for one in written]
    hashes = [one.record_sha256 and one.record_sha256.hex() for one in written]
    assert follows == [None, *hashes[:-1]]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consent_record SET state = 'given'",
        "UPDATE consent_record SET record = '{}'",
        "TRUNCATE consent_record",
        "UPDATE consent_commitment SET commitment = commitment",
        "DELETE FROM consent_commitment",
    ],
)
async def test_what_is_written_is_never_edited(world: World, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.tenant(world.pool, world.company_id) as conn:
            await conn.execute(statement)


async def test_of_an_erased_driver_only_commitments_are_left(world: World) -> None:
    driver = await new_driver(world)
    await give(world, driver, ConsentItem.LOCATION)
    await withdraw(world, driver, ConsentItem.LOCATION)
    written = await records(world, driver)
    await begin_erasing(world, driver.member_id)

    async with db.tenant(world.pool, world.company_id) as conn:
        await service.erase(conn, world.company_id, driver.member_id)
        await service.erase(conn, world.company_id, driver.member_id)

    left = await world.owner.fetch("SELECT commitment FROM consent_commitment")
    assert {row["commitment"] for row in left} == {
        hashlib.sha256((one.nonce or b"") + (one.record or "").encode()).digest() for one in written
    }
    assert await records(world, driver) == []
    facts = await world.owner.fetch("SELECT facts FROM ledger_entry WHERE act LIKE 'consent_%'")
    in_ledger = {json.loads(row["facts"])["commitment"] for row in facts}
    assert {row["commitment"].hex() for row in left} <= in_ledger
