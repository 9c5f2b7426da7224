"""The closed lists behind ``WORD`` and ``WORDS``; every language has a word for each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WORDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "role": frozenset(
            {"driver", "dispatcher", "main_user", "api_token", "forgotten", "operator"}
        ),
        "recording": frozenset({"stopped", "goes_on"}),
        "block_reason": frozenset(
            {
                "left",
                "lost_phone",
                "misuse",
                "other",
                "own_wish",
                "idle",
                "unverified",
                "legal_order",
            }
        ),
        "lifting": frozenset({"self", "company", "authority"}),
        "keeping": frozenset({"idle", "unverified"}),
        "consent_item": frozenset(
            {
                "location",
                "dispatch_tracking",
                "plan_fact",
                "customer_link",
                "notifications",
                "marketing",
            }
        ),
        "document": frozenset({"privacy_notice", "driver_notice", "device_notice"}),
        "change": frozenset({"first", "protective", "editorial", "material", "adds_purpose"}),
        "outcome": frozenset(
            {"approve", "refuse_in_part", "refuse", "silence", "expired", "dropped"}
        ),
        "data_category": frozenset({"identity", "contact", "work", "consent", "report", "track"}),
        "hold_state": frozenset({"wished", "proposed", "placed", "declined", "ended"}),
        "ground": frozenset(
            {"legal_obligation", "legal_claim", "unfulfilled_obligation", "identity_not_proven"}
        ),
        "field": frozenset({"name", "phone", "email", "language"}),
        "disclosure_ground": frozenset(
            {
                "consent",
                "functionality",
                "purpose",
                "controller_change",
                "authority",
                "defence_of_rights",
            }
        ),
        "incident_step": frozenset({"authority", "members"}),
        "incident_cause": frozenset(
            {
                "stolen_access",
                "leaked_token",
                "lost_device",
                "misuse",
                "wrong_recipient",
                "other",
            }
        ),
        "consequence": frozenset(
            {
                "location_known",
                "contact_misused",
                "identity_misused",
                "account_misused",
                "none_expected",
            }
        ),
        "advice": frozenset(
            {
                "change_password",
                "check_devices",
                "beware_of_calls",
                "tell_police",
                "nothing_needed",
            }
        ),
        "request": frozenset(
            {"access", "correction", "erasure", "restriction", "complaint", "preservation"}
        ),
        "came_by": frozenset({"email", "letter", "phone", "in_person"}),
        "alert": frozenset({"late", "off_route", "no_signal", "long_stop"}),
    }
)
