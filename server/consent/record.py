"""The record of an act on a consent: what it says, its canonical bytes, and when it is complete.

The form is ``schemas/consent_record.json``. A record names nobody: the person stands in it under
the member's id, which means nothing once they are erased.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import rfc8785

from server.consent.model import (
    Consent,
    ConsentActor,
    ConsentItem,
    ConsentRecordIncomplete,
    ConsentState,
    Signature,
)
from server.kit.wire import rfc3339
from server.policies.model import Clarified

SCHEMA_FILE: Final = Path(__file__).parent / "schemas" / "consent_record.json"
SCHEMA_VERSION: Final = "jolda.consent-record/1"
JURISDICTION: Final = "KZ"
_GUARDIAN: Final = "guardian_consent_id"
_RIGHTS: Final = (
    *("access", "rectification", "erasure", "objection", "portability"),
    *("withdrawal", "complaint"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """What happens to data because of one consent."""

    kind: str
    data: tuple[str, ...]
    collected: str
    processed: str
    kept_for: str
    recipients: tuple[str, ...] = ()


_APP: Final = "by the driver's app, on the driver's device"
PROCESSING: Final[Mapping[ConsentItem, Processing]] = {
    ConsentItem.LOCATION: Processing(
        kind="capability",
        data=("position", "time", "accuracy", "speed", "heading", "altitude", "battery level"),
        collected=_APP,
        processed="stored sealed, for the uses that are consented to as well",
        kept_for="P60D",
    ),
    ConsentItem.DISPATCH_TRACKING: Processing(
        kind="use",
        data=("newest position", "time", "speed", "heading"),
        collected=_APP,
        processed="shown to the company's dispatchers while on duty",
        kept_for="PT15M",
    ),
    ConsentItem.PLAN_FACT: Processing(
        kind="use",
        data=("track", "stays at stops", "times of arrival and departure"),
        collected=_APP,
        processed="compared with the planned route",
        kept_for="P1Y",
    ),
    ConsentItem.CUSTOMER_LINK: Processing(
        kind="use",
        data=("rounded position", "expected time of arrival"),
        collected=_APP,
        processed="shown on the page of one delivery until it is made",
        kept_for="PT15M",
        recipients=("the customer of the delivery",),
    ),
    ConsentItem.NOTIFICATIONS: Processing(
        kind="messages",
        data=("device address for messages",),
        collected="by the driver",
        processed="messages about the work are shown on the device",
        kept_for="P1Y",
        recipients=("the messaging provider",),
    ),
    ConsentItem.MARKETING: Processing(
        kind="messages",
        data=("e-mail", "phone"),
        collected="by the driver",
        processed="messages about offers are sent",
        kept_for="P1Y",
        recipients=("the messaging provider",),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Who asks for the consent. None is what the company has not stated."""

    company_id: UUID
    name: str
    business_number: str | None
    privacy_contact: str | None
    storage_country: str


Document = dict[str, Any]


def written(
    act: Consent,
    before: Consent | None,
    company: Company,
    signature: Signature | None = None,
    clarified: Clarified | None = None,
) -> Document:
    """Return the record of an act that the driver was asked about with a notice.

    Raises
    ------
    ConsentRecordIncomplete
        The company has not stated what the law asks a consent to name.
    """
    notice = act.notice
    document = {
        **_header(act, before),
        "pii_processing": {
            "privacy_notice": {
                "document": "driver_notice",
                "edition": None if notice is None else notice.edition,
                "language": None if notice is None else notice.language.value,
                "sha256": None if notice is None else notice.sha256,
                **({} if clarified is None else {"clarified": clarified.said()}),
            },
            "language": None if notice is None else notice.language.value,
            "purposes": [_purpose(act, company)],
        },
        "party_identification": _parties(act, company),
        "event": {**_event(act, before), **_signed(signature)},
        "law_94_v_article_8_4": _article_8_4(act, before, company),
    }
    missing = tuple(faults(_stated(document)))
    if missing:
        raise ConsentRecordIncomplete(missing)
    return document


def resting_on(guardian_id: UUID | None) -> Document:
    """Return what a record says of the guardian it rests on; nothing where none was needed."""
    return {} if guardian_id is None else {_GUARDIAN: str(guardian_id)}


def rests_on_guardian(document: Document) -> bool:
    """Tell whether the driver consented as a minor, beside a guardian."""
    return _GUARDIAN in document


def ended(act: Consent, before: Consent | None) -> Document:
    """Return the record of an act that only takes away: it repeats what it ends, and never fails.

    What is older than records leaves one that holds the event alone.
    """
    event = {**_header(act, before), "event": _event(act, before)}
    if before is None or before.record is None:
        return event
    repeated: Document = json.loads(before.record)
    said = repeated.get("law_94_v_article_8_4")
    if said is not None:
        repeated["law_94_v_article_8_4"] = {**said, "valid": _validity(act, before)}
    return {**repeated, **event}


def canonical(document: Document) -> str:
    """Return the bytes that are hashed and signed, as text: RFC 8785."""
    return rfc8785.dumps(document).decode()


def digest(record: str) -> bytes:
    return hashlib.sha256(record.encode()).digest()


def commitment(nonce: bytes, record: str) -> bytes:
    """Return what shows a record to whoever has its nonce, and tells nobody else anything."""
    return hashlib.sha256(nonce + record.encode()).digest()


def _header(act: Consent, before: Consent | None) -> Document:
    follows = None if before is None else before.record_sha256
    return {
        "schema_version": SCHEMA_VERSION,
        "record_id": str(act.record_id),
        "pii_principal_id": str(act.driver_id),
        "follows": None if follows is None else follows.hex(),
    }


def _purpose(act: Consent, company: Company) -> Document:
    found, terms = PROCESSING[act.item], act.terms
    purpose = {
        "purpose": act.item.value,
        "purpose_type": found.kind,
        "lawful_basis": "consent",
        "pii_information": [{"pii_type": one, "pii_optional": False} for one in found.data],
        "pii_controllers": [str(company.company_id)],
        "collection_method": found.collected,
        "processing_method": found.processed,
        "storage_locations": [company.storage_country],
        "retention_period": found.kept_for,
        "jurisdiction": [JURISDICTION],
        "recipient_third_parties": list(found.recipients),
        "withdrawal_method": "by the driver, in the app, at any time, at once, without a reason",
        "privacy_rights": list(_RIGHTS),
    }
    if terms is None:
        return purpose
    limits = {
        "scope": terms.scope.value,
        "sources": sorted(source.value for source in terms.sources),
        "background": terms.background,
    }
    return {**purpose, "location_terms": limits}


def _parties(act: Consent, company: Company) -> list[Document]:
    return [
        {
            "party_id": str(company.company_id),
            "party_type": "organisation",
            "party_role": "pii_controller",
            "party_name": company.name,
            "party_address": company.privacy_contact,
            "party_contact": company.privacy_contact,
            "party_identifier": company.business_number,
        },
        {
            "party_id": str(act.driver_id),
            "party_type": "individual",
            "party_role": "pii_principal",
            "party_name": "kept_sealed",
            "party_address": "through the controller",
            "party_contact": "through the controller",
        },
    ]


def _event(act: Consent, before: Consent | None) -> Document:
    by_driver = act.actor is ConsentActor.DRIVER
    return {
        "event_time": rfc3339(act.recorded_at),
        "event_type": "explicit",
        "event_state": act.state.value,
        "validity_duration": _validity(act, before),
        "entity_id": str(act.driver_id) if by_driver else act.actor.value,
        "entity_role": act.actor.value,
    }


def _signed(signature: Signature | None) -> Document:
    if signature is None:
        return {}
    return {"signature": {"format": signature.format, "sha256": signature.sha256}}


def _validity(act: Consent, before: Consent | None) -> Document:
    """Return from when until when a consent holds, or held before it ended; never: one moment."""
    begun = act.recorded_at
    if before is not None and before.state is ConsentState.GIVEN:
        begun = before.recorded_at if act.valid_until is None else begun
    return {"from": rfc3339(begun), "until": rfc3339(act.valid_until or act.recorded_at)}


def _article_8_4(act: Consent, before: Consent | None, company: Company) -> Document:
    found = PROCESSING[act.item]
    return {
        "operator": {"name": company.name, "bin": company.business_number},
        "subject": {"id": str(act.driver_id), "name": "kept_sealed"},
        "valid": _validity(act, before),
        "transfer_to_third_parties": bool(found.recipients),
        "cross_border_transfer": company.storage_country != JURISDICTION,
        "distribution_in_public_sources": False,
        "collected_data": list(found.data),
    }


def _stated(value: Any) -> Any:
    """Return the document without the members that nobody stated."""
    if isinstance(value, dict):
        nullable = {"follows"}
        return {
            name: _stated(part)
            for name, part in value.items()
            if part is not None or name in nullable
        }
    return [_stated(part) for part in value] if isinstance(value, list) else value


# ---- the form


@cache
def schema() -> Mapping[str, Any]:
    """Return the form of a record: JSON Schema, draft 2020-12."""
    found: Mapping[str, Any] = json.loads(SCHEMA_FILE.read_text("utf-8"))
    return found


_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_LEAVES: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "const": lambda value, wanted: type(value) is type(wanted) and value == wanted,
    "enum": lambda value, wanted: value in wanted,
    "minimum": lambda value, least: value >= least,
    "minLength": lambda value, least: len(value) >= least,
    "minItems": lambda value, least: len(value) >= least,
    "pattern": lambda value, text: value is None or re.fullmatch(text, value) is not None,
}


def faults(document: Any, form: Mapping[str, Any] | None = None, at: str = "") -> Iterator[str]:
    """Yield the places (JSON Pointers) that do not fit; only of the keywords that the form uses."""
    form = schema() if form is None else form
    kinds = form.get("type", [])
    allowed = [kinds] if isinstance(kinds, str) else kinds
    if allowed and not any(_TYPES[kind](document) for kind in allowed):
        yield at or "/"
        return
    if not all(fits(document, form[word]) for word, fits in _LEAVES.items() if word in form):
        yield at or "/"
    if isinstance(document, dict):
        properties = form.get("properties", {})
        yield from (f"{at}/{name}" for name in form.get("required", ()) if name not in document)
        yield from (f"{at}/{name}" for name in document if name not in properties)
        for name, part in document.items():
            if name in properties:
                yield from faults(part, properties[name], f"{at}/{name}")
    elif isinstance(document, list):
        for number, part in enumerate(document):
            yield from faults(part, form["items"], f"{at}/{number}")
