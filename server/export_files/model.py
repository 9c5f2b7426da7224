"""What a package is made of: parts, the tables of each, and how a row of one is told. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from uuid import UUID

import zstandard

from server.accounts import sealing as accounts
from server.alerts.model import ALERT_SCHEMA
from server.clarifications import service as clarifications
from server.corrections import contacts
from server.corrections import service as corrections
from server.credentials.service import DEVICE_NAME_SCHEMA
from server.guardians import service as guardians
from server.holds import service as holds
from server.kit.wire import rfc3339
from server.notices.preparing import TEXT_SCHEMA
from server.reports.drawing import REPORT_BYTES_MAX
from server.reports.service import REPORT_SCHEMA, SUMS_SCHEMA
from server.stop_events.service import EVENT_SCHEMA

Row: TypeAlias = dict[str, Any]
"""One row, opened: by name texts, figures, times, ids, lists, and what was sealed as JSON."""


class Part(StrEnum):
    """A category of what is kept: one file of JSON and one sheet of the workbook each."""

    PROFILE = "profile"
    CONSENTS = "consents"
    NOTICES = "notices"
    TRACK = "track"
    WORK = "work"
    REPORTS = "reports"
    MESSAGES = "messages"
    DEVICES = "devices"
    VIEWS = "views"
    DISCLOSURES = "disclosures"
    REQUESTS = "requests"
    LEDGER = "ledger"


class Form(Enum):
    """What comes out of a sealed value."""

    TEXT = auto()
    SHARED = auto()
    """A notice's title, body and short form, sealed under the keys of all whom it names."""
    JSON = auto()
    REPORT = auto()
    LATEST = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """How a sealed column is opened."""

    schema: str
    row_id: str
    """The column with the id that it is bound to."""
    form: Form = Form.TEXT
    name: str = ""
    """How what was in it is called; without it as the column, less its ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How the rows of one table are told."""

    part: Part
    shown: tuple[str, ...] = ()
    """The columns of the workbook; ``event.text`` is of what was sealed. Without any only JSON."""
    sealed: Mapping[str, Sealed] = field(default_factory=dict)
    staff: frozenset[str] = frozenset()
    """Columns with the id of somebody of the company: their name is told, as on the screens."""
    json: frozenset[str] = frozenset()
    """Columns with JSON in them."""
    hidden: frozenset[str] = frozenset()
    """Columns that only serve to open others."""
    page: int = 200
    """So many rows are held in memory at once."""


def _row(schema: str, row_id: str, form: Form = Form.TEXT, name: str = "") -> Sealed:
    return Sealed(schema=schema, row_id=row_id, form=form, name=name)


# Person requests know of erasing, which knows of packages: here they cannot be asked.
_ASKED: Final = {name: f"person_request.{name}" for name in ("said", "evidence", "answer")}

# To give out another table: its statement in store.py, a line here, its words in texts/. To give
# out something that no one statement reads: another source in reading.py and a line here.
TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        "member": Table(
            part=Part.PROFILE,
            shown=("name", "phone", "email", "role", "state", "locale", "created_at"),
            sealed={
                "name_sealed": _row(accounts.NAME_SCHEMA, "member_id"),
                "phone_sealed": _row(accounts.PHONE_SCHEMA, "member_id"),
                "email_sealed": _row(accounts.EMAIL_SCHEMA, "member_id"),
            },
        ),
        "account_standing": Table(
            part=Part.PROFILE,
            shown=(
                *("joined_at", "used_at", "warned_at", "since", "reason", "acted_by"),
                *("order_reference", "reads_until"),
            ),
        ),
        "correction": Table(
            part=Part.PROFILE,
            shown=("corrected_at", "field", "before", "after", "source", "by_member"),
            sealed={
                "before_sealed": _row(corrections.BEFORE_SCHEMA, "correction_id"),
                "after_sealed": _row(corrections.AFTER_SCHEMA, "correction_id"),
            },
            staff=frozenset({"by_member"}),
        ),
        "contact_change": Table(
            part=Part.PROFILE,
            shown=("asked_at", "field", "contact", "source", "expires_at"),
            sealed={"contact_sealed": _row(contacts.CONTACT_SCHEMA, "change_id")},
        ),
        "birth_year": Table(
            part=Part.PROFILE,
            shown=("year", "stated_by", "stated_at", "disputed_at"),
            sealed={"year_sealed": _row(guardians.YEAR_SCHEMA, "statement_id")},
            staff=frozenset({"stated_by"}),
        ),
        "guardian_consent": Table(
            part=Part.PROFILE,
            shown=(
                "name",
                "relation",
                "how",
                "told_at",
                "document_reference",
                "recorded_by",
                "revoked_at",
            ),
            sealed={
                "name_sealed": _row(guardians.NAME_SCHEMA, "guardian_id"),
                "document_sealed": _row(
                    guardians.DOCUMENT_SCHEMA, "guardian_id", name="document_reference"
                ),
            },
            staff=frozenset({"recorded_by"}),
        ),
        "attestation": Table(
            part=Part.PROFILE,
            shown=("attested_by", "how", "told_at", "attested_at", "documents", "editions"),
            staff=frozenset({"attested_by"}),
        ),
        "attestation_dispute": Table(part=Part.PROFILE, shown=("disputed_at",)),
        "consent_record": Table(
            part=Part.CONSENTS,
            shown=("item", "state", "recorded_at", "scope", "notice_edition", "valid_until"),
            json=frozenset({"record"}),
        ),
        "gate": Table(
            part=Part.CONSENTS,
            shown=("location_since", "dispatch_since", "plan_fact_since", "location_always"),
        ),
        "policy_acceptance": Table(
            part=Part.CONSENTS, shown=("document", "edition", "language", "accepted_at")
        ),
        "policy_controller": Table(part=Part.CONSENTS, shown=("name", "bin", "privacy_contact")),
        "controller_change": Table(
            part=Part.CONSENTS,
            shown=("name", "bin", "privacy_contact", "noticed_at", "effective_at", "cancelled_at"),
        ),
        "controller_agreement": Table(part=Part.CONSENTS, shown=("agreed_at", "effective_at")),
        "controller_move": Table(part=Part.CONSENTS, shown=("moved_at", "kept", "lapsed")),
        "device_notice": Table(
            part=Part.CONSENTS, shown=("edition", "language", "acknowledged_at")
        ),
        "device_permission": Table(part=Part.CONSENTS, shown=("state", "changed_at")),
        "notice": Table(
            part=Part.NOTICES,
            shown=("queued_at", "text.title", "text.body"),
            sealed={"text_sealed": _row(TEXT_SCHEMA, "notice_id", Form.SHARED)},
            json=frozenset({"facts"}),
        ),
        "notice_delivery": Table(part=Part.NOTICES),
        "notice_event": Table(part=Part.NOTICES, shown=("at", "channel", "event")),
        "notice_preference": Table(part=Part.NOTICES, shown=("channel", "marketing")),
        "alert_wish": Table(part=Part.NOTICES, shown=("kind", "wanted")),
        "controller_told": Table(part=Part.NOTICES),
        "chunk": Table(part=Part.TRACK, shown=("day", "positions", "first_at", "last_at")),
        "latest_position": Table(
            part=Part.TRACK,
            shown=("recorded_at",),
            sealed={"blob": _row("", "driver_id", Form.LATEST, "position")},
            hidden=frozenset({"key_id"}),
        ),
        "refusal_count": Table(part=Part.TRACK, shown=("day", "reason", "count")),
        "set_apart": Table(part=Part.TRACK, shown=("before", "positions")),
        "deleted_span": Table(
            part=Part.TRACK,
            shown=("asked_at", "since", "until", "positions", "done_at", "backups_hold_until"),
        ),
        "shift": Table(part=Part.WORK, shown=("started_at", "paused_at", "ended_at", "ended_by")),
        "recording_window": Table(part=Part.WORK, shown=("opened_at", "closed_at")),
        "route": Table(
            part=Part.WORK,
            shown=("date", "starts_at", "ends_at", "assigned_at", "vehicle_name", "vehicle_plate"),
        ),
        "customer_link": Table(
            part=Part.WORK, shown=("created_at", "expires_at", "delivered_at", "revoked_at")
        ),
        "plan_fact_report": Table(
            part=Part.REPORTS,
            shown=("computed_at", "since", "route_id"),
            page=10,
            sealed={
                "sealed": _row(REPORT_SCHEMA, "route_id", Form.REPORT, "report"),
                "sums_sealed": _row(SUMS_SCHEMA, "route_id", Form.JSON),
            },
        ),
        "alert": Table(
            part=Part.REPORTS,
            shown=("kind", "raised_at", "cleared_at", "acknowledged_at"),
            sealed={"particulars_sealed": _row(ALERT_SCHEMA, "alert_id", Form.JSON)},
        ),
        "stop_event": Table(
            part=Part.MESSAGES,
            shown=("event.at", "event.kind", "event.text", "received_at"),
            sealed={"event_sealed": _row(EVENT_SCHEMA, "stop_event_id", Form.JSON)},
        ),
        "clarification": Table(
            part=Part.MESSAGES,
            shown=("asked_at", "document", "question", "state", "answered_by", "answer"),
            sealed={
                "question_sealed": _row(clarifications.QUESTION_SCHEMA, "clarification_id"),
                "answer_sealed": _row(clarifications.ANSWER_SCHEMA, "clarification_id"),
            },
            staff=frozenset({"answered_by"}),
        ),
        "device": Table(
            part=Part.DEVICES,
            shown=("name", "created_at", "revoked_at"),
            sealed={"name_sealed": _row(DEVICE_NAME_SCHEMA, "device_id")},
        ),
        "session": Table(part=Part.DEVICES, shown=("created_at", "expires_at")),
        "second_factor": Table(part=Part.DEVICES, shown=("begun_at", "confirmed_at")),
        "location_read": Table(
            part=Part.VIEWS,
            shown=("bucket_at", "until", "viewer_kind", "viewer_name", "purpose", "screen"),
        ),
        "disclosure": Table(
            part=Part.DISCLOSURES,
            shown=(
                *("decided_at", "evidence.recipient", "evidence.country", "ground", "categories"),
                *("given", "since", "until", "evidence.document_number", "evidence.legal_article"),
                *("recorded_by", "decided_by", "sealed_until"),
            ),
        ),
        "disclosure_file": Table(
            part=Part.DISCLOSURES, shown=("made_at", "format", "positions", "made_by")
        ),
        "incident_member": Table(
            part=Part.DISCLOSURES,
            shown=("told_at", "cause", "since", "until", "categories", "consequences", "advice"),
        ),
        "erasure_request": Table(
            part=Part.REQUESTS,
            shown=(
                "requested_at",
                "requested_by_role",
                "state",
                "answer_by",
                "decided_at",
                "decided_by_role",
                "refusal_ground",
                "refused_until",
                "grace_until",
                "cancelled_at",
            ),
        ),
        "erasure_refusal": Table(
            part=Part.REQUESTS,
            shown=("refused_at", "text"),
            sealed={"text_sealed": _row(holds.TEXT_SCHEMA, "request_id")},
        ),
        "hold": Table(
            part=Part.REQUESTS,
            shown=(
                *("category", "ground", "state", "asked_by_role", "asked_at", "placed_at"),
                *("until", "ended_at", "ended_by_role", "evidence"),
            ),
            sealed={"evidence_sealed": _row(holds.EVIDENCE_SCHEMA, "hold_id")},
        ),
        "person_request": Table(
            part=Part.REQUESTS,
            shown=(
                *("received_at", "came_by", "kind", "said", "recorded_by", "answer_by", "state"),
                *("answer", "answered_at", "answered_by"),
            ),
            sealed={
                # By name: that feature stands above this one. A wrong name opens nothing.
                "said_sealed": _row("person_request.said", "person_request_id"),
                "evidence_sealed": _row("person_request.evidence", "person_request_id"),
                "answer_sealed": _row("person_request.answer", "person_request_id"),
            },
            staff=frozenset({"recorded_by", "answered_by"}),
        ),
        "export_package": Table(part=Part.REQUESTS, shown=("asked_at", "language", "expires_at")),
        "ledger_entry": Table(
            part=Part.LEDGER, shown=("index", "recorded_at", "act", "actor_kind")
        ),
    }
)


def tables_of(part: Part) -> tuple[str, ...]:
    """Return the tables of a part, in their order."""
    return tuple(name for name, table in TABLES.items() if table.part is part)


def name_of(column: str, sealed: Sealed) -> str:
    return sealed.name or column.removesuffix("_sealed")


def opened(form: Form, raw: bytes) -> Any:
    """Return what stands in what was sealed.

    Of a report the names of stops are left out: they are customers', or say where those live.
    """
    match form:
        case Form.JSON:
            return json.loads(raw)
        case Form.REPORT:
            packed = zstandard.ZstdDecompressor()
            report = json.loads(packed.decompress(raw, max_output_size=REPORT_BYTES_MAX))
            for stop in report.get("stops", ()):
                stop.pop("name", None)
            return report
        case _:
            return raw.decode()


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line a kind
    """Return a value as JSON holds it."""
    match value:
        case datetime():
            return rfc3339(value)
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case bytes() | memoryview():
            return bytes(value).hex()
        case Mapping():
            return {name: plain(one) for name, one in value.items()}
        case str():
            return value
        case Sequence():
            return [plain(one) for one in value]
    return value


def at(row: Row, path: str) -> Any:
    """Return what stands in a row under a name, or within what was sealed."""
    name, _, within = path.partition(".")
    value = row.get(name)
    if not within:
        return value
    found = value.get(within) if isinstance(value, Mapping) else None
    return datetime.fromisoformat(found) if path == "event.at" and found else found
