"""What is measured where: cells of step and noise, and one figure of a cell."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from bench.geo.phone import Phone, phone

STEPS_S: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0)
SIGMAS_M: Final = (5.0, 10.0, 20.0, 30.0)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A phone: seconds between fixes, standard deviation of a coordinate, kind of noise."""

    step_s: float
    sigma_m: float
    noise: str = "usual"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read ``STEP,SIGMA`` or ``STEP,SIGMA,NOISE``.

        Raises
        ------
        ValueError
            If it is neither.
        """
        step, sigma, *noise = text.split(",")
        if len(noise) > 1:
            raise ValueError(f"{text} is not STEP,SIGMA,NOISE")
        return cls(float(step), float(sigma), *noise)

    @property
    def phone(self) -> Phone:
        return phone(self.noise, self.step_s, self.sigma_m)

    def __str__(self) -> str:
        kind = "" if self.noise == "usual" else f", {self.noise}"
        return f"{self.step_s:g} s, sigma {self.sigma_m:g}{kind}"


GRID: Final = tuple(Cell(step_s, sigma_m) for step_s in STEPS_S for sigma_m in SIGMAS_M)
"""The 24 cells of the scoreboard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure, of a cell or (None) of something that has none. NaN = not measured."""

    name: str
    value: float
    cell: Cell | None = None
    unit: str = ""
    baseline: float | None = None
    note: str = ""

    @property
    def figure(self) -> str:
        return self.name if self.cell is None else f"{self.name}, {self.cell}"


def generator(seed: int, *words: object) -> np.random.Generator:
    """Return the generator for one day of one cell: the same in every run and every process."""
    name = "/".join(str(word) for word in words)
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` per cent do not exceed; NaN of none."""
    return float(np.percentile(values, share)) if len(values) else float("nan")


def mean(values: Iterable[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


@dataclass(slots=True)
class Hits:
    """How many were found rightly, wrongly and not at all."""

    right: int = 0
    wrong: int = 0
    overlooked: int = 0

    def add(self, other: "Hits") -> None:
        self.right += other.right
        self.wrong += other.wrong
        self.overlooked += other.overlooked

    @property
    def precision(self) -> float:
        """NaN where nothing was found."""
        return _share(self.right, self.wrong)

    @property
    def recall(self) -> float:
        """NaN where there was nothing to find."""
        return _share(self.right, self.overlooked)

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return _share(2 * self.right, self.wrong + self.overlooked)


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else float("nan")
