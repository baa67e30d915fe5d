"""Shares of the training data are nested, whole in their units, and stay what they were when data is added."""

from __future__ import annotations

import pytest

from embedrun import Context, Document, Judgement, Query, RetrievalSet
from embedrun.plan import keyed
from embedrun_plugins.stages.trainers.flag_embedding import FlagEmbedding
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer
from embedrun_plugins.stages.trainers.training_share import chosen_queries, shared


def questions(folder, facts, *, start=0):
    """Write facts with two questions each, two of which are near copies, and one question for dev."""
    words = [f"fact number {word * 9} of the house" for word in map(str, range(start, start + facts))]
    documents = [Document(f"d{n}", text) for n, text in enumerate(words, start)]
    queries = [Query(f"q{n}{part}", f"{part} question {n}") for n in range(start, start + facts) for part in "ab"]
    train = [Judgement(f"q{n}{part}", f"d{n}") for n in range(start, start + facts - 1) for part in "ab"]
    last = f"{start + facts - 1}"
    negatives = [Judgement(f"q{start}a", f"d{start + 1}"), Judgement(f"q{start + 1}b", f"d{start}")]
    return RetrievalSet.write(
        folder,
        documents=documents,
        queries=queries,
        qrels={"train": train, "dev": [Judgement(f"q{last}a", f"d{last}")]},
        negatives=negatives,
    )


def test_shares_are_nested_and_of_about_their_size(tmp_path):
    data = questions(tmp_path / "set", 201)
    chosen = [chosen_queries(data, share, 42) for share in (0.125, 0.25, 0.5, 1.0)]
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3]
    assert chosen[3] == data.relevant("train").keys()
    for share, queries in zip((0.125, 0.25, 0.5), chosen, strict=False):
        assert abs(len(queries) / 400 - share) < 0.1
    assert all(query[:-1] + other in chosen[1] for query in chosen[1] for other in "ab"), "facts are whole"
    assert chosen_queries(data, 0.25, 7) != chosen[1], "another seed draws others"


def test_added_data_leaves_a_share_what_it_was(tmp_path):
    small, large = questions(tmp_path / "small", 51), questions(tmp_path / "large", 101)
    before, after = (chosen_queries(data, 0.25, 42) for data in (small, large))
    assert before < after
    assert {query for query in after if query in small.relevant("train")} == before


def test_what_is_trained_on_is_cut_and_nothing_else(tmp_path):
    data, notes = questions(tmp_path / "set", 41), {}
    (tmp_path / "state").mkdir()
    ctx = Context(out=tmp_path, state=tmp_path / "state", on_note=notes.__setitem__)
    assert shared(ctx, data, None) is data
    assert shared(ctx, data, 1.0) is data
    part = shared(ctx, data, 0.5)
    assert part.relevant("train").keys() == chosen_queries(data, 0.5, 42)
    assert notes == {"share_queries": len(part.relevant("train"))}
    assert part.documents == data.documents
    assert part.qrels("dev") == data.qrels("dev")
    assert {judgement.query_id for judgement in part.negatives()} == {"q0a", "q1b"} & part.relevant("train").keys()


@pytest.mark.parametrize("trainer", [SentenceTransformersTrainer, FlagEmbedding])
def test_a_share_is_part_of_the_key_only_where_it_is_set(trainer):
    assert "share" not in keyed(trainer())
    assert "share" not in keyed(trainer(share=1))
    assert keyed(trainer(share=0.5))["share"] == 0.5
