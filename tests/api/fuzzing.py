"""Schemathesis against a served Jolda, one kind of caller at a time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, StopReason, events, from_schema
from schemathesis.engine.run import PhaseName

from tests.api.pace import Pace

SEED: Final = 1
PHASES: Final = ("coverage", "fuzzing", "stateful")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is tried."""

    examples: int
    """Generated cases for each operation, at most; those of the coverage phase come on top."""
    phases: Sequence[str]
    every_operation: bool
    """Each caller tries every operation, not only those that nobody lesser may call."""


EFFORTS: Final = {
    "smoke": Effort(examples=8, phases=("coverage", "fuzzing"), every_operation=False),
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


def configuration(url: str, token: str | None, effort: Effort, seed: int) -> SchemathesisConfig:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    told: dict[str, Any] = {
        "base-url": url,
        "seed": seed,
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
    pace: Pace | None = None,
    seed: int = SEED,
) -> Outcome:
    """Try the operations as the holder of the token; blocks.

    ``document`` is believed instead of the served one: a control may lie in it. ``pace`` says how
    many cases each operation gets, and ends it all when the time is over; without it each gets
    what the effort allows, however long that takes.
    """
    if pace is not None and pace.is_over:
        return Outcome()
    config = configuration(url, token, effort, seed)
    whole: Any = (
        schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
        if document is None
        else schemathesis.openapi.from_dict(dict(document), config=config)
    )
    outcome = Outcome()
    chosen = whole.include(operation_id=list(operations))
    running = from_schema(chosen).execute()
    for event in running:
        match event:
            case events.ScenarioFinished():
                _note(outcome, event, token)
                if pace is not None:
                    _keep_to(pace, event)
                    chosen.config.generation.update(max_examples=pace.examples())
            case events.EngineFinished() if event.stop_reason is StopReason.SERVER_UNAVAILABLE:
                outcome.failures["error"] = "the server went away"
            case events.NonFatalError():
                outcome.failures[f"{event.label}: error"] = repr(event.value)
            case events.FatalError():
                outcome.failures["error"] = repr(event.exception)
            case _:
                pass
        if pace is not None and pace.is_over:
            running.stop()
    return outcome


def _keep_to(pace: Pace, event: events.ScenarioFinished) -> None:
    match event.phase:
        case PhaseName.COVERAGE:
            pace.covered(event.elapsed_time)
        case PhaseName.FUZZING:
            pace.turn_done(len(event.recorder.interactions), event.elapsed_time)
        case _:
            pace.sequence_done(event.elapsed_time)


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
