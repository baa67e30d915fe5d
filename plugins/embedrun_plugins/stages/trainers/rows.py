"""Rows for a loss, made from a retrieval set; columns are always in the order that the loss reads them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from embedrun.artifacts import Judgement, Role
from embedrun.errors import DataError
from embedrun.stages import Rows
from embedrun_plugins.stages.texts.keys import UnionFind
from embedrun_plugins.stages.trainers.training_rows import TrainingData, TrainingRows


def make(data: TrainingData) -> TrainingRows:
    """Make the rows that a loss is fed.

    Raises UserError where the split has nothing to learn from, DataError where its scores do not fit the loss.
    """
    if not data.judgements:
        hint = "check the source's columns, what the filters removed and what source.holdout left"
        raise data.refuse(f"it is empty; {hint}")
    rows = _MAKERS[data.loss.fed()](data)
    if not len(rows):
        raise data.refuse("no query has a relevant document")
    return rows


def _pairs(data: TrainingData) -> TrainingRows:
    mined = {j.query_id: data.negatives.get(j.query_id, []) for j in data.positives}
    filled, drawn = _filled(data, mined)
    columns = len(next(iter(filled.values()), []))
    rows = ((*data.texts(judgement), *map(data.document, filled[judgement.query_id])) for judgement in data.positives)
    return TrainingRows.of(("anchor", "positive", *_numbered(columns)), rows, {"negatives drawn at random": drawn})


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"negative_{number}" for number in range(1, count + 1))


def _filled(data: TrainingData, mined: Mapping[str, list[Judgement]]) -> tuple[dict[str, list[str]], int]:
    """Give every query as many negatives as the one with most, at random from the others' documents.

    A query with fewer would else lose its pair, or take the others' negatives away.
    """
    most = data.innermost.most_negatives
    count = max(map(len, mined.values()), default=0)
    count = count if most is None else min(count, most)
    others = (j.document_id for judgements in mined.values() for j in judgements)
    pool = sorted({*(j.document_id for j in data.positives), *others})
    filled: dict[str, list[str]] = {}
    drawn = 0
    for query, judgements in mined.items():
        first = [judgement.document_id for judgement in judgements[:count]]
        # Seeded by the query, so that its negatives do not depend on the order of the rows.
        source = random.Random(f"{data.seed} {query}")  # noqa: S311 - no secret
        more = draw(source, pool, {*first, *data.relevant[query]}, count - len(first))
        filled[query] = first + more
        drawn += len(more)
    fewest = min(map(len, filled.values()), default=0)
    return {query: negatives[:fewest] for query, negatives in filled.items()}, drawn


def draw(source: random.Random, pool: Sequence[str], excluded: set[str], count: int) -> list[str]:
    """Draw documents that are not excluded: `count`, or as many as there are."""
    if len(pool) < 2 * (len(excluded) + count):
        free = [document for document in pool if document not in excluded]
        return source.sample(free, min(count, len(free)))
    drawn: list[str] = []
    while len(drawn) < count:
        document = source.choice(pool)
        if document not in excluded:
            excluded.add(document)
            drawn.append(document)
    return drawn


def _triplets(data: TrainingData) -> TrainingRows:
    taught = _with_negatives(data)
    rows = (
        (*data.texts(judgement), data.document(negative.document_id))
        for judgement in taught
        for negative in data.negatives[judgement.query_id]
    )
    left_out = len(data.positives) - len(taught)
    return TrainingRows.of(("anchor", "positive", "negative"), rows, {"pairs left out, without negatives": left_out})


def _distillation(data: TrainingData) -> TrainingRows:
    """Rows with a teacher's score for every candidate; as many negatives as the query with fewest has."""
    taught = _with_negatives(data)
    count = min((len(data.negatives[j.query_id]) for j in taught), default=0)
    candidates = [(judgement, *data.negatives[judgement.query_id][:count]) for judgement in taught]
    rows = (
        (data.texts(row[0])[0], *(data.document(c.document_id) for c in row), [float(c.score) for c in row])
        for row in candidates
    )
    left_out = len(data.positives) - len(taught)
    columns = ("anchor", "positive", *_numbered(count), "label")
    return TrainingRows.of(columns, rows, {"pairs left out, without negatives": left_out})


def _with_negatives(data: TrainingData) -> list[Judgement]:
    taught = [judgement for judgement in data.positives if data.negatives.get(judgement.query_id)]
    if data.positives and not taught:
        raise data.refuse("no query has negatives; add a miner under 'negatives', or loosen its limits")
    return taught


Node = tuple[Role, str]


def scored_pairs(data: TrainingData) -> TrainingRows:
    """Rows of query, document and score.

    Raises DataError where a score is out of the loss's range, UserError where all are the same.
    """
    limits = data.innermost.score_range
    for judgement in data.judgements:
        if limits and not limits[0] <= judgement.score <= limits[1]:
            allowed = f"needs scores from {limits[0]:g} to {limits[1]:g}"
            raise _misfit(data, judgement, f"{allowed}; scale them, or use 'cosent', which only needs their order")
    if len({judgement.score for judgement in data.judgements}) == 1:
        same = f"every pair has the score {data.judgements[0].score:g}"
        raise data.refuse(f"{same}; name the source's column of scores, or use 'multiple_negatives_ranking'")
    rows = ((*data.texts(judgement), float(judgement.score)) for judgement in data.judgements)
    return TrainingRows.of(("sentence1", "sentence2", "score"), rows)


def _misfit(data: TrainingData, judgement: Judgement, what: str) -> DataError:
    pair = f"query '{judgement.query_id}' and document '{judgement.document_id}'"
    return DataError(f"{data.retrieval_set.path}: {pair} have the score {judgement.score:g}; '{data.loss.type}' {what}")


def labelled_pairs(data: TrainingData) -> TrainingRows:
    """Rows of query, document and whether they belong together; negatives do not.

    Raises DataError where a score is neither 0 nor 1, UserError where all pairs are alike.
    """
    for judgement in data.judgements:
        if judgement.score not in (0, 1):
            raise _misfit(data, judgement, "needs 0 or 1; use 'cosent' or 'cosine_similarity' for graded scores")
    rows = [(*data.texts(judgement), int(judgement.score)) for judgement in data.judgements]
    mined = [judgement for judgements in data.negatives.values() for judgement in judgements]
    rows += [(*data.texts(judgement), 0) for judgement in mined]
    if len({label for _, _, label in rows}) == 1:
        what = "give pairs that differ in this too (1 belongs together, 0 does not), or add a miner under 'negatives'"
        raise data.refuse(f"every pair has the label {rows[0][2]}; {what}")
    return TrainingRows.of(("sentence1", "sentence2", "label"), rows)


def labelled_texts(data: TrainingData) -> TrainingRows:
    """Rows of text and label; texts joined by a judgement, also by way of others, have the same.

    Prompts are put before the texts here, since one column holds queries and documents.
    Raises UserError where there are not two labels.
    """
    labels = _components(data)
    if len(set(labels.values())) == 1:
        raise data.refuse("all its queries and documents belong together, so there is nothing to tell apart")
    rows = ((data.prompts.get(role, "") + _text(data, (role, id_)), label) for (role, id_), label in labels.items())
    return TrainingRows.of(("sentence", "label"), rows)


def _text(data: TrainingData, node: Node) -> str:
    role, id_ = node
    return data.document(id_) if role == "document" else data.retrieval_set.queries[id_].text


def _components(data: TrainingData) -> dict[Node, int]:
    """Number the connected components of the graph that relevant judgements make."""
    numbers: dict[Node, int] = {}
    pairs = []
    for judgement in data.positives:
        data.texts(judgement)
        pair: tuple[Node, Node] = ("query", judgement.query_id), ("document", judgement.document_id)
        pairs.append([numbers.setdefault(node, len(numbers)) for node in pair])
    components = UnionFind(len(numbers))
    for query, document in pairs:
        components.join(query, document)
    labels: dict[int, int] = {}
    return {node: labels.setdefault(components.root(number), len(labels)) for node, number in numbers.items()}


def judged_pairs(data: TrainingData) -> TrainingRows:
    """Rows of query, document and label: 1 of an answer, less where its score is below 1, and 0 of a negative.

    Raises UserError where all pairs are alike.
    """
    rows = [(*data.texts(judgement), min(1.0, max(0.0, judgement.score))) for judgement in data.judgements]
    mined = [judgement for judgements in data.negatives.values() for judgement in judgements]
    rows += [(*data.texts(judgement), 0.0) for judgement in mined]
    if len({label for _, _, label in rows}) == 1:
        raise data.refuse(f"every pair has the label {rows[0][2]:g}; add a miner under 'reranker.negatives'")
    return TrainingRows.of(("sentence1", "sentence2", "label"), rows)


def taught_pairs(data: TrainingData) -> TrainingRows:
    """Rows of query, document and the teacher's score, of answers and negatives alike."""
    mined = [judgement for judgements in data.negatives.values() for judgement in judgements]
    rows = ((*data.texts(judgement), float(judgement.score)) for judgement in (*data.judgements, *mined))
    return TrainingRows.of(("sentence1", "sentence2", "score"), rows)


def lists(data: TrainingData) -> TrainingRows:
    """Rows of a query, its answers and negatives, best first, and their scores: a negative's is 0.

    Queries without negatives are left out, since nothing is above anything else. Raises UserError where none has any.
    """
    answers: dict[str, list[Judgement]] = {}
    for judgement in data.positives:
        answers.setdefault(judgement.query_id, []).append(judgement)
    _with_negatives(data)
    rows = []
    for query, relevant in answers.items():
        ranked = sorted(relevant, key=lambda judgement: -judgement.score)
        below = data.negatives.get(query, [])
        if below:
            documents = [data.document(judgement.document_id) for judgement in (*ranked, *below)]
            labels = [float(judgement.score) for judgement in ranked] + [0.0] * len(below)
            rows.append((data.texts(ranked[0])[0], documents, labels))
    left_out = len(answers) - len(rows)
    notes = {"queries left out, without negatives": left_out}
    return TrainingRows.of(("anchor", "documents", "label"), rows, notes)


_MAKERS: Mapping[Rows, Callable[[TrainingData], TrainingRows]] = {
    "pairs": _pairs,
    "triplets": _triplets,
    "scored_pairs": scored_pairs,
    "labelled_pairs": labelled_pairs,
    "labelled_texts": labelled_texts,
    "distillation": _distillation,
    "judged_pairs": judged_pairs,
    "taught_pairs": taught_pairs,
    "lists": lists,
}
