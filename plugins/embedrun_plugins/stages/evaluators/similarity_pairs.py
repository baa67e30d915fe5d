"""The check that tutorials show: are chosen texts similar, before and after?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from embedrun.artifacts import Comparison, Encoder, RetrievalSet, Role, Scores, Split
from embedrun.context import Context, Unkeyed
from embedrun.stages import Evaluator
from embedrun_plugins.results.roles import last
from embedrun_plugins.stages.evaluators.paired_differences import comparison
from embedrun_plugins.stages.evaluators.thresholds import breached

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MEANS = ("mean_similar", "mean_different", "margin")

Cosine = Annotated[float, Field(ge=-1, le=1)]


class SimilarityPair(BaseModel):
    """Two texts, and whether a good model finds them similar."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: tuple[str, str]
    """The two texts."""
    similar: bool = True
    """Whether they belong together."""
    name: str | None = Field(None, min_length=1)
    """Name of the pair's metric; by default pair_1, pair_2 … by its place in the list."""
    min: Annotated[Cosine | None, Unkeyed] = None
    """The least cosine that the run's last model may give it, or the run fails."""
    max: Annotated[Cosine | None, Unkeyed] = None
    """The highest cosine that the run's last model may give it, or the run fails."""


class SimilarityPairs(Evaluator):
    """Cosine similarity of chosen pairs of texts.

    Measures each pair under its name, mean_similar and mean_different over the pairs of each sort, and their margin
    (similar less different). An illustration, not evidence: pick pairs that are not trained on, and judge by
    `information_retrieval`.
    """

    only_encodes: ClassVar[bool] = True
    type: Literal["similarity_pairs"] = "similarity_pairs"
    pairs: tuple[SimilarityPair, ...] = Field(min_length=1)
    """The pairs, as in {texts: [a question, its answer], similar: true, min: 0.8}."""
    roles: tuple[Role, Role] = ("query", "document")
    """As what the two texts are encoded, which decides on the model's prompts: [query, document] for a question and
    its answer, [document, document] for texts of one sort. All the same for a model without prompts."""

    def evaluate(self, ctx: Context, data: RetrievalSet, encoder: Encoder) -> Scores:  # noqa: ARG002 - the pairs are its data
        return Scores.write(ctx.out, self._measure(encoder))

    def score(
        self,
        model: SentenceTransformer,
        data: RetrievalSet,  # noqa: ARG002 - the pairs are its data
        split: Split,  # noqa: ARG002
    ) -> dict[str, float]:
        return self._measure(model)

    def metrics(self) -> frozenset[str]:
        return frozenset(self._means([0.0] * len(self.pairs)))

    def faults(self) -> Iterable[str]:
        for name, count in Counter((*self._names(), *MEANS)).items():
            if count > 1:
                yield f"pairs: two metrics would be named '{name}'; give each pair a name of its own"
        for name, pair in zip(self._names(), self.pairs, strict=True):
            if not all(text.strip() for text in pair.texts):
                yield f"pairs: '{name}' has an empty text"

    def compare(self, ctx: Context, scores: Mapping[str, Scores]) -> Comparison:
        return comparison(ctx, scores)

    def unmet(self, scores: Mapping[str, Scores], comparison: Comparison | None) -> Iterable[str]:  # noqa: ARG002
        role = last(scores)
        cosines = scores[role].metrics
        for name, pair in zip(self._names(), self.pairs, strict=True):
            yield from breached(f"cosine of {name} by {role}", cosines[name], pair.min, pair.max)

    def _names(self) -> list[str]:
        return [pair.name or f"pair_{number}" for number, pair in enumerate(self.pairs, start=1)]

    def _measure(self, model: Encoder) -> dict[str, float]:
        from torch.nn.functional import cosine_similarity

        from embedrun_plugins.models.encode import embed

        first, second = (
            embed(model, [pair.texts[side] for pair in self.pairs], role) for side, role in enumerate(self.roles)
        )
        return self._means(cosine_similarity(first.double(), second.double()).tolist())

    def _means(self, cosines: Sequence[float]) -> dict[str, float]:
        means = dict(zip(self._names(), cosines, strict=True))
        for mean, similar in (("mean_similar", True), ("mean_different", False)):
            values = [cosine for pair, cosine in zip(self.pairs, cosines, strict=True) if pair.similar is similar]
            if values:
                means[mean] = sum(values) / len(values)
        if "mean_similar" in means and "mean_different" in means:
            means["margin"] = means["mean_similar"] - means["mean_different"]
        return means
