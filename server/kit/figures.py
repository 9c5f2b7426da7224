"""Figures of several processes as one.

Not by the multiprocess mode of prometheus_client: that one counts in files mapped into memory,
and a full disk then ends the process that counts. Here each process counts as if it were alone,
and tells its figures when it is asked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Family: TypeAlias = tuple[str, str, str, Sequence[tuple[str, dict[str, str], float]]]
"""Name, meaning, type, and samples: name, labels, value. Plain, so that it can be JSON."""
Labels: TypeAlias = tuple[tuple[str, str], ...]

OF_ONE_PROCESS: Final = ("process_", "python_")
"""Memory, files, garbage: told of each process, under its name."""
COUNTED: Final = frozenset({"counter", "histogram", "summary"})
"""What goes up only, so that it stays when its process ends."""


def told(registry: CollectorRegistry) -> list[Family]:
    """Return what this process tells of itself."""
    return [
        (
            family.name,
            family.documentation,
            family.type,
            [(sample.name, sample.labels, sample.value) for sample in family.samples],
        )
        for family in registry.collect()
    ]


@dataclass(slots=True)
class _Sum:
    meaning: str
    kind: str
    values: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def add(self, name: str, labels: Labels, value: float) -> None:
        before = self.values.get((name, labels))
        if before is None:
            self.values[name, labels] = value
        elif name.endswith("_created"):
            self.values[name, labels] = min(before, value)
        else:
            self.values[name, labels] = before + value


class Figures(Collector):
    """What every process told last, and what those that ended had counted by then."""

    def __init__(self) -> None:
        self._told: dict[str, Sequence[Family]] = {}
        self._ended: dict[str, _Sum] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def tell(self, process: str, families: Sequence[Family]) -> None:
        """Take what a process told of itself, in place of what it told before."""
        self._told[process] = families

    def end(self, process: str) -> None:
        """Keep what a process had counted; its successor begins at nothing."""
        _add_all(
            self._ended,
            process,
            (
                family
                for family in self._told.pop(process, ())
                if family[2] in COUNTED and not family[0].startswith(OF_ONE_PROCESS)
            ),
        )

    def collect(self) -> Iterable[Metric]:
        sums: dict[str, _Sum] = {}
        for name, ended in self._ended.items():
            sums[name] = _Sum(ended.meaning, ended.kind, dict(ended.values))
        for process, families in self._told.items():
            _add_all(sums, process, families)
        for name, found in sums.items():
            metric = Metric(name, found.meaning, found.kind)
            for (sample, labels), value in found.values.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)


def _add_all(sums: dict[str, _Sum], process: str, families: Iterable[Family]) -> None:
    for name, meaning, kind, samples in families:
        into = sums.setdefault(name, _Sum(meaning, kind))
        whose = (("process", process),) if name.startswith(OF_ONE_PROCESS) else ()
        for sample, labels, value in samples:
            into.add(sample, (*labels.items(), *whose), value)
