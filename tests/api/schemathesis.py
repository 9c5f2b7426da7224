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
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from server.app import ENDPOINTS, api_document
from server.corrections.model import Field
from server.credentials.model import Kind, Role
from server.kit import tokens
from server.kit.wire import rfc3339
from tests.api import hooks, preparing
from tests.api.fuzzing import EFFORTS, SEED, Effort, Outcome, fuzz
from tests.api.pace import Pace
from tests.api.people import CALLERS, People, may_call, people_of
from tests.api.preparing import Asking
from tests.api.samples import UUID_OF_NOTHING
from tests.conftest import DSN_KEY, Cluster
from tests.proofs import FOLDER, Report, Row, ended, size
from tests.running import Demo, demo

LOG_OUT: Final = "close_session"
"""Tried with a session of its own: everything after it would only be a 401."""
RULES: Final = "set_log_in_rules"
ENDINGS: Final = (
    *("step_up", "end_session", "end_other_sessions", "end_sessions_of", RULES),
    *("change_password", "report_own_lost_phone", LOG_OUT),
)
"""These prove or end sessions, or let nobody of the staff do anything else."""
BY_OTHERS: Final = (preparing.REFUSED, preparing.WAIVED)
"""Tried by drivers of whom nothing else is asked."""
LEAVING: Final = ("offboard_driver", "take_driver_back")
"""In this order, when nobody needs the driver any more."""
# Tried first and one by one, each from the state that the one before leaves behind.
IN_ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    Role.DRIVER: (
        *("pause_shift", "resume_shift", "end_shift"),
        *("disable_own_account", "enable_own_account", "start_shift"),
        *("withdraw_consent", "decide_consent", "ask_for_erasure"),
    ),
    Role.DISPATCHER: (
        *("begin_second_factor", "confirm_second_factor"),
        *("renew_recovery_codes", "remove_second_factor"),
    ),
    Role.MAIN_USER: (
        *("cancel_controller_change", "announce_controller_change"),
        *("ask_for_closing", "keep_company_open"),
    ),
}
KNOWN: Final = (
    *("driver_id", "vehicle_id", "route_id", "stop_id", "link_id", "request_id"),
    *("record_id", "notice_id", "change_id", "alert_id", "disclosure_id", "incident_id"),
    *("export_id", "hold_id", "person_request_id"),
)
LAST: Final = "dispute_attestation"
"""It takes back what all the others need."""
REGISTERS: Final = {
    "disclosure_id": {
        "release_disclosure": "releasable",
        "refuse_disclosure": "refusable",
        "cancel_disclosure": "cancellable",
    },
    "incident_id": {
        "note_authority_notified": "notifiable",
        "close_incident": "closable",
        "dismiss_incident": "dismissable",
    },
}
"""Of what each act wants one for itself: it does so once."""
BLOCKING: Final = ("block_driver", "unblock_driver")
BY_NAME: Final = {one.name: one for one in ENDPOINTS}
CONTROL: Final = "get_route"
AGAIN: Final = Effort(examples=25, phases=("fuzzing",), every_operation=False)
AGAIN_MAX: Final = 4
"""How often operations are drawn for anew of which no case was answered 2xx: what a short run draws
is partly luck."""


def hour_before(at: datetime) -> dict[str, str]:
    return {"from": rfc3339(at - timedelta(hours=1)), "to": rfc3339(at)}


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
    hooks.past.update(hour_before(served.clock()))
    hooks.in_paths |= {
        name: {parameter: things[f"{what}_{parameter}"]}
        for parameter, acts in REGISTERS.items()
        for name, what in acts.items()
    }
    if caller == Role.DRIVER:
        withdrawn = {"clarification_id": things["withdrawn_clarification_id"]}
        hooks.in_paths["withdraw_clarification"] = withdrawn
        hooks.in_paths["acknowledge_device_notice"] = {"device_id": things["device_id"]}
    else:
        hooks.things["driver_id"].append(things["spare_driver_id"])
        lasting = {"driver_id": things["lasting_driver_id"]}
        hooks.in_paths.update(dict.fromkeys((*BLOCKING, "report_lost_phone"), lasting))
        leaving = {"driver_id": things["leaving_driver_id"]}
        hooks.in_paths.update(dict.fromkeys(LEAVING, leaving))
        answered = {"clarification_id": things["answered_clarification_id"]}
        hooks.in_paths["answer_clarification"] = answered
        waiting = {"person_request_id": things["person_request_id"]}
        hooks.in_paths["answer_person_request"] = waiting
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
        hooks.in_paths["release_hold"] = {"hold_id": things["releasable_hold_id"]}
        colleague = str(people.member_ids[Role.DISPATCHER])
        hooks.in_paths["remove_second_factor_of"] = {"member_id": colleague}
        hooks.in_paths["end_sessions_of"] = {"member_id": things["member_id"]}
        hooks.in_paths["create_link"] = {name: things[name] for name in ("route_id", "stop_id")}
    hooks.invitation["code"] = people.things["code"]
    hooks.contact_code["code"] = people.things["contact_code"]
    hooks.in_paths["confirm_contact"] = {"field": Field.EMAIL}
    login, password = served.company.dispatcher_login, served.company.dispatcher_password
    hooks.log_in.update(login=login, password=password)
    hooks.own["password"] = served.company.drivers[0].password


async def try_all(
    served: Demo,
    people: People,
    others: Mapping[str, Asking],
    caller: str,
    effort: Effort,
    pace: Pace,
) -> Outcome:
    """Try what the caller tries: first what depends on an order, logging out at last."""
    names = operations_of(caller, effort)
    first = [[name] for name in IN_ORDER.get(caller, ()) if name in names]
    rest = [
        name
        for name in names
        if [name] not in first and name not in {LAST, *LEAVING, *ENDINGS, *BY_OTHERS}
    ]
    outcome = Outcome()
    ends: tuple[str, ...] = (*LEAVING, LAST)
    last = [[name] for name in ends if name in names]
    groups = [*first, rest, *last]

    async def fuzzed(token: str | None, operations: Sequence[str]) -> Outcome:
        return await asyncio.to_thread(
            fuzz, served.url, token, effort, operations=operations, pace=pace
        )

    for operations in groups:
        outcome.add(await fuzzed(people.tokens.get(caller), operations))
        if operations is rest:
            await _try_again(served, people, caller, outcome, rest)
    for name in (*ENDINGS, *BY_OTHERS):
        if name not in names:
            continue
        token = people.tokens.get(caller)
        if name in BY_OTHERS and caller == Role.DRIVER:
            token = others[name].token
        elif caller in people.member_ids:
            token, session_id = await preparing.proven(served, people, caller)
            hooks.in_paths["end_session"] = {"session_id": session_id}
        closing = await fuzzed(token, [name])
        closing.turned_away.clear()  # the first of its cases ended the session
        outcome.add(closing)
        if name == RULES:
            await preparing.ask_for_no_second_factor(served, people)
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
    others = await preparing.asking(served)
    given = await preparing.given(served)
    hooks.forgotten.update(await preparing.forgotten(served, people))
    hooks.makes.update(link=await preparing.packed(served, people), now=served.clock)
    tried: set[str] = set()
    succeeded: set[str] = set()
    for caller in CALLERS:
        introduce(served, people, caller)
        hooks.in_paths |= {name: {"request_id": one.request_id} for name, one in others.items()}
        hooks.in_paths["read_disclosure_file"] = {"disclosure_id": given}
        if caller == Role.MAIN_USER:
            await preparing.with_second_factors(served, people)
        async with preparing.closing(served, people, caller):
            outcome = await try_all(served, people, others, caller, effort, pace)
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
    token, _ = await preparing.proven(served, people, Role.DISPATCHER)
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
