"""Which passages are asked about, and the set with the questions that were found for them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from embedrun.artifacts import CUT_FROM, SPLITS, Document, Judgement, Query, RetrievalSet, Split
from embedrun.context import Context
from embedrun_plugins.stages.texts.keys import near_key

_INSIGNIFICANT = re.compile(r"[\W_]+")
_EXAMPLES = 3


@dataclass(frozen=True)
class AskedPassage:
    """A passage to ask about, and the split that its questions belong to."""

    split: Split
    document: Document


def asked_about(data: RetrievalSet, splits: tuple[Split, ...] | None) -> list[AskedPassage]:
    """Return the passages of some splits, by default train and what of dev and test has no questions yet.

    A passage's split is what its metadata names as `asked`, else as `split`, else train. A passage of train that
    answers a question of dev or test, or equals one that does or that belongs there, or that holds no text, is left
    out.
    """
    judged = {split: data.relevant(split) for split in SPLITS}
    answers = {id_ for split in SPLITS[1:] for relevant in judged[split].values() for id_ in relevant}
    answers |= {document.id for document in data.documents.values() if _split_of(document) in SPLITS[1:]}
    held_out = {near_key(data.documents[id_].full_text) for id_ in answers if id_ in data.documents}
    wanted = splits or tuple(split for split in SPLITS if split == "train" or not judged[split])
    passages = []
    for document in data.documents.values():
        for split in (split for split in wanted if split == _split_of(document)):
            if document.text.strip() and CUT_FROM not in document.metadata:
                held = split == "train" and held_out and near_key(document.full_text) in held_out
                passages += [] if held else [AskedPassage(split, document)]
    return passages


def _split_of(document: Document) -> object:
    return document.metadata.get("asked") or document.metadata.get("split") or "train"


def sample(passages: Sequence[AskedPassage], limit: int | None, seed: int) -> list[AskedPassage]:
    """Return a random `limit` of the passages in their order; a larger limit takes the same ones and more."""
    if limit is None or limit >= len(passages):
        return list(passages)
    order = list(range(len(passages)))
    random.Random(seed).shuffle(order)  # noqa: S311  # a sample is no secret
    return [passages[index] for index in sorted(order[:limit])]


def same_key(question: str) -> str:
    """Return what equal questions share: the words, without case and punctuation."""
    return _INSIGNIFICANT.sub(" ", question.casefold()).strip()


@dataclass(frozen=True)
class AskedQuestions:
    """Questions about one passage, or about several that only answer them together."""

    passages: tuple[AskedPassage, ...]
    texts: Sequence[str]
    metadata: Mapping[str, object] = field(default_factory=dict)
    """What the new queries carry."""

    @property
    def split(self) -> Split:
        return self.passages[0].split


def publish(
    ctx: Context, data: RetrievalSet, questions: Sequence[tuple[AskedPassage, Sequence[str]]], **by: str
) -> RetrievalSet:
    """Write the set as `publish_all` does, with questions about one passage each; queries carry `by` as metadata."""
    return publish_all(ctx, data, [AskedQuestions((passage,), texts, by) for passage, texts in questions])


def publish_all(ctx: Context, data: RetrievalSet, questions: Sequence[AskedQuestions]) -> RetrievalSet:
    """Write the set with questions added below `ctx.out`, noting how many.

    A question that was found for several passages, or that the set has already, becomes one query for which all of
    them are relevant; one that is asked in dev or test is not trained on. What the set has stays, and passages that it
    has not are added.
    """
    queries, documents = dict(data.queries), dict(data.documents)
    qrels = {split: data.qrels(split) for split in SPLITS}
    ids = {same_key(query.text): query.id for query in queries.values()}
    tested = {line.query_id for split in SPLITS[1:] for line in qrels[split]}
    judged = {split: {(line.query_id, line.document_id) for line in lines} for split, lines in qrels.items()}
    skipped = 0
    for group, text in _tests_first(questions):
        new, split = Query.of(text, **group.metadata), group.split
        id_ = ids.setdefault(same_key(text), new.id)
        if split == "train" and id_ in tested:
            skipped += 1
            continue
        queries.setdefault(id_, new)
        if split != "train":
            tested.add(id_)
        for document in (passage.document for passage in group.passages):
            documents.setdefault(document.id, document)
            if (id_, document.id) not in judged[split]:
                judged[split].add((id_, document.id))
                qrels[split].append(Judgement(id_, document.id))
    ctx.note("questions", len(queries) - len(data.queries))
    ctx.note("questions_skipped_as_held_out", skipped)
    _show(ctx, questions)
    return RetrievalSet.write(
        ctx.out,
        documents=documents.values(),
        queries=queries.values(),
        qrels={split: lines for split, lines in qrels.items() if lines},
        negatives=data.negatives(),
    )


def _tests_first(questions: Sequence[AskedQuestions]) -> Iterable[tuple[AskedQuestions, str]]:
    for train in (False, True):
        for group in questions:
            if (group.split == "train") is train:
                yield from ((group, text) for text in group.texts)


def _show(ctx: Context, questions: Sequence[AskedQuestions]) -> None:
    for split in SPLITS:
        texts = [text for group in questions if group.split == split for text in group.texts]
        if texts:
            ctx.note(f"{split}_question_examples", texts[:: -(-len(texts) // _EXAMPLES)])
