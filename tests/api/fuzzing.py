"""Schemathesis against a served Jolda, one kind of caller at a time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

SEED: Final = 1
PHASES: Final = ("coverage", "fuzzing", "stateful")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is tried."""

    examples: int
    """Generated cases for each operation; those of the coverage phase come on top."""
    phases: Sequence[str]
    every_operation: bool
    """Each caller tries every operation, not only those that nobody lesser may call."""


EFFORTS: Final = {
    "smoke": Effort(examples=5, phases=("coverage", "fuzzing"), every_operation=False),
    "full": Effort(examples=150, phases=PHASES, every_operation=True),
}


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of one caller's cases."""

    cases: int = 0
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often an operation answered with a status."""
    turned_away: Counter[str] = field(default_factory=Counter)
    """Operations that answered the caller's own token with 401."""
    failures: dict[str, str] = field(default_factory=dict)
    """One of each kind and operation, with the request that shows it."""

    @property
    def operations(self) -> set[str]:
        return {name for name, _ in self.answers}

    @property
    def succeeded(self) -> set[str]:
        return {name for name, status in self.answers if status < HTTPStatus.MULTIPLE_CHOICES}

    def add(self, other: "Outcome") -> None:
        self.cases += other.cases
        self.answers += other.answers
        self.turned_away += other.turned_away
        self.failures |= other.failures


def configuration(url: str, token: str | None, effort: Effort) -> SchemathesisConfig:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    told: dict[str, Any] = {
        "base-url": url,
        "seed": SEED,
        "headers": headers,
        "cache": {"enabled": False},
        "continue-on-failure": True,
        "request-timeout": 10.0,
        "max-stream-events": 1,
        "suppress-health-check": ["all"],
        "generation": {
            "max-examples": effort.examples,
            "database": "none",
            "no-shrink": True,
        },
        "phases": {
            "examples": {"enabled": False},
            **{name: {"enabled": name in effort.phases} for name in PHASES},
        },
    }
    return SchemathesisConfig.from_dict(told)


def fuzz(
    url: str,
    token: str | None,
    effort: Effort,
    *,
    operations: Sequence[str],
    document: Mapping[str, Any] | None = None,
) -> Outcome:
    """Try the operations as the holder of the token; blocks.

    ``document`` is believed instead of the served one: a control may lie in it.
    """
    config = configuration(url, token, effort)
    whole: Any = (
        schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
        if document is None
        else schemathesis.openapi.from_dict(dict(document), config=config)
    )
    outcome = Outcome()
    for event in from_schema(whole.include(operation_id=list(operations))).execute():
        match event:
            case events.ScenarioFinished():
                _note(outcome, event, token)
            case events.NonFatalError():
                outcome.failures[f"{event.label}: error"] = repr(event.value)
            case events.FatalError():
                outcome.failures["error"] = repr(event.exception)
            case _:
                pass
    return outcome


def _note(outcome: Outcome, event: events.ScenarioFinished, token: str | None) -> None:
    recorder = event.recorder
    names = {
        case_id: node.value.operation.definition.raw["operationId"]
        for case_id, node in recorder.cases.items()
    }
    outcome.cases += len(recorder.interactions)
    for case_id, interaction in recorder.interactions.items():
        if interaction.response is None:
            continue
        status = interaction.response.status_code
        outcome.answers[names[case_id], status] += 1
        shown = interaction.request.headers.get("Authorization")
        if status == HTTPStatus.UNAUTHORIZED and shown == [f"Bearer {token}"]:
            outcome.turned_away[names[case_id]] += 1
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.status is Status.FAILURE and check.failure_info is not None:
                info = check.failure_info
                said = f"{info.failure.message}\n{info.code_sample}"
                outcome.failures.setdefault(f"{names[case_id]}: {info.failure.title}", said)
