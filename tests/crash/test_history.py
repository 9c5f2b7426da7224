"""The checker itself: a history with one fault is named for it, and one without is not."""

from uuid import UUID

import numpy as np

from tests.crash.history import (
    COLUMNS,
    Fault,
    Fixes,
    Life,
    Stop,
    StopKind,
    Told,
    Try,
    Upload,
    Verdict,
    judge,
)

DRIVER = UUID(int=7)
OK = Try(1_000, 1_010, Told.OK)
UNKNOWN = Try(1_000, 1_010, Told.UNKNOWN)
NOTHING = Try(1_000, 1_010, Told.NOTHING)


def fixes(*times_ms: int, lat: float = 43.2381234) -> Fixes:
    values = np.tile(np.array([lat, 76.9, 5.0, 9.25, 90.5, 750.5, 80])[:, None], len(times_ms))
    return Fixes(np.array(times_ms, np.int64), values)


def found(read: Fixes, *uploads: Upload, stops: tuple[Stop, ...] = ()) -> Verdict:
    return judge([(Life(DRIVER, list(uploads), list(stops)), read)])


def test_what_was_acknowledged_and_is_there_once_is_no_fault() -> None:
    verdict = found(fixes(1, 2, 3), Upload(fixes(1, 2), [OK]), Upload(fixes(3), [UNKNOWN, OK]))

    assert not verdict.faults
    assert (verdict.acknowledged, verdict.read, verdict.unknown) == (3, 3, 0)


def test_an_acknowledged_position_that_is_not_there_is_lost() -> None:
    verdict = found(fixes(1), Upload(fixes(1, 2), [OK]))

    assert verdict.faults == {Fault.LOST: 1}
    assert verdict.examples == {Fault.LOST: [f"{DRIVER} at 2"]}


def test_a_position_that_is_read_twice_is_doubled() -> None:
    assert found(fixes(1, 2, 2), Upload(fixes(1, 2), [OK])).faults == {Fault.DOUBLED: 1}


def test_a_position_that_reads_otherwise_is_altered() -> None:
    verdict = found(fixes(1, lat=43.2381235), Upload(fixes(1), [OK]))

    assert verdict.faults == {Fault.ALTERED: 1}


def test_what_was_not_acknowledged_is_there_wholly_or_not_at_all() -> None:
    upload = Upload(fixes(1, 2), [UNKNOWN, NOTHING])

    assert not found(fixes(), upload).faults
    assert not found(fixes(1, 2), upload).faults
    assert found(fixes(2), upload).faults == {Fault.PARTLY: 1}


def test_near_a_stop_a_part_may_be_there() -> None:
    stop = Stop(StopKind.PAUSE, asked_ms=900, from_ms=2_000, until_ms=3_000, again_ms=3_500)
    near = Upload(fixes(1_001, 1_002), [UNKNOWN])
    until_it_is_over = Upload(fixes(3_400, 3_600), [Try(3_650, 3_700, Told.UNKNOWN)])
    after = Upload(fixes(3_501, 3_600), [Try(3_650, 3_700, Told.UNKNOWN)])

    assert not found(fixes(1_001), near, stops=(stop,)).faults
    assert not found(fixes(3_600), until_it_is_over, stops=(stop,)).faults
    assert found(fixes(3_600), after, stops=(stop,)).faults == {Fault.PARTLY: 1}


def test_what_nobody_sent_or_was_refused_may_not_be_there() -> None:
    told = Try(1_000, 1_010, Told.OK, frozenset({1}))

    assert found(fixes(1, 5), Upload(fixes(1), [OK])).faults == {Fault.INVENTED: 1}
    assert found(fixes(1, 2), Upload(fixes(1, 2), [told])).faults == {Fault.INVENTED: 1}
    assert found(fixes(1), Upload(fixes(1), [NOTHING])).faults == {Fault.INVENTED: 1}
    assert found(fixes(5)).faults == {Fault.INVENTED: 1}
    assert not found(fixes(1, 2), Upload(fixes(1, 2), [UNKNOWN, told])).faults


def test_a_position_of_a_closed_window_is_a_fault_and_one_from_before_it_is_not() -> None:
    pause = Stop(StopKind.PAUSE, asked_ms=100, from_ms=110, until_ms=200, again_ms=200)
    upload = Upload(fixes(105, 150, 205), [Try(300, 310, Told.OK)])

    verdict = found(fixes(105, 150, 205), upload, stops=(pause,))

    assert verdict.faults == {Fault.CLOSED: 1}
    assert verdict.examples == {Fault.CLOSED: [f"{DRIVER} at 150"]}


def test_what_is_first_sent_after_a_withdrawal_and_was_recorded_before_is_late() -> None:
    withdrawal = Stop(StopKind.WITHDRAW, asked_ms=100, from_ms=110, until_ms=200, again_ms=200)
    sent_before = Upload(fixes(50), [Try(90, 120, Told.OK)])
    sent_after = Upload(fixes(60), [Try(120, 130, Told.OK)])
    given_again = Upload(fixes(300), [Try(301, 302, Told.OK)])

    verdict = found(fixes(50, 60, 300), sent_before, sent_after, given_again, stops=(withdrawal,))

    assert verdict.faults == {Fault.LATE: 1}
    assert verdict.examples == {Fault.LATE: [f"{DRIVER} at 60"]}


def test_what_could_not_be_read_when_a_withdrawal_was_answered_is_late() -> None:
    seen = frozenset({50})
    stop = Stop(
        StopKind.WITHDRAW, asked_ms=100, from_ms=110, until_ms=200, again_ms=200, seen_ms=seen
    )
    under_way = Upload(fixes(50, 60), [Try(90, 500, Told.OK)])

    verdict = found(fixes(50, 60), under_way, stops=(stop,))

    assert verdict.faults == {Fault.LATE: 1}
    assert verdict.examples == {Fault.LATE: [f"{DRIVER} at 60"]}


def test_what_retention_took_is_not_lost() -> None:
    life = Life(DRIVER, [Upload(fixes(1, 2), [OK])])

    assert not judge([(life, fixes(2))], forgotten_before_ms=2).faults
    assert judge([(life, fixes())], forgotten_before_ms=2).faults == {Fault.LOST: 1}


def test_what_is_kept_too_long_is_a_fault() -> None:
    life = Life(DRIVER, [Upload(fixes(1, 2), [OK])])

    verdict = judge([(life, fixes(1, 2))], forgotten_before_ms=3, gone_before_ms=2)

    assert verdict.faults == {Fault.KEPT: 1}


def test_every_column_is_compared() -> None:
    sent = Upload(fixes(1), [OK])
    for row in range(len(COLUMNS)):
        other = fixes(1)
        other.values[row] += 1

        assert found(other, sent).faults == {Fault.ALTERED: 1}
