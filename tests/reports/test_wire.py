"""A report on the wire, and as it was stored."""

import json

from server.reports.wire import PlanFactView
from tests.report_files.subjects import subject


def test_a_report_that_was_stored_before_there_were_reasons_is_read() -> None:
    older = json.loads(subject().report.model_dump_json())
    for stop in older["stops"]:
        del stop["unknown_reason"]

    read = PlanFactView.model_validate_json(json.dumps(older))

    assert {stop.unknown_reason for stop in read.stops} == {None}
