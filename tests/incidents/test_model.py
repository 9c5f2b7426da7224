"""States and clocks of incidents."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from server.credentials.model import Role
from server.disclosures.model import Category
from server.incidents.model import (
    TRANSITIONS,
    Act,
    Advice,
    Cause,
    Clock,
    Consequence,
    Counts,
    Incident,
    IncidentActRefused,
    IncidentSourceInvalid,
    IncidentSpanInvalid,
    IncidentUnfinished,
    Running,
    Scope,
    Source,
    State,
    authority_due,
    is_everybody,
    is_overdue,
    is_to_remind,
    list_hash,
    next_state,
    refuse_noticed,
    refuse_unfinished,
    refuse_unfit,
)
from server.kit.ids import uuid7
from tests.world import NOW

ALMATY: Final = ZoneInfo("Asia/Almaty")
BERLIN: Final = ZoneInfo("Europe/Berlin")
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
ALLOWED = {
    (None, "report", "driver"): "open",
    (None, "report", "dispatcher"): "open",
    (None, "report", "main_user"): "open",
    ("open", "assess", "main_user"): "assessed",
    ("assessed", "assess", "main_user"): "assessed",
    ("open", "notify", "main_user"): "open",
    ("assessed", "notify", "main_user"): "assessed",
    ("assessed", "close", "main_user"): "closed",
    ("open", "dismiss", "main_user"): "dismissed",
}
INCIDENT: Final = Incident(
    incident_id=uuid7(),
    state=State.OPEN,
    reported_by=None,
    reported_role=Role.DRIVER,
    noticed_at=NOW,
    recorded_at=NOW,
    authority=Running(due_at=NOW + DAY),
    members=Running(due_at=NOW + 3 * DAY),
    what_sealed=b"",
)
SCOPE: Final = Scope(
    cause=Cause.OTHER,
    source=Source.COMPANY,
    since=NOW - DAY,
    until=NOW,
    categories=(Category.TRACK,),
    consequences=(Consequence.NONE_EXPECTED,),
    advice=(Advice.NOTHING_NEEDED,),
)


@pytest.mark.parametrize(("state", "act", "role"), list(product((None, *State), Act, Role)))
def test_an_incident_changes_as_the_table_says_and_not_otherwise(
    state: State | None, act: Act, role: Role
) -> None:
    expected = ALLOWED.get((state and state.value, act.value, role.value))
    if expected is None:
        with pytest.raises(IncidentActRefused):
            next_state(state, act, role)
    else:
        assert next_state(state, act, role) == expected


def test_the_table_says_nothing_else() -> None:
    assert {(one and one.value, act.value, role.value) for one, act, role in TRANSITIONS} == set(
        ALLOWED
    )


def hours_of_a_year() -> Iterator[datetime]:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return (first + number * HOUR for number in range(366 * 24))


@pytest.mark.proves("qoldau:12")
@pytest.mark.parametrize("zone", [ALMATY, BERLIN])
def test_one_clock_keeps_one_working_day_and_72_hours_at_every_hour_of_a_year(
    zone: ZoneInfo,
) -> None:
    for noticed in hours_of_a_year():
        due = authority_due(noticed, zone)

        local, due_local = noticed.astimezone(zone), due.astimezone(zone)
        assert timedelta(0) < due - noticed <= timedelta(hours=72)
        working = [
            day
            for number in range(1, 4)
            if (day := local.date() + number * DAY).weekday() < 5 and day <= due_local.date()
        ]
        if zone is BERLIN and due - noticed == timedelta(hours=72):
            continue  # in the night of the longer hour, 72 hours end before the working day does
        assert len(working) == 1, noticed
        assert due_local.date() == working[0]


@pytest.mark.parametrize(
    ("noticed", "due"),
    [
        ("2026-11-18T10:00:00+05:00", "2026-11-19T10:00:00+05:00"),
        ("2026-11-20T15:00:00+05:00", "2026-11-23T15:00:00+05:00"),
        ("2026-11-21T09:00:00+05:00", "2026-11-23T09:00:00+05:00"),
        ("2026-11-22T23:30:00+05:00", "2026-11-23T23:30:00+05:00"),
        # In UTC still Thursday, in Almaty Friday.
        ("2026-11-19T20:00:00+00:00", "2026-11-22T20:00:00+00:00"),
    ],
)
def test_the_authority_is_due_at_the_same_time_of_the_next_working_day(
    noticed: str, due: str
) -> None:
    found = authority_due(datetime.fromisoformat(noticed), ALMATY)

    assert found == datetime.fromisoformat(due)


@pytest.mark.parametrize("clock", list(Clock))
def test_a_clock_reminds_once_at_half_and_tells_every_day_once_it_ran_out(clock: Clock) -> None:
    due = INCIDENT.running(clock).due_at
    half = NOW + (due - NOW) / 2
    instant = timedelta(microseconds=1)
    assert not is_to_remind(INCIDENT, clock, half - instant)
    assert is_to_remind(INCIDENT, clock, half)
    assert not is_overdue(INCIDENT, clock, due - instant)
    assert is_overdue(INCIDENT, clock, due)
    told = Running(due_at=due, reminded_at=half, escalated_at=due)
    later = replace(INCIDENT, authority=told, members=told)
    assert not is_to_remind(later, clock, due + DAY)
    assert not is_overdue(later, clock, due + DAY - instant)
    assert is_overdue(later, clock, due + DAY)


def test_a_clock_stops_when_it_is_done() -> None:
    late = NOW + 30 * DAY
    notified = replace(INCIDENT, notified_at=NOW)
    assessed = replace(INCIDENT, state=State.ASSESSED)

    assert not is_overdue(notified, Clock.AUTHORITY, late)
    assert is_overdue(notified, Clock.MEMBERS, late)
    assert is_overdue(assessed, Clock.AUTHORITY, late)
    assert not is_overdue(assessed, Clock.MEMBERS, late)
    for state in (State.CLOSED, State.DISMISSED):
        for clock in Clock:
            assert not is_overdue(replace(INCIDENT, state=state), clock, late)


def test_an_incident_is_closed_when_the_authority_and_everybody_is_told() -> None:
    done = Counts(affected=3, erased=1, told=2, sent=0, seen=0)
    refuse_unfinished(replace(INCIDENT, notified_at=NOW), done)

    with pytest.raises(IncidentUnfinished):
        refuse_unfinished(INCIDENT, done)
    with pytest.raises(IncidentUnfinished):
        refuse_unfinished(replace(INCIDENT, notified_at=NOW), replace(done, told=1))


def test_a_source_names_what_it_is_and_nothing_else() -> None:
    member, token = uuid7(), uuid7()
    for source, member_id, api_token_id in product(Source, (None, member), (None, token)):
        fits = (member_id is not None) is (source is Source.ACCOUNT) and (
            api_token_id is not None
        ) is (source is Source.API_TOKEN)
        scope = replace(SCOPE, source=source, member_id=member_id, api_token_id=api_token_id)
        if fits:
            refuse_unfit(scope, kept_since=NOW - DAY, now=NOW)
        else:
            with pytest.raises(IncidentSourceInvalid):
                refuse_unfit(scope, kept_since=NOW - DAY, now=NOW)


def test_a_span_lies_where_looks_are_still_known() -> None:
    instant = timedelta(microseconds=1)
    for since, until in (
        (NOW - DAY - instant, NOW),
        (NOW - DAY, NOW + instant),
        (NOW, NOW),
        (NOW, NOW - HOUR),
    ):
        with pytest.raises(IncidentSpanInvalid):
            refuse_unfit(replace(SCOPE, since=since, until=until), kept_since=NOW - DAY, now=NOW)
    refuse_noticed(NOW, NOW)
    for at in (NOW + instant, NOW - 366 * DAY):
        with pytest.raises(IncidentSpanInvalid):
            refuse_noticed(at, NOW)


@pytest.mark.parametrize("category", list(Category))
@pytest.mark.parametrize("source", list(Source))
def test_where_looks_are_not_written_down_everybody_counts(
    source: Source, category: Category
) -> None:
    scope = replace(SCOPE, source=source, categories=(Category.TRACK, category))

    written = category in (Category.TRACK, Category.REPORT)
    assert is_everybody(scope) is (
        source is Source.COMPANY or (source is not Source.TRACKS and not written)
    )


def test_a_lists_hash_fits_only_this_list_of_this_incident() -> None:
    company, incident, one, two = (uuid7() for _ in range(4))
    found = list_hash(company, incident, [one, two])

    assert found == list_hash(company, incident, [two, one])
    assert found != list_hash(company, incident, [one])
    assert found != list_hash(company, one, [one, two])
    assert found != list_hash(incident, company, [one, two])
