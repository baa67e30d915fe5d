"""A parameter of a sweep: a range or a list of values for one of a recipe's keys, and where it was typed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedrun.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_DIGITS = 3
"""Significant digits of a value between the ends of a range: more would suggest a precision that no sweep has."""


@dataclass(frozen=True)
class Setting:
    """A `--set KEY=VALUE` as it was typed, for messages that point into it."""

    text: str

    @property
    def key(self) -> str:
        return self.text.partition("=")[0].strip()

    @property
    def value(self) -> str:
        return self.text.partition("=")[2]

    @property
    def start(self) -> int:
        """Where the value begins in the text, from 0."""
        return len(self.text) - len(self.value)

    def error(self, message: str, at: int = 0) -> UserError:
        """Return the error about what stands so many characters into the value."""
        return UserError(f"--set '{self.text}', column {self.start + at + 1}: {message}")


@dataclass(frozen=True)
class Choice:
    """A value that a list names, as it was typed, and where it stands in the setting's value."""

    text: str
    at: int


@dataclass(frozen=True)
class Choices:
    """Values to choose from."""

    setting: Setting
    choices: tuple[Choice, ...]

    @property
    def key(self) -> str:
        return self.setting.key

    @property
    def count(self) -> int | None:
        return len(self.choices)

    def values(self) -> Iterator[Any]:
        """Yield all parameters that there are."""
        yield from (choice.text for choice in self.choices)

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution([choice.text for choice in self.choices])

    def samples(self) -> Iterator[tuple[Any, int]]:
        """Yield values that the recipe must take, each with its place in the setting's value."""
        yield from ((choice.text, choice.at) for choice in self.choices)

    def override(self, param: Any) -> Any:
        """Return what `--set` gets for a parameter's value."""
        return param

    def param(self, value: Any, taken: Sequence[Any]) -> Any:
        """Return the parameter of a recipe's value, None where it is not in the list.

        `taken` is what each of the samples is once a recipe was read with it.
        """
        alike = (choice.text for choice, read in zip(self.choices, taken, strict=True) if read == value)
        return next(alike, None)

    def described(self) -> str:
        return ", ".join(choice.text for choice in self.choices)


@dataclass(frozen=True)
class NumberRange:
    """Numbers between two others, both ends included; whole ones where both ends are whole."""

    setting: Setting
    low: float
    high: float
    high_at: int
    log: bool = False
    step: float | None = None

    @property
    def key(self) -> str:
        return self.setting.key

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int)

    @property
    def count(self) -> int | None:
        """How many values there are; None where that is any number."""
        if self.step is None:
            return int(self.high - self.low) + 1 if self.whole else None
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def values(self) -> Iterator[Any]:
        yield from (self.low + number * (self.step or 1) for number in range(self.count or 0))

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def samples(self) -> Iterator[tuple[Any, int]]:
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        yield self.low, 0
        yield self.high, self.high_at
        if self.step is None:
            yield self.override(round(middle) if self.whole else middle), 0

    def override(self, param: Any) -> Any:
        if self.whole:
            return int(param)
        return min(max(float(f"{param:.{_DIGITS}g}"), self.low), self.high)

    def param(self, value: Any, taken: Sequence[Any]) -> Any:
        del taken
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high or (self.whole and value != int(value)):
            return None
        steps = (value - self.low) / self.step if self.step else 0
        return value if abs(steps - round(steps)) < 1e-9 else None  # noqa: PLR2004 - rounding

    def described(self) -> str:
        words = [f"{self.low:g} to {self.high:g}", "whole" if self.whole else "", "log" if self.log else ""]
        return ", ".join([*filter(None, words), *([f"step {self.step:g}"] if self.step else [])])


Parameter = Choices | NumberRange
