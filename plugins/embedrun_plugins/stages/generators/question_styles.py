"""How questions are asked: named styles, their shares, and the words of the house."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from embedrun.errors import suggest
from embedrun_plugins.stages.generators.question_set import AskedPassage

INSTRUCTIONS: Mapping[str, str] = {
    "factual": "Ask for a fact that the passage states: who, what, which, when, where or how much.",
    "how_to": "Ask how something is done, or what to do, as a person who has a task before them would.",
    "comparison": "Ask how two things that the passage tells of differ, or which of them is more, better or earlier.",
    "keyword": (
        "Write no sentences but keyword queries, as typed into a search box: two to six words that name what is "
        "sought, without a question mark."
    ),
    "long_winded": (
        "Write as a person who explains their situation first: two or three sentences, some of them beside the point, "
        "with the question at the end; each on one line."
    ),
}
"""What is asked for by the name of a style."""
_ROUNDING = 0.0015
"""How far shares may be from 1 together, so that three of 0.333 will do."""
MOST_WORDS = 20
"""Words of the house that one prompt shows."""


class Style(BaseModel):
    """One way to ask."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: float = Field(gt=0, le=1)
    """Share of the passages that are asked about so."""
    instruction: str = Field(min_length=1)
    """What the model is told of it."""


def _complete(value: Any) -> Any:
    """Turn names, shares or instructions into styles. Raises ValueError where they are none."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)):
        _require_names(value, "[factual, keyword]")
        if repeated := [name for index, name in enumerate(value) if name in value[:index]]:
            raise ValueError(f"'{repeated[0]}' is named twice; give shares instead: {{{repeated[0]}: 0.5, …}}")
        value = dict.fromkeys(value)
    if not isinstance(value, Mapping):
        return value
    styles = {name: _fields(name, fields) for name, fields in value.items()}
    without = [name for name, fields in styles.items() if "share" not in fields]
    if without and len(without) < len(styles):
        raise ValueError(f"'{without[0]}' has no share, though others have; give all of them one, or none")
    return {name: {"share": 1 / len(styles), **fields} for name, fields in styles.items()}


def _require_names(values: Sequence[Any], example: str) -> None:
    if any(not isinstance(value, str) for value in values):
        raise ValueError(f"must be a list of names, as in {example}")


def _fields(name: Any, value: Any) -> dict[str, Any]:
    if isinstance(value, Style):
        return dict(value)
    if isinstance(value, Mapping):
        fields = dict(value)
    elif isinstance(value, str):
        fields = {"instruction": value}
    else:
        fields = {} if value is None else {"share": value}
    if "instruction" not in fields:
        if name not in INSTRUCTIONS:
            raise ValueError(
                f"there is no style '{name}'{suggest(str(name), INSTRUCTIONS)}; one of your own needs its instruction: "
                f"{{{name}: {{share: 0.2, instruction: …}}}}"
            )
        fields["instruction"] = INSTRUCTIONS[name]
    return fields


def _whole(styles: dict[str, Style]) -> dict[str, Style]:
    total = sum(style.share for style in styles.values())
    if styles and abs(total - 1) > _ROUNDING:
        raise ValueError(f"the shares add up to {total:.4g}, but must add up to 1")
    return styles


_StylesInput = dict[str, float | str | dict[str, float | str] | None] | list[str]

Styles = Annotated[
    dict[Annotated[str, Field(pattern=r"^\w[\w-]*$")], Style],
    BeforeValidator(_complete, json_schema_input_type=_StylesInput),
    AfterValidator(_whole),
]
"""Styles by name, as names ([factual, keyword]), shares ({factual: 0.7, keyword: 0.3}) or in full."""


def _defined(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)):
        _require_names(value, "[tansy, heron]")
        return dict.fromkeys(value, "")
    return {word: "" if text is None else text for word, text in value.items()} if isinstance(value, Mapping) else value


Words = Annotated[
    dict[Annotated[str, Field(min_length=1)], str],
    BeforeValidator(_defined, json_schema_input_type=dict[str, str | None] | list[str]),
]
"""Words of the house, each with what it means, or a list of them."""


def unset(value: object) -> bool:
    """Say whether a field was left as it is by default; then it is no part of the stage's key."""
    return not value


def assigned(passages: Sequence[AskedPassage], styles: Mapping[str, Style], seed: int) -> list[str | None]:
    """Return the name of each passage's style, so that every share is exact up to rounding.

    Passages are ordered by a hash of their ids and the seed, and that order is cut at the shares: a passage more or
    less changes the style of few others, whose replies would have to be paid for anew. Each is None without styles.
    """
    if not styles:
        return [None] * len(passages)
    order = hashed_order(passages, f"styles {seed}")
    chosen: list[str | None] = [None] * len(passages)
    names, total, end, before = sorted(styles), sum(style.share for style in styles.values()), 0.0, 0
    for name in names:
        end += styles[name].share / total
        last = len(passages) if name == names[-1] else round(end * len(passages))
        for index in order[before:last]:
            chosen[index] = name
        before = last
    return chosen


def hashed_order(passages: Sequence[AskedPassage], salt: str) -> list[int]:
    """Return the indices of passages in an order that depends on their ids and a salt alone."""
    keys = [
        hashlib.sha256(f"{salt}\x1f{passage.split}\x1f{passage.document.id}".encode()).digest() for passage in passages
    ]
    return sorted(range(len(passages)), key=keys.__getitem__)


def fitting(words: Mapping[str, str], text: str) -> dict[str, str]:
    """Return the words to show with a text: all, or of more than 20 those that it holds, or whose meaning it holds."""
    if len(words) <= MOST_WORDS:
        return dict(words)
    lower = text.casefold()
    near = [word for word in words if word.casefold() in lower or (words[word] and words[word].casefold() in lower)]
    return {word: words[word] for word in near[:MOST_WORDS]}
