"""Rows for a loss, made from a retrieval set; columns are always in the order that the loss reads them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from embedrun.artifacts import Judgement, Role
from embedrun.errors import DataError
from embedrun.stages import Rows
from embedrun_plugins.stages.texts.keys import UnionFind
from embedrun_plugins.stages.trainers.training_rows import Material, Table, table


def make(material: Material) -> Table:
    """Make the rows that a loss is fed.

    Raises UserError where the split has nothing to learn from, DataError where its scores do not fit the loss.
    """
    if not material.judgements:
        hint = "check the source's columns, what the filters removed and what source.holdout left"
        raise material.refuse(f"it is empty; {hint}")
    made = _MAKERS[material.loss.fed()](material)
    if not len(made):
        raise material.refuse("no query has a relevant document")
    return made


def _pairs(material: Material) -> Table:
    own = {j.query_id: material.negatives.get(j.query_id, []) for j in material.positives}
    filled, drawn = _filled(material, own)
    columns = len(next(iter(filled.values()), []))
    rows = (
        (*material.texts(judgement), *map(material.document, filled[judgement.query_id]))
        for judgement in material.positives
    )
    return table(("anchor", "positive", *_numbered(columns)), rows, {"negatives drawn at random": drawn})


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"negative_{number}" for number in range(1, count + 1))


def _filled(material: Material, own: Mapping[str, list[Judgement]]) -> tuple[dict[str, list[str]], int]:
    """Give every query as many negatives as the one with most, at random from the others' documents.

    A query with fewer would else lose its pair, or take the others' negatives away.
    """
    most = material.innermost.most_negatives
    count = max(map(len, own.values()), default=0)
    count = count if most is None else min(count, most)
    others = (j.document_id for judgements in own.values() for j in judgements)
    pool = sorted({*(j.document_id for j in material.positives), *others})
    filled: dict[str, list[str]] = {}
    drawn = 0
    for query, judgements in own.items():
        given = [judgement.document_id for judgement in judgements[:count]]
        # Seeded by the query, so that its negatives do not depend on the order of the rows.
        source = random.Random(f"{material.seed} {query}")  # noqa: S311 - no secret
        more = draw(source, pool, {*given, *material.relevant[query]}, count - len(given))
        filled[query] = given + more
        drawn += len(more)
    fewest = min(map(len, filled.values()), default=0)
    return {query: negatives[:fewest] for query, negatives in filled.items()}, drawn


def draw(source: random.Random, pool: Sequence[str], taken: set[str], count: int) -> list[str]:
    """Draw documents that are not taken: as many as asked for, or as there are."""
    if len(pool) < 2 * (len(taken) + count):
        free = [document for document in pool if document not in taken]
        return source.sample(free, min(count, len(free)))
    found: list[str] = []
    while len(found) < count:
        document = source.choice(pool)
        if document not in taken:
            taken.add(document)
            found.append(document)
    return found


def _triplets(material: Material) -> Table:
    taught = _with_negatives(material)
    rows = (
        (*material.texts(judgement), material.document(negative.document_id))
        for judgement in taught
        for negative in material.negatives[judgement.query_id]
    )
    left_out = len(material.positives) - len(taught)
    return table(("anchor", "positive", "negative"), rows, {"pairs left out, without negatives": left_out})


def _distillation(material: Material) -> Table:
    """Rows with a teacher's score for every candidate; as many negatives as the query with fewest has."""
    taught = _with_negatives(material)
    count = min((len(material.negatives[j.query_id]) for j in taught), default=0)
    candidates = [(judgement, *material.negatives[judgement.query_id][:count]) for judgement in taught]
    rows = (
        (material.texts(row[0])[0], *(material.document(c.document_id) for c in row), [float(c.score) for c in row])
        for row in candidates
    )
    left_out = len(material.positives) - len(taught)
    columns = ("anchor", "positive", *_numbered(count), "label")
    return table(columns, rows, {"pairs left out, without negatives": left_out})


def _with_negatives(material: Material) -> list[Judgement]:
    taught = [judgement for judgement in material.positives if material.negatives.get(judgement.query_id)]
    if material.positives and not taught:
        raise material.refuse("no query has negatives; add a miner under 'negatives', or loosen its limits")
    return taught


Node = tuple[Role, str]


def scored_pairs(material: Material) -> Table:
    """Rows of query, document and score.

    Raises DataError where a score is out of the loss's range, UserError where all are the same.
    """
    limits = material.innermost.score_range
    for judgement in material.judgements:
        if limits and not limits[0] <= judgement.score <= limits[1]:
            allowed = f"needs scores from {limits[0]:g} to {limits[1]:g}"
            raise _misfit(material, judgement, f"{allowed}; scale them, or use 'cosent', which only needs their order")
    if len({judgement.score for judgement in material.judgements}) == 1:
        same = f"every pair has the score {material.judgements[0].score:g}"
        raise material.refuse(f"{same}; name the source's column of scores, or use 'multiple_negatives_ranking'")
    rows = ((*material.texts(judgement), float(judgement.score)) for judgement in material.judgements)
    return table(("sentence1", "sentence2", "score"), rows)


def _misfit(material: Material, judgement: Judgement, what: str) -> DataError:
    pair = f"query '{judgement.query_id}' and document '{judgement.document_id}'"
    return DataError(f"{material.data.path}: {pair} have the score {judgement.score:g}; '{material.loss.type}' {what}")


def labelled_pairs(material: Material) -> Table:
    """Rows of query, document and whether they belong together; negatives do not.

    Raises DataError where a score is neither 0 nor 1, UserError where all pairs are alike.
    """
    for judgement in material.judgements:
        if judgement.score not in (0, 1):
            raise _misfit(material, judgement, "needs 0 or 1; use 'cosent' or 'cosine_similarity' for graded scores")
    rows = [(*material.texts(judgement), int(judgement.score)) for judgement in material.judgements]
    mined = [judgement for judgements in material.negatives.values() for judgement in judgements]
    rows += [(*material.texts(judgement), 0) for judgement in mined]
    if len({label for _, _, label in rows}) == 1:
        what = "give pairs that differ in this too (1 belongs together, 0 does not), or add a miner under 'negatives'"
        raise material.refuse(f"every pair has the label {rows[0][2]}; {what}")
    return table(("sentence1", "sentence2", "label"), rows)


def labelled_texts(material: Material) -> Table:
    """Rows of text and label; texts joined by a judgement, also by way of others, have the same.

    Prompts are put before the texts here, since one column holds queries and documents.
    Raises UserError where there are not two labels.
    """
    labels = _components(material)
    if len(set(labels.values())) == 1:
        raise material.refuse("all its queries and documents belong together, so there is nothing to tell apart")
    rows = (
        (material.prompts.get(role, "") + _text(material, (role, id_)), label) for (role, id_), label in labels.items()
    )
    return table(("sentence", "label"), rows)


def _text(material: Material, node: Node) -> str:
    role, id_ = node
    return material.document(id_) if role == "document" else material.data.queries[id_].text


def _components(material: Material) -> dict[Node, int]:
    """Number the connected components of the graph that relevant judgements make."""
    numbers: dict[Node, int] = {}
    pairs = []
    for judgement in material.positives:
        material.texts(judgement)
        pair: tuple[Node, Node] = ("query", judgement.query_id), ("document", judgement.document_id)
        pairs.append([numbers.setdefault(node, len(numbers)) for node in pair])
    components = UnionFind(len(numbers))
    for query, document in pairs:
        components.join(query, document)
    labels: dict[int, int] = {}
    return {node: labels.setdefault(components.root(number), len(labels)) for node, number in numbers.items()}


_MAKERS: Mapping[Rows, Callable[[Material], Table]] = {
    "pairs": _pairs,
    "triplets": _triplets,
    "scored_pairs": scored_pairs,
    "labelled_pairs": labelled_pairs,
    "labelled_texts": labelled_texts,
    "distillation": _distillation,
}
