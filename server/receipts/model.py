"""What a receipt is: a record of a consent, signed, with its place in the ledger. Pure.

A receipt is JSON-LD with a context of its own, signed with Ed25519 over its canonical form
(RFC 8785). It carries the nonce that opens the ledger's commitment to the record, and the way from
that entry to a signed checkpoint: whoever holds it can show what was agreed to, also after the
company erased the person, and that the ledger was not rewritten.
"""

from typing import Final, TypeAlias

from server.ledger.documents import Document, Kind

Receipt: TypeAlias = Document

KIND: Final = Kind(
    type="ConsentReceipt",
    version="1",
    word="receipt",
    of="a consent",
    prefix=b"jolda consent receipt v1\0",
)
_DPV: Final = "https://w3id.org/dpv#"
# Written out: a receipt means the same in twenty years, with no address to ask.
CONTEXT: Final = {
    "@version": 1.1,
    "@vocab": "urn:jolda:vocabulary:1#",
    "dpv": _DPV,
    "ConsentReceipt": "dpv:ConsentRecord",
    "purposes": "dpv:hasPurpose",
    "pii_controllers": "dpv:hasDataController",
    "pii_information": "dpv:hasPersonalData",
    "lawful_basis": "dpv:hasLegalBasis",
    "privacy_notice": "dpv:hasNotice",
    "recipient_third_parties": "dpv:hasRecipient",
    "storage_locations": "dpv:hasLocation",
    "privacy_rights": "dpv:hasRight",
    "event_state": {"@id": "dpv:hasConsentStatus", "@type": "@vocab"},
    "requested": "dpv:ConsentRequested",
    "given": "dpv:ConsentGiven",
    "declined": "dpv:ConsentRefused",
    "withdrawn": "dpv:ConsentWithdrawn",
    "expired": "dpv:ConsentExpired",
    "invalidated": "dpv:ConsentInvalidated",
}
