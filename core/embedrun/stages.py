"""The kinds of stage, what each is given and what it gives back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from embedrun.artifacts import Comparison, Encoder, Endpoint, Model, PairScorer, RetrievalSet, Scores, Split
from embedrun.context import Context, Unkeyed
from embedrun.job import Job
from embedrun.stage import Stage

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

Column = Literal["positive", "negative", "score", "teacher_score"]
"""What a retrieval set can hold for training: relevant documents, negatives, graded pairs, a teacher's scores."""

# fmt: off
Rows = Literal[
    "pairs", "triplets", "scored_pairs", "labelled_pairs", "labelled_texts", "distillation", "judged_pairs",
    "taught_pairs", "lists",
]
# fmt: on
"""What a loss is fed, made from the set by the trainer; columns are always in this order:

pairs: anchor, positive, then negative_1 … where the set has them. triplets: anchor, positive, negative.
scored_pairs: sentence1, sentence2, score (float). labelled_pairs: sentence1, sentence2, label (0 or 1).
labelled_texts: sentence, label; a query and its documents share a label.
distillation: anchor, positive, negative_1 …, label (the teacher's scores).
Rerankers' alone: judged_pairs: sentence1, sentence2, label (1 of an answer, 0 of a negative). taught_pairs: sentence1,
sentence2, score (the teacher's). lists: anchor, documents (a list, answers first), label (a list).
"""

NEEDED: Mapping[Rows, frozenset[Column]] = {
    "pairs": frozenset({"positive"}),
    "triplets": frozenset({"positive", "negative"}),
    "scored_pairs": frozenset({"score"}),
    "labelled_pairs": frozenset({"score"}),
    "labelled_texts": frozenset({"positive"}),
    "distillation": frozenset({"positive", "negative", "teacher_score"}),
    "judged_pairs": frozenset({"positive", "negative"}),
    "taught_pairs": frozenset({"teacher_score"}),
    "lists": frozenset({"positive", "negative"}),
}


ROLES = ("base", "tuned", "merged")
"""The models of a run, in the order in which they come to be; those of a further seed end in `.seed_` and the seed."""


class Source(Stage):
    """Where texts and judgements come from."""

    kind = "source"

    @abstractmethod
    def run(self, ctx: Context) -> RetrievalSet: ...

    @abstractmethod
    def columns_given(self) -> frozenset[Column]:
        """Say what the set will hold for training, as far as the configuration tells."""

    def splits_given(self) -> frozenset[Split] | None:
        """Say which splits the set will have; None where only the data tells."""
        return None


class Generator(Stage):
    """Makes queries for documents that have none."""

    kind = "generator"

    @abstractmethod
    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet: ...


class Filter(Stage):
    """Removes what should not be trained on or judged by."""

    kind = "filters"

    @abstractmethod
    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet: ...


class Miner(Stage):
    """Adds hard negatives."""

    kind = "negatives"

    @abstractmethod
    def run(self, ctx: Context, data: RetrievalSet, model: Model) -> RetrievalSet: ...

    def columns_given(self) -> frozenset[Column]:
        """Say what it adds for training."""
        return frozenset({"negative"})


class Loss(Stage):
    """What training minimises."""

    kind = "loss"
    rows: ClassVar[Rows] = "pairs"
    """What it is fed; a recipe whose set cannot give these rows is refused."""
    most_negatives: ClassVar[int | None] = None
    """How many negatives it takes in each row of pairs; None for any number."""
    score_range: ClassVar[tuple[float, float] | None] = None
    """What the scores of scored pairs must lie in; None for any number."""

    @abstractmethod
    def build(self, model: SentenceTransformer) -> nn.Module:
        """Return the loss as a torch module, as sentence-transformers' trainer takes it."""

    def fed(self) -> Rows:
        """Say what it is fed; a wrapping loss answers for its inner one."""
        return self.rows


class Trainer(Stage):
    """Fine-tunes the model."""

    kind = "trainer"

    @abstractmethod
    def run(self, ctx: Context, data: RetrievalSet, model: Model, loss: Loss, dev: Evaluator | None) -> Model:
        """Train and return the tuned model, saved below `ctx.out`.

        `dev` is the recipe's first evaluator, for evaluation during training.
        """

    def forecast(self, data: RetrievalSet | None, loss: Loss | None = None) -> Mapping[str, object]:
        return {}

    def refuses(self, loss: Loss) -> str | None:
        """Say why this trainer cannot train with a loss, or None."""
        return None

    def columns_needed(self) -> frozenset[Column]:
        """Say what the set must hold beside what the loss needs."""
        return frozenset()

    def watched_metric(self) -> str | None:
        """Name the evaluator's metric that chooses the best checkpoint, if one does."""
        return None

    def watched_split(self) -> Split | None:
        """Name the split that is evaluated during training, if one is."""
        return None


class RerankerLoss(Loss):
    """What training a reranker minimises; `build` is given a CrossEncoder."""

    kind = "reranker.loss"


class Reranker(Stage):
    """Reads a query and a passage together, to put the first passages that an embedder finds in a better order."""

    kind = "reranker"
    loss: RerankerLoss | None = None
    """What training minimises. Without loss and trainer, the model re-orders as it is."""
    trainer: Trainer | None = None
    """Trains it."""
    negatives: Miner | None = None
    """Adds hard negatives for it, mined with the run's last embedder; by default it learns from the embedder's."""
    depth: int = Field(100, ge=1)
    """How many of the first passages are put in a new order."""

    @abstractmethod
    def run(self, ctx: Context, data: RetrievalSet) -> Model:
        """Train and return the tuned reranker, saved below `ctx.out`."""

    @abstractmethod
    def load(self, ctx: Context, tuned: Model | None) -> PairScorer:
        """Return what scores pairs: the tuned reranker, or the one that it was before."""

    @abstractmethod
    def part(self, *, training: bool) -> Self:
        """Return a copy without what the training, or else the scores, do not depend on."""


class Merger(Stage):
    """Mixes the tuned model with the one it started from."""

    kind = "merge"

    @abstractmethod
    def run(self, ctx: Context, data: RetrievalSet, base: Model, tuned: Model, dev: Evaluator | None) -> Model:
        """Mix and return the merged model, saved below `ctx.out`.

        `dev` is the recipe's first evaluator, where `watched_split` names a split.
        """

    def watched_split(self) -> Split | None:
        """Name the split that the mix is chosen on, if it is chosen."""
        return None

    def watched_metric(self) -> str | None:
        """Name the evaluator's metric that the mix is chosen by, if it is chosen."""
        return None


class Evaluator(Stage):
    """Scores a model, and says how models compare."""

    kind = "evaluator"
    seeded = False
    only_encodes: ClassVar[bool] = False
    """Whether `evaluate` says all that it does, so that it can score the models of `compare_with`."""
    judges_data: ClassVar[bool] = True
    """Whether scores depend on the recipe's set; where not, a model is scored once for all recipes."""

    def run(self, ctx: Context, data: RetrievalSet, model: Model) -> Scores:
        """Score a model of the run; by default it is loaded, and scored as what it encodes."""
        return self.evaluate(ctx, data, model.load(ctx.device))

    def evaluate(self, ctx: Context, data: RetrievalSet, encoder: Encoder) -> Scores:
        """Score what encodes: a loaded model or, where `only_encodes` says so, one of `compare_with`, behind an API."""
        raise NotImplementedError

    def ranks(self) -> int:
        """Say how many documents of each query it keeps in order, for `rerank`; 0 for none."""
        return 0

    def rerank(
        self, ctx: Context, data: RetrievalSet, first: Scores, reranker: Reranker, tuned: Model | None
    ) -> Scores:
        """Score the rankings that `run` kept, the first of each re-ordered by the tuned reranker or by the base one."""
        raise NotImplementedError

    @abstractmethod
    def score(self, model: SentenceTransformer, data: RetrievalSet, split: Split) -> dict[str, float]:
        """Score a loaded model in the middle of training."""

    def metrics(self) -> frozenset[str] | None:
        """Name the metrics that it will produce; None where only the data tells."""
        return None

    def split_needed(self) -> Split | None:
        """Name the split that must exist, if one must."""
        return None

    def headline(self, metrics: Sequence[str]) -> Sequence[str]:
        """Choose the metrics that the run's table shows, in this order."""
        return metrics

    @abstractmethod
    def compare(self, ctx: Context, scores: Mapping[str, Scores]) -> Comparison:
        """Compare the scores of the models by role: "base" first, then "tuned", "merged", then those of `compare_with`.

        Where a recipe has several seeds, "tuned" is the first one's, and "tuned.seed_7" that of seed 7. With a
        reranker, there is also "tuned+base_reranker", and "tuned+tuned_reranker" where it is trained.
        `embedrun.bootstrap.comparison` does so, with an interval over independent units of queries.
        """

    def models_named(self) -> Iterable[str]:
        """Name the models that its limits compare with; the run must have them, or they must be in `compare_with`."""
        return ()

    def unmet(self, scores: Mapping[str, Scores], comparison: Comparison | None) -> Iterable[str]:
        """Say which of the recipe's limits do not hold; the run fails if any is named.

        The scores are by role, as `compare` is given them: those of further seeds' models are among them.
        """
        return ()


class Embedder(Stage):
    """Another model to compare with, wherever it runs; scored on the same queries, with its own prompts."""

    kind = "compare_with"
    seeded = False
    name: Annotated[str | None, Unkeyed] = Field(None, pattern=r"^[\w-]+$")
    """What it is called in tables; by default its type."""

    @abstractmethod
    def connect(self, ctx: Context) -> Encoder:
        """Return what encodes; answers that cost money are kept in `ctx.answers`."""

    @property
    def role(self) -> str:
        return self.name or self.type


class Deployer(Stage):
    """Makes a model available. Always runs: what it makes lives outside the store."""

    kind = "deployer"
    takes_rerankers: ClassVar[bool] = False
    deploys: Literal["embedder", "reranker"] = "embedder"
    """Which of the run's models it is given: the last embedder, or the tuned reranker."""

    @abstractmethod
    def run(self, ctx: Context, model: Model) -> Endpoint: ...

    def refuses(self, model: Model) -> Iterable[str]:
        """Say why it could not serve what is trained from this model, as far as its files tell.

        Called when a recipe is checked and planned, where the files are here, be it without the weights; so without
        loading anything heavy.
        """
        return ()

    @abstractmethod
    def delete(self, endpoint: Endpoint) -> None:
        """Remove what `run` made; succeed quietly where it is gone already."""


class Runtime(Stage):
    """Where the whole recipe runs."""

    kind = "runtime"
    seeded = False

    @abstractmethod
    def run(self, job: Job) -> int:
        """Run the job and return its exit code."""


KINDS: tuple[type[Stage], ...] = (
    *(Source, Generator, Filter, Miner, Loss, Trainer, Merger, Evaluator, Embedder),
    *(Reranker, RerankerLoss, Deployer, Runtime),
)
