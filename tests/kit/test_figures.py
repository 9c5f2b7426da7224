"""Figures of several processes: added up, and never less than before."""

import json
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from server.kit.figures import Figures, told
from server.kit.ops import Metrics

ASKED = ("jolda_http_requests_total", (("endpoint", "e"), ("method", "GET"), ("status", "2xx")))
SLOWER = "jolda_http_request_seconds_bucket"


def counted(times: int, seconds: float = 0.02) -> Metrics:
    metrics = Metrics()
    observe = metrics.observer("e", "GET")
    for _ in range(times):
        observe(200, seconds)
    return metrics


def over_the_line(metrics: Metrics) -> Any:
    return json.loads(json.dumps(told(metrics.registry)))


def samples(figures: Figures) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(figures.text().decode())
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def test_counts_and_histograms_of_all_are_added_up() -> None:
    figures = Figures()
    figures.tell("worker-1", over_the_line(counted(3, 0.02)))
    figures.tell("worker-2", over_the_line(counted(4, 0.2)))

    found = samples(figures)

    assert found[ASKED] == 7
    by_limit = {
        dict(labels)["le"]: value for (name, labels), value in found.items() if name == SLOWER
    }
    assert (by_limit["0.01"], by_limit["0.025"], by_limit["0.25"], by_limit["+Inf"]) == (0, 3, 7, 7)
    (total,) = [value for (name, _), value in found.items() if name.endswith("_seconds_sum")]
    assert abs(total - 0.86) < 1e-9


def test_what_is_told_again_takes_the_place_of_what_was_told_before() -> None:
    figures = Figures()
    figures.tell("worker-1", over_the_line(counted(3)))
    figures.tell("worker-1", over_the_line(counted(5)))

    assert samples(figures)[ASKED] == 5


def test_what_a_process_counted_stays_when_it_ends_and_its_successor_adds_to_it() -> None:
    figures = Figures()
    for times in (3, 4, 5):
        figures.tell("worker-1", over_the_line(counted(times)))
        figures.end("worker-1")
    figures.tell("worker-1", over_the_line(counted(1)))

    assert samples(figures)[ASKED] == 13


def test_memory_and_files_are_told_of_each_process_and_not_of_one_that_ended() -> None:
    figures = Figures()
    for name in ("worker-1", "worker-2"):
        figures.tell(name, over_the_line(counted(1)))
    figures.end("worker-2")

    names = {
        dict(labels)["process"]
        for name, labels in samples(figures)
        if name == "process_resident_memory_bytes"
    }
    assert names == {"worker-1"}


def test_what_can_fall_is_added_up_over_those_who_live() -> None:
    figures = Figures()
    for name, value in (("worker-1", 3.0), ("worker-2", 4.0)):
        registry = CollectorRegistry()
        Gauge("jolda_waiting", "Waiting now.", registry=registry).set(value)
        figures.tell(name, told(registry))
    assert samples(figures)["jolda_waiting", ()] == 7

    figures.end("worker-1")

    assert samples(figures)["jolda_waiting", ()] == 4


def test_a_counter_is_as_old_as_the_first_that_counted() -> None:
    figures = Figures()
    first, second = counted(1), counted(1)
    begun = [
        value
        for metrics in (first, second)
        for _, _, _, family in told(metrics.registry)
        for name, _, value in family
        if name == "jolda_http_requests_created"
    ]
    figures.tell("worker-1", told(second.registry))
    figures.tell("worker-2", told(first.registry))

    found = [
        value
        for (name, _), value in samples(figures).items()
        if name == "jolda_http_requests_created"
    ]
    assert found == [min(begun)]
