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
    NoticeShown,
    Signature,
)
from server.kit.wire import rfc3339
from server.ledger.model import instant_text
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
UNTIL_ERASURE: Final = "until the account is erased"
"""Of what nothing removes sooner: a record promises no time that no job keeps."""
AS_TRACKS: Final = "{tracks_kept_for}"
"""Of what goes with the tracks: as long as the company keeps them when it is written."""
PROCESSING: Final[Mapping[ConsentItem, Processing]] = {
    ConsentItem.LOCATION: Processing(
        kind="capability",
        data=("position", "time", "accuracy", "speed", "heading", "altitude", "battery level"),
        collected=_APP,
        processed="stored sealed, for the uses that are consented to as well",
        kept_for=AS_TRACKS,
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
        processed="compared with the planned route, with alerts{reports_kept}",
        kept_for=AS_TRACKS,
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
        kept_for=UNTIL_ERASURE,
        recipients=("the messaging provider",),
    ),
    ConsentItem.MARKETING: Processing(
        kind="messages",
        data=("e-mail", "phone"),
        collected="by the driver",
        processed="messages about offers are sent",
        kept_for=UNTIL_ERASURE,
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
    tracks_kept_for: str
    reports_kept: str = ""
    """What is said of final reports; nothing where none is kept."""


Document = dict[str, Any]


def written(
    act: Consent,
    before: Consent | None,
    company: Company,
    signature: Signature | None = None,
    clarified: Clarified | None = None,
) -> Document:
    """Return the record of a question, or of an answer with the notice that was read before.

    Raises
    ------
    ConsentRecordIncomplete
        The company has not stated what the law asks a consent to name.
    """
    document = {
        **_header(act, before),
        "pii_processing": {
            **_shown(act.notice, clarified),
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


def guardian_of(document: Document) -> UUID | None:
    """Return the guardian's record that a minor's consent rests on; None where none was needed."""
    found = document.get(_GUARDIAN)
    return None if found is None else UUID(found)


def names(given: Consent, name: str, business_number: str | None) -> bool:
    """Tell whether the record itself says that the consent is to this controller."""
    said: Document = {} if given.record is None else json.loads(given.record)
    operator = said.get("law_94_v_article_8_4", {}).get("operator")
    return bool(operator == {"name": name, "bin": business_number})


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


def row_commitment(act: Consent) -> bytes:
    """Return what binds all that is stored of an act, not only its record, to the ledger."""
    notice, terms = act.notice, act.terms
    said = {
        "actor": act.actor.value,
        "driver_id": str(act.driver_id),
        "epoch": act.epoch,
        "held_since": None if act.held_since is None else instant_text(act.held_since),
        "item": act.item.value,
        "notice": None
        if notice is None
        else [notice.edition, notice.language.value, notice.sha256],
        "record_id": str(act.record_id),
        "record_sha256": None if act.record_sha256 is None else act.record_sha256.hex(),
        "recorded_at": instant_text(act.recorded_at),
        "state": act.state.value,
        "terms": None
        if terms is None
        else [terms.scope.value, sorted(one.value for one in terms.sources), terms.background],
        "valid_until": None if act.valid_until is None else instant_text(act.valid_until),
        "version": act.version,
    }
    return hashlib.sha256((act.nonce or b"") + rfc8785.dumps(said)).digest()


def _header(act: Consent, before: Consent | None) -> Document:
    follows = None if before is None else before.record_sha256
    return {
        "schema_version": SCHEMA_VERSION,
        "record_id": str(act.record_id),
        "pii_principal_id": str(act.driver_id),
        "follows": None if follows is None else follows.hex(),
    }


def _shown(notice: NoticeShown | None, clarified: Clarified | None) -> Document:
    """Return what is said of the text that was read; of a question, that is none."""
    named: Document = {"document": "driver_notice"}
    if notice is None:
        return {"privacy_notice": named}
    named |= {
        "edition": notice.edition,
        "language": notice.language.value,
        "sha256": notice.sha256,
        **({} if clarified is None else {"clarified": clarified.said()}),
    }
    return {"privacy_notice": named, "language": notice.language.value}


def _purpose(act: Consent, company: Company) -> Document:
    found, terms = PROCESSING[act.item], act.terms
    purpose = {
        "purpose": act.item.value,
        "purpose_type": found.kind,
        "lawful_basis": "consent",
        "pii_information": [{"pii_type": one, "pii_optional": False} for one in found.data],
        "pii_controllers": [str(company.company_id)],
        "collection_method": found.collected,
        "processing_method": found.processed.format(reports_kept=company.reports_kept),
        "storage_locations": [company.storage_country],
        "retention_period": found.kept_for.format(tracks_kept_for=company.tracks_kept_for),
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
    begun, over = act.recorded_at, act.valid_until or act.recorded_at
    if act.valid_until is None and before is not None and before.state is ConsentState.GIVEN:
        begun = before.recorded_at
        # What ran out held until then, however late that is written down.
        over = min(over, before.valid_until or over)
    return {"from": rfc3339(begun), "until": rfc3339(over)}


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
        if form.get("additionalProperties") is False:
            yield from (f"{at}/{name}" for name in document if name not in properties)
        for name, part in document.items():
            if name in properties:
                yield from faults(part, properties[name], f"{at}/{name}")
    elif isinstance(document, list):
        for number, part in enumerate(document):
            yield from faults(part, form["items"], f"{at}/{number}")
    if "if" in form and any(faults(document, form["if"], at)):
        yield from faults(document, form["else"], at)
