"""Proof: the served API does what its OpenAPI document says, for every kind of caller."""

import asyncio
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from copy import deepcopy
from pathlib import Path
from typing import Final

from server.app import ENDPOINTS, api_document
from server.credentials.model import Kind, Role
from server.kit import tokens
from tests.api import hooks
from tests.api.fuzzing import EFFORTS, SEED, Effort, Outcome, fuzz
from tests.api.pace import Pace
from tests.api.people import CALLERS, People, fresh_session, may_call, people_of
from tests.api.samples import UUID_OF_NOTHING
from tests.conftest import DSN_KEY, Cluster
from tests.proofs import FOLDER, Report, Row, ended, size
from tests.running import Demo, demo

LOG_OUT: Final = "close_session"
"""Tried with a session of its own: everything after it would only be a 401."""
# Tried first and one by one, each from the state that the one before leaves behind.
IN_ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    Role.DRIVER: (
        *("pause_shift", "resume_shift", "end_shift", "start_shift"),
        *("withdraw_consent", "decide_consent", "ask_for_erasure"),
    ),
    Role.MAIN_USER: ("cancel_controller_change", "announce_controller_change"),
}
KNOWN: Final = (
    *("driver_id", "vehicle_id", "route_id", "stop_id", "link_id", "request_id"),
    *("record_id", "notice_id", "change_id", "alert_id"),
)
LAST: Final = "dispute_attestation"
"""It takes back what all the others need."""
BLOCKING: Final = ("block_driver", "unblock_driver")
BY_NAME: Final = {one.name: one for one in ENDPOINTS}
CONTROL: Final = "get_route"
AGAIN: Final = Effort(examples=25, phases=("fuzzing",), every_operation=False)
AGAIN_MAX: Final = 4
"""How often operations are drawn for anew of which no case was answered 2xx: what a short run draws
is partly luck."""


def operations_of(caller: str, effort: Effort) -> list[str]:
    """Return what this caller tries: everything, or what nobody lesser may call."""
    lesser = CALLERS[: CALLERS.index(caller)]
    return [
        one.name
        for one in ENDPOINTS
        if effort.every_operation
        or (may_call(one, caller) and not any(may_call(one, other) for other in lesser))
    ]


def introduce(served: Demo, people: People, caller: str) -> None:
    """Tell the hooks which ids the caller may know, a login with its password, an invitation."""
    hooks.things.update({name: [people.things[name]] for name in KNOWN})
    things = people.things
    hooks.in_paths.clear()
    hooks.in_paths["read_tracked"] = {"token": things["token"]}
    if caller == Role.DRIVER:
        withdrawn = {"clarification_id": things["withdrawn_clarification_id"]}
        hooks.in_paths["withdraw_clarification"] = withdrawn
        hooks.in_paths["acknowledge_device_notice"] = {"device_id": things["device_id"]}
    else:
        hooks.things["driver_id"].append(things["spare_driver_id"])
        lasting = {"driver_id": things["lasting_driver_id"]}
        hooks.in_paths.update(dict.fromkeys(BLOCKING, lasting))
        answered = {"clarification_id": things["answered_clarification_id"]}
        hooks.in_paths["answer_clarification"] = answered
        alone, entrusted = things["minor_driver_id"], things["entrusted_driver_id"]
        hooks.in_paths["record_guardian_consent"] = {"driver_id": alone}
        hooks.in_paths["revoke_guardian_consent"] = {"driver_id": entrusted}
        hooks.in_paths["invite_driver_again"] = {"driver_id": things["invited_driver_id"]}
        hooks.in_paths |= {
            "edit_route": {"route_id": things["spare_route_id"]},
            "assign_route": {"route_id": things["spare_route_id"]},
            "cancel_route": {"route_id": things["cancelled_route_id"]},
            "delete_route": {"route_id": things["mistaken_route_id"]},
            "recompute_plan_fact": {"route_id": things["over_route_id"]},
        }
        hooks.in_paths["create_link"] = {name: things[name] for name in ("route_id", "stop_id")}
    hooks.invitation["code"] = people.things["code"]
    login, password = served.company.dispatcher_login, served.company.dispatcher_password
    hooks.log_in.update(login=login, password=password)


async def try_all(served: Demo, people: People, caller: str, effort: Effort, pace: Pace) -> Outcome:
    """Try what the caller tries: first what depends on an order, logging out at last."""
    names = operations_of(caller, effort)
    first = [[name] for name in IN_ORDER.get(caller, ()) if name in names]
    rest = [name for name in names if [name] not in first and name not in {LAST, LOG_OUT}]
    outcome = Outcome()
    groups = [*first, rest, *([[LAST]] if LAST in names else [])]

    async def fuzzed(token: str | None, operations: Sequence[str]) -> Outcome:
        return await asyncio.to_thread(
            fuzz, served.url, token, effort, operations=operations, pace=pace
        )

    for operations in groups:
        outcome.add(await fuzzed(people.tokens.get(caller), operations))
        if operations is rest:
            await _try_again(served, people, caller, outcome, rest)
    if LOG_OUT in names:
        token = people.tokens.get(caller)
        if caller in people.member_ids:
            token = await fresh_session(served, people, caller)
        closing = await fuzzed(token, [LOG_OUT])
        closing.turned_away.clear()  # the first of its cases logged out
        outcome.add(closing)
    return outcome


async def _try_again(
    served: Demo, people: People, caller: str, outcome: Outcome, names: Sequence[str]
) -> None:
    """Draw other cases for what never succeeded and is this caller's to do."""
    own = operations_of(caller, AGAIN)
    token = people.tokens.get(caller)
    for number in range(1, AGAIN_MAX + 1):
        missing = sorted(set(names) & set(own) - outcome.succeeded)
        if missing:
            further = SEED + number
            outcome.add(
                await asyncio.to_thread(
                    fuzz, served.url, token, AGAIN, operations=missing, seed=further
                )
            )


def pace_of(effort: Effort) -> Pace:
    turns = sum(len(operations_of(caller, effort)) for caller in CALLERS)
    return Pace(turns=turns, examples_max=effort.examples)


async def prove(served: Demo, effort: Effort, pace: Pace) -> Report:
    report = Report(name="schemathesis")
    people = await people_of(served, served.company)
    tried: set[str] = set()
    succeeded: set[str] = set()
    for caller in CALLERS:
        introduce(served, people, caller)
        outcome = await try_all(served, people, caller, effort, pace)
        tried |= outcome.operations
        succeeded |= outcome.succeeded
        _say(report, caller, outcome)
    pace.end()
    missing = sorted(BY_NAME.keys() - tried)
    report.add(_none("operations not tried", len(missing), note=", ".join(missing)))
    missing = sorted(BY_NAME.keys() - succeeded)
    report.add(_none("operations that never answered 2xx", len(missing), note=", ".join(missing)))
    await _controls(report, served, people, effort)
    _say_pace(report, pace)
    return report


async def _controls(report: Report, served: Demo, people: People, effort: Effort) -> None:
    """Show that a wrong document is found, and a caller whom nothing lets in."""
    lying = deepcopy(dict(api_document()))
    one = BY_NAME[CONTROL]
    del lying["paths"][one.path][one.method.lower()]["responses"]["404"]
    token = people.tokens["dispatcher"]
    found = await asyncio.to_thread(
        fuzz, served.url, token, effort, operations=[CONTROL], document=lying
    )
    report.add(_some("control: failures, 404 left out of the document", len(found.failures)))
    nobody, _ = tokens.mint(Kind.SESSION, people.company_id)
    found = await asyncio.to_thread(fuzz, served.url, nobody, effort, operations=[CONTROL])
    report.add(_some("control: turned away, unknown session", found.turned_away.total()))
    hooks.in_paths.update({name: {"driver_id": UUID_OF_NOTHING} for name in BLOCKING})
    found = await asyncio.to_thread(fuzz, served.url, token, effort, operations=BLOCKING)
    without = len(set(BLOCKING) - found.succeeded)
    report.add(_some("control: operations without 2xx, unknown driver", without))


def _say(report: Report, caller: str, outcome: Outcome) -> None:
    classes: Counter[str] = Counter()
    for (_, status), number in outcome.answers.items():
        classes[f"{status // 100}xx"] += number
    told = ", ".join(f"{number} {name}" for name, number in sorted(classes.items()))
    report.add(Row(figure=f"cases as {caller}", value=outcome.cases, note=told))
    report.add(_none(f"failures as {caller}", len(outcome.failures)))
    # A caller who was logged out on the way proves nothing more.
    away = sum(
        number
        for name, number in outcome.turned_away.items()
        if BY_NAME[name].access.security() and may_call(BY_NAME[name], caller)
    )
    report.add(_none(f"turned away as {caller}", away))
    for name, said in outcome.failures.items():
        sys.stdout.write(f"\n## {caller}: {name}\n{said}\n")


def _say_pace(report: Report, pace: Pace) -> None:
    """Say how much was tried in the time; fewer cases than the floor are a run without an end."""
    report.add(
        _none(
            "turns (an operation as a caller) not done before the time was over",
            pace.turns_left,
            note=f"of {pace.turns}; {pace.took_s:.0f} s of at most {pace.bound_s:.0f}",
        )
    )
    note = f"at most {pace.examples_max}; those that cover the description come on top"
    figure = "generated cases that a turn was allowed, at the fewest"
    report.add(Row(figure=figure, value=pace.fewest, note=note))


def _none(figure: str, value: int, *, note: str = "") -> Row:
    return Row(figure=figure, value=value, target="= 0", met=value == 0, note=note)


def _some(figure: str, value: int) -> Row:
    return Row(figure=figure, value=value, target="> 0", met=value > 0, control=value)


async def _served(dsn: str, effort: Effort, pace: Pace) -> Report:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jolda-api-")))
        served = await stack.enter_async_context(demo(dsn, folder, driving=False, speed=1.0))
        return await prove(served, effort, pace)


def main() -> int:
    effort = EFFORTS[size()]
    pace = pace_of(effort)
    hooks.register()
    # The server lives in this process and may use random while schemathesis draws.
    warnings.filterwarnings("ignore", message="Do not use the `random` module")
    cluster = None
    if DSN_KEY in os.environ:  # of the tests that run this
        dsn = os.environ[DSN_KEY]
    else:
        cluster = Cluster()
        dsn = cluster.start()
    try:
        report = asyncio.run(_served(dsn, effort, pace))
    finally:
        if cluster is not None:
            cluster.stop()
    status = ended(report, Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    sys.stdout.write(f"{pace.told()}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
