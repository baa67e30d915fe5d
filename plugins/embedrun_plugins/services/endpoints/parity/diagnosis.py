"""Why an endpoint's vectors are not the model's: the usual mistakes, tried on the checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from embedrun.artifacts import Role
from embedrun_plugins.services.endpoints.parity.checkpoint import ROLES, Checkpoint, Misreading, Vectors
from embedrun_plugins.services.endpoints.parity.vectors import worst

_POOLINGS = ("mean", "cls", "lasttoken", "max")
_LENGTHS = (32, 64, 128, 256, 384, 512, 1024)
_SHORT = 200
"""Letters of a text that is quickly read."""
_SECONDS = 60.0
"""How long two mistakes at once are looked for."""
Parts = Mapping[str, object]


@dataclass(frozen=True)
class Cause:
    """A mistake, in words, what it changes, and how near it comes to the vectors that were answered."""

    said: str
    how: Misreading
    cosine: float = 0.0


def find(
    checkpoint: Checkpoint, texts: Sequence[str], answered: Mapping[Role, Vectors], least: float
) -> tuple[Cause, bool]:
    """Return the mistake that explains the vectors best, and whether it explains them."""
    judged = _Diagnosis(checkpoint, texts, answered, least)
    tried = [judged(cause) for cause in _single(checkpoint)]
    best = max(tried, key=lambda cause: cause.cosine)
    if best.cosine >= least:
        return best, True
    deadline = time.monotonic() + _SECONDS
    for both in _double(tried):
        best = max(best, judged(both), key=lambda cause: cause.cosine)
        if best.cosine >= least or time.monotonic() > deadline:
            break
    return best, best.cosine >= least


@dataclass(frozen=True)
class _Diagnosis:
    """Compares mistakes with what was answered."""

    checkpoint: Checkpoint
    texts: Sequence[str]
    answered: Mapping[Role, Vectors]
    least: float

    def __call__(self, cause: Cause) -> Cause:
        """Return the cause with its worst cosine; long texts, which are dear, are only read where short ones agree."""
        short = [index for index, text in enumerate(self.texts) if len(text) <= _SHORT]
        worst_cosine = self._cosine(cause, short)
        if worst_cosine >= self.least:
            worst_cosine = min(
                worst_cosine, self._cosine(cause, [index for index in range(len(self.texts)) if index not in short])
            )
        return replace(cause, cosine=worst_cosine)

    def _cosine(self, cause: Cause, indices: Sequence[int]) -> float:
        texts = [self.texts[index] for index in indices if index < len(self.answered["query"])]
        some = {
            role: vectors[[index for index in indices if index < len(vectors)]]
            for role, vectors in self.answered.items()
        }
        return worst(texts, self.checkpoint.misread(texts, cause.how), some).cosine if texts else 1.0


def _single(checkpoint: Checkpoint) -> Iterator[Cause]:
    if checkpoint.has_base:
        yield Cause("it serves the weights of the base model, not the tuned ones", Misreading(base=True))
    yield from _prompts(checkpoint.prompts)
    right = checkpoint.pooling
    for mode in _POOLINGS if right else ():
        if mode != right and {mode, right} != {"mean", "mean_sqrt_len_tokens"}:  # which differ in length alone
            yield Cause(f"it pools by {mode}, and the model by {right}", Misreading(pooling=mode))
    for length in _LENGTHS:
        if checkpoint.length and length < checkpoint.length:
            yield Cause(
                f"it cuts texts at {length} tokens, and the model at {checkpoint.length}", Misreading(length=length)
            )
        elif checkpoint.length and checkpoint.length < length <= (checkpoint.positions or 0):
            yield Cause(
                f"it reads {length} tokens of a text, and the model {checkpoint.length}", Misreading(length=length)
            )


def _prompts(right: Mapping[Role, str]) -> Iterator[Cause]:
    prompts_by_mistake: dict[str, dict[Role, str]] = {
        "it puts no prompt before texts": {"query": "", "document": ""},
        "it puts no prompt before queries": {"query": "", "document": right["document"]},
        "it puts no prompt before documents": {"query": right["query"], "document": ""},
        "it puts the query's prompt before documents, too": dict.fromkeys(ROLES, right["query"]),
        "it puts the document's prompt before queries, too": dict.fromkeys(ROLES, right["document"]),
        "it swaps the prompts of queries and documents": {"query": right["document"], "document": right["query"]},
        "it puts the prompts before texts twice": {role: right[role] * 2 for role in ROLES},
    }
    tried = [right]
    for words, prompts in prompts_by_mistake.items():
        if prompts not in tried:
            tried.append(prompts)
            yield Cause(words, Misreading(prompts=prompts))


def _double(tried: Iterable[Cause]) -> Iterator[Cause]:
    """Combine two mistakes of different sorts, those first that come nearest alone."""
    near = sorted(tried, key=lambda cause: -cause.cosine)
    for first, second in combinations(near, 2):
        changes = [_changes(cause.how) for cause in (first, second)]
        if not changes[0].keys() & changes[1].keys():
            how = replace(first.how, **changes[1])  # type: ignore[arg-type] # names and values of a Misreading
            yield Cause(f"{first.said}; {second.said}", how)


def _changes(how: Misreading) -> Parts:
    return {name: value for name, value in vars(how).items() if value}
