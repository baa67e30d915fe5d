"""Rows for a loss, made from a retrieval set; columns are always in the order that the loss reads them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from embedrun.artifacts import Judgement
from embedrun.stages import Rows
from embedrun_plugins.trainers import judged
from embedrun_plugins.trainers.material import Material, Table, table


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


_MAKERS: Mapping[Rows, Callable[[Material], Table]] = {
    "pairs": _pairs,
    "triplets": _triplets,
    "scored_pairs": judged.scored_pairs,
    "labelled_pairs": judged.labelled_pairs,
    "labelled_texts": judged.labelled_texts,
    "distillation": _distillation,
}
