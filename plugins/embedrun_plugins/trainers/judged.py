"""Rows with a score, or with a label that says what belongs together."""

from __future__ import annotations

from embedrun.artifacts import Judgement, Role
from embedrun.errors import DataError
from embedrun_plugins.trainers.material import Material, Table, table

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
    """Number the connected components of the graph that relevant judgements make (union and find)."""
    parents: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for judgement in material.positives:
        material.texts(judgement)
        parents[root(("document", judgement.document_id))] = root(("query", judgement.query_id))
    numbers = {node: number for number, node in enumerate(dict.fromkeys(map(root, list(parents))))}
    return {node: numbers[root(node)] for node in list(parents)}
