"""What a sweep tries: a range or a list of values for each of a recipe's keys, as `--set` gives them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedrun.errors import UserError
from embedrun_plugins.cli.trials.parameters import Choice, Choices, NumberRange, Parameter, Setting

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_RANGE = re.compile(r"(?P<low>\S+?)\.\.(?P<high>\S*)(?P<words>.*)", re.DOTALL)
_OPENING, _CLOSING = "[{(", "]})"


@dataclass(frozen=True)
class SearchSpace:
    """The settings that every trial has, and those that trials differ in."""

    fixed: dict[str, str]
    parameters: tuple[Parameter, ...]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> SearchSpace:
        """Read the values of `--set`. Raises UserError with the column of what is wrong."""
        fixed: dict[str, str] = {}
        parameters: dict[str, Parameter] = {}
        for setting in map(Setting, texts):
            if "=" not in setting.text or not setting.key:
                raise UserError(f"--set {setting.text}: must be KEY=VALUE, for example trainer.epochs=1,2,3")
            if setting.key in parameters:
                raise UserError(f"--set '{setting.text}', column 1: '{setting.key}' is set twice")
            parameter = _parameter(setting)
            if parameter is None:
                fixed[setting.key] = setting.value
            else:
                parameters[setting.key] = parameter
        for parameter in parameters.values():
            if parameter.key in fixed:
                raise UserError(f"--set '{parameter.setting.text}', column 1: '{parameter.key}' is set twice")
        return cls(fixed, tuple(parameters.values()))

    @property
    def count(self) -> int | None:
        """How many combinations there are; None where that is any number."""
        counts = [parameter.count for parameter in self.parameters]
        return None if None in counts else math.prod(count or 1 for count in counts)

    def distributions(self) -> dict[str, BaseDistribution]:
        return {parameter.key: parameter.distribution() for parameter in self.parameters}

    def overrides(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return what `--set` gets for a trial's parameters."""
        return {p.key: p.override(params[p.key]) for p in self.parameters if p.key in params}


def _parameter(setting: Setting) -> Parameter | None:
    """Read what is to be tried; None where the setting names a single value."""
    written = setting.value.strip()
    if match := _RANGE.fullmatch(written):
        low, high = match["low"], match["high"]
        if _NUMBER.fullmatch(low) or _NUMBER.fullmatch(high):
            return _range(setting, match, setting.value.index(written))
    choices = list(_choices(setting))
    if len(choices) == 1:
        return None
    texts = [choice.text for choice in choices]
    for number, choice in enumerate(choices):
        if not choice.text:
            raise setting.error("a value is missing between two commas", choice.at)
        if choice.text in texts[:number]:
            raise setting.error(f"'{choice.text}' is listed twice", choice.at)
    return Choices(setting, tuple(choices))


def _range(setting: Setting, match: re.Match[str], start: int) -> NumberRange:
    for end in ("low", "high"):
        if not _NUMBER.fullmatch(match[end]):
            message = f"'{match[end]}' is no number; a range is LOW..HIGH, as in 1e-5..1e-4 log"
            raise setting.error(message, start + match.start(end))
    whole = all(re.fullmatch(r"[-+]?\d+", match[end]) for end in ("low", "high"))
    low, high = (int(match[end]) if whole else float(match[end]) for end in ("low", "high"))
    if not math.isfinite(low) or not math.isfinite(high):
        raise setting.error("a range ends at numbers, not at infinity", start)
    log, step = _options(setting, match, start, whole=whole)
    if low >= high:
        hint = f"; did you mean {match['high']}..{match['low']}?" if low > high else "; give one value"
        raise setting.error(f"the range {match['low']}..{match['high']} is empty{hint}", start)
    if log and low <= 0:
        raise setting.error(f"'log' needs a range above 0, and this begins at {match['low']}", start)
    if log and step is not None:
        raise setting.error("'log' and 'step' do not go together; leave one out", start + match.start("words"))
    if step is not None and step > high - low:
        raise setting.error(f"a step of {step:g} leaves the range of {low:g} to {high:g}", start + match.start("words"))
    return NumberRange(setting, low, high, start + match.start("high"), log=log, step=step)


def _options(setting: Setting, match: re.Match[str], start: int, *, whole: bool) -> tuple[bool, float | None]:
    """Read the words after a range."""
    log, step = False, None
    words = list(re.finditer(r"\S+", match["words"]))
    while words:
        word = words.pop(0)
        at = start + match.start("words") + word.start()
        if word[0] == "log":
            log = True
        elif word[0] == "step":
            text = words.pop(0)[0] if words else ""
            step = float(text) if _NUMBER.fullmatch(text) else 0.0
            if step <= 0 or (whole and step != int(step)):
                kind = "a whole number above 0" if whole else "a number above 0"
                raise setting.error(f"'step' needs {kind}, as in 0..1 step 0.25", at)
        else:
            raise setting.error(f"'{word[0]}' is no word of a range; allowed: log, step NUMBER", at)
    return log, step


def _choices(setting: Setting) -> Iterator[Choice]:
    """Split a list at its commas, but for those within brackets and quotes."""
    value, start, depth, quote = setting.value, 0, 0, ""
    for index, letter in enumerate(f"{value},"):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and not value[start:index].strip():
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif letter == "," and (depth <= 0 or index == len(value)):
            part = value[start:index]
            yield Choice(part.strip(), start + len(part) - len(part.lstrip()))
            start = index + 1
    if quote:
        raise setting.error(f"the quote {quote} is not closed", start)
