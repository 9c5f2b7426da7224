"""The words that a column's comment is made of. The lists are closed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PLAIN: Final = "plain"
NONE: Final = "none:"
"""What the reason follows, where nothing erases a column or nobody exports it."""

CATEGORIES: Final[Mapping[str, str]] = {
    "identity": "who the person is",
    "contact": "how they are reached, and what was written to and by them",
    "account": "their role, log-ins and devices",
    "consent": "what they were told, asked and agreed to",
    "work": "their shifts and what they had to drive or to decide",
    "track": "where they were",
    "live": "where they are",
    "report": "how they drove what was planned",
    "plan": "customers and their places, in the plans of routes",
    "notice": "that they were told something",
    "ledger": "what the ledger says of them",
    "disclosure": "what was given of them to somebody outside, and what happened to their data",
    "reads": "who looked where they were",
    "erasure": "that somebody was erased, and nobody's name",
    "export": "the packages of all this that they asked for",
}
PURPOSES: Final[dict[str, str]] = {
    "identity": "drivers and staff are told apart, and a driver knows who acted",
    "contact": "who joined is reached, logs in, and is told what concerns them",
    "account": "only who may do something does it, and a lost phone is shut out",
    "consent": "it can be shown what a person was told and agreed to, and nothing else is done",
    "work": "nothing is recorded outside a shift, and who has to drive what is known",
    "track": "dispatch during a shift, and the comparison with the plan, as the driver allowed",
    "live": "dispatch while a shift lasts: where the driver is now",
    "report": "the comparison of the plan with what was driven, where the driver allowed it",
    "plan": "the driver knows where to go, and the customer when somebody comes",
    "notice": "it can be shown that a person was told",
    "ledger": "it can be shown that nobody changed afterwards what was done and by whom",
    "disclosure": "it can be shown what was given to whom, and whom an incident affects is told",
    "reads": "the driver sees who looked where they were",
    "export": "a driver takes along what is kept of them",
    "erasure": "it can be shown that somebody was erased, and no backup brings them back",
}
"""Why there has to be any of a category: what nothing here needs is not stored."""
FORMS: Final[Mapping[str, str]] = {
    "clear": "as it is",
    "sealed": "AES-256-GCM, under the key of its category",
    "hashed": "SHA-256, HMAC-SHA-256 or argon2id",
    "wrapped": "a key, under the key above it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Until when something stays."""

    until: str
    job: str | None = None
    """Which removes it; None: whatever ends it does."""
    by_age: bool = False
    """It goes after a time: ``jolda retention --dry-run`` tells how much is due."""


RETENTIONS: Final[Mapping[str, Retention]] = {
    "erasure": Retention(until="the person is erased", job="erase_due"),
    "track_days": Retention(
        until="older than the company's `track_days`", job="forget_old_tracks", by_age=True
    ),
    "alerts": Retention(
        until="older than the company's `track_days`", job="forget_alerts", by_age=True
    ),
    "report_days": Retention(
        until="the company's `report_days` after the planned end of the route",
        job="forget_reports",
        by_age=True,
    ),
    "plan_days": Retention(
        until="the company's `plan_days` after the planned end of the route, and nothing that is "
        "still kept is of it",
        job="forget_plans",
        by_age=True,
    ),
    "stop_events": Retention(
        until="365 days after it was received", job="forget_stop_events", by_age=True
    ),
    "links": Retention(until="30 days after the link ended", job="forget_links", by_age=True),
    "disclosures": Retention(
        until="five years after it was recorded", job="forget_disclosures", by_age=True
    ),
    "incidents": Retention(
        until="five years after it was recorded, and it is over",
        job="forget_incidents",
        by_age=True,
    ),
    "exports": Retention(until="7 days after it was asked for", job="forget_exports", by_age=True),
    "reads": Retention(until="365 days old", job="forget_old_reads", by_age=True),
    "latest": Retention(
        until="15 minutes after the fix", job="sweep_latest_positions", by_age=True
    ),
    "keys": Retention(
        until="the subject is erased; `track`: `track_days` after its month, `live`: the end of "
        "the day after its own, `export`: 8 days after its own (`forget_exports`)",
        job="destroy_live_keys",
        by_age=True,
    ),
    "search": Retention(until="the erasing job has looked for it", job="erase_due"),
    "act": Retention(
        until="the end of the act that stops recording, or a minute", job="sweep_gate_closings"
    ),
    "contact_change": Retention(
        until="the code is told, or a day after the first was sent", job="forget_contact_changes"
    ),
    "password_reset": Retention(
        until="a day after the first code was sent", job="forget_password_resets"
    ),
    "acceptance": Retention(until="the invitation is accepted, or the person is erased"),
    "log_in": Retention(until="log-out, or the first log-in after it ended, or erasure"),
    "queue": Retention(until="the job is done"),
    "exchange": Retention(until="the next exchange of keys", job="rekey"),
    "company": Retention(until="always: it is the company's, or the installation's"),
    "always": Retention(until="always: it proves what was done"),
}

ORGANISATIONS: Final = frozenset({"company.name", "api_token.name", "controller_change.name"})
"""Names that are no person's: of companies, and of what a company has."""

OLD_COPIES: Final = (
    "A copy of `main` from before the erasure, "
    "[until it is deleted](erasure-certificate.md#what-old-copies-of-main-hold-in-clear),"
)
NOT_ERASED: Final[Mapping[str, str]] = {
    "pseudonym": "It names a pseudonym. Whose it was is forgotten with `ledger_subject`: then "
    f"nothing in use tells. {OLD_COPIES} holds that row, in clear.",
    "tombstone": "It keeps a `main` that is restored from bringing the person back. It names an id "
    f"that nothing else in use has. {OLD_COPIES} has it.",
    "nobody": f"Nothing in use tells whose the id in it was. {OLD_COPIES} tells whose account, "
    "under no name.",
    "commitment": "What opens it is deleted with the record: then it matches nothing in use but "
    f"the receipt, which only the person has. {OLD_COPIES} opens it as well, for it holds record "
    "and nonce in clear.",
    "customer": "It is a customer's, who is no member. It goes with the plan: after its time, or "
    "when the route is deleted.",
    "staff": "It names a member of staff, and goes with what they did for the driver.",
    "evidence": "It says what the company did or was asked for, under the company's own key, and "
    "names nobody whose data it was about.",
    "published": "The company publishes it.",
    "vehicle": "It is the company's vehicle, which goes on without who drove it.",
}
NOT_EXPORTED: Final[Mapping[str, str]] = {
    "secret": "It proves who somebody is.",
    "index": "It finds what another column holds, which is exported.",
    "internal": "The server works by it; of the person it says nothing that other columns do not.",
    "key": "Keys are never given out.",
    "nobody": "When there is one, there is nobody to give it to.",
    "package": "It is the package itself.",
    "customer": "It is the company's and its customer's, not the driver's.",
    "evidence": "It is the company's account of what it did, and about nobody in particular.",
    "on_request": "It is about a member of staff: the company answers who asks.",
}
