"""Which column of a file is what, declared or guessed from well-known names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from embedrun.errors import DataError, suggest
from embedrun.stages import Column


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])
]
Name = Annotated[str, Field(min_length=1)]


class Columns(BaseModel):
    """Which column is what.

    With both `anchor` and `positive` named, the others are what is named here and nothing else. Otherwise what is not
    named is guessed from the columns' names, and the guess is told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    anchor: Name | None = None
    """Column of the questions. Guessed: the one named anchor, query, question or sentence1."""
    positive: Name | None = None
    """Column of the passages that answer them; its values are texts, or lists of texts.

    Guessed: the one named positive, pos, passage, context, document, answer or sentence2."""
    negative: Names = ()
    """Column, or list of columns, of passages that do not answer them; values are texts, or lists of texts.

    Guessed: those named negative, negatives, neg, hard_negative or hard_negatives, also with a number (negative_1).
    """
    score: Name | None = None
    """Column of numbers that grade each pair: above 0 is relevant. Guessed: the one named score, similarity or
    similarity_score, if any. A column of labels must be named, since 0 often means the best class."""
    positive_score: Name | None = None
    """Column of a teacher's scores for the positives, for distillation; numbers, or lists of numbers.

    Guessed: pos_scores."""
    negative_score: Names = ()
    """Column, or list of columns, of a teacher's scores for the negatives, in the same order as those.

    Guessed: neg_scores."""
    title: Name | None = None
    """Column of the positives' titles."""
    metadata: Names = ()
    """Columns kept as metadata of the positive; where equal passages are merged, the first row's."""

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield each role with the column that plays it."""
        for role in type(self).model_fields:
            value = getattr(self, role)
            for name in (value,) if isinstance(value, str) else value or ():
                yield role, name

    def given(self) -> frozenset[Column]:
        """Say what these columns hold for training."""
        columns: set[Column] = {"positive"}
        if self.negative:
            columns.add("negative")
        if self.score:
            columns.add("score")
        if self.positive_score and self.negative_score:
            columns.add("teacher_score")
        return frozenset(columns)

    def faults(self) -> Iterator[str]:
        """Say what cannot go together."""
        names = [name for role, name in self.named() if role != "metadata"]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"columns: '{name}' plays two roles"
        if self.score and (self.positive_score or self.negative_score):
            yield "columns: 'score' grades the pair, a teacher's scores replace that; name one or the other"
        if bool(self.positive_score) != bool(self.negative_score):
            yield "columns: 'positive_score' and 'negative_score' are needed together"
        if self.negative_score and self.negative and len(self.negative_score) != len(self.negative):
            yield "columns: 'negative_score' needs a column for each column of 'negative'"
        if self.title and self.negative:
            yield "columns: 'title' cannot be used with 'negative', whose passages have none"
        if "split" in self.metadata:
            yield "columns: metadata cannot be named 'split', which says whose queries search a document"


_GUESSES: Mapping[str, str] = {
    "anchor": r"anchor|query|question|sentence1",
    "positive": r"positive|pos|passage|context|document|answer|sentence2",
    "negative": r"(hard_)?negatives?(_?\d+)?|neg",
    "score": r"score|similarity(_score)?",
    "positive_score": r"pos_scores?",
    "negative_score": r"neg_scores?",
}
_MANY = frozenset({"negative", "negative_score"})


def complete(declared: Columns, present: Sequence[str], name: str, nested: Sequence[str] = ()) -> Columns:
    """Fill in what is not declared from well-known names among the columns that are present.

    Values inside objects, which are `nested`, are taken only where they are declared.

    Raises DataError, naming the file, where a declared column is not there or a needed one cannot be guessed.
    """
    for role, column in declared.named():
        if column not in present and column not in nested:
            every = [*present, *nested]
            names = ", ".join(every)
            raise DataError(f"{name}: no column '{column}' for columns.{role}{_meant(column, every)}; it has: {names}")
    if declared.anchor and declared.positive:
        return declared
    taken = {column for _, column in declared.named()}
    guessed: dict[str, Any] = {}
    for role, pattern in _GUESSES.items():
        if getattr(declared, role) or _excluded(role, declared):
            continue
        matching = [c for c in present if c not in taken and re.fullmatch(pattern, c.strip().lower())]
        if role in _MANY:
            guessed[role] = tuple(matching)
        elif len(matching) == 1:
            guessed[role] = matching[0]
        elif matching or role in ("anchor", "positive"):
            raise _undecided(name, role, matching, [*present, *nested])
    return _consistent(declared, declared.model_copy(update=guessed), name)


def _excluded(role: str, declared: Columns) -> bool:
    """Tell whether what is declared leaves no room for a guess."""
    if role == "score":
        return bool(declared.positive_score or declared.negative_score)
    if role in ("positive_score", "negative_score"):
        return bool(declared.score)
    return role == "negative" and bool(declared.title)


def _consistent(declared: Columns, columns: Columns, name: str) -> Columns:
    """Drop guesses that only make sense together with what is not there."""
    if columns.positive_score and len(columns.negative_score) == len(columns.negative) > 0:
        return columns.model_copy(update={"score": None})
    if declared.negative_score:
        raise DataError(
            f"{name}: columns.negative_score names {len(columns.negative_score)} columns, "
            f"but there are {len(columns.negative)} of negatives; name them in columns.negative"
        )
    return columns.model_copy(update={"positive_score": None, "negative_score": ()})


def _meant(column: str, present: Sequence[str]) -> str:
    hint = suggest(column, present)
    return hint if hint.startswith("; did") else ""


def _undecided(name: str, role: str, matching: Collection[str], present: Sequence[str]) -> DataError:
    some = f"{' or '.join(repr(c) for c in matching)}" if matching else "none has a well-known name"
    names = ", ".join(present) or "none"
    return DataError(
        f"{name}: which column is the {role}: {some}? Name it: columns: {{{role}: …}}; columns there are: {names}"
    )
