"""The miner `dense`."""

from __future__ import annotations

import random

import faiss
import numpy as np
import pytest

from embedrun import DataError, Document, Judgement, Query, RetrievalSet, UserError
from embedrun.testing import check_stage
from embedrun_plugins.models.encode import embed
from embedrun_plugins.stages.miners.dense import Dense


def negatives(mined: RetrievalSet) -> dict[str, list[Judgement]]:
    found: dict[str, list[Judgement]] = {}
    for judgement in mined.negatives():
        found.setdefault(judgement.query_id, []).append(judgement)
    return found


def flag_embedding_candidates(data: RetrievalSet, model, low: int, high: int) -> dict[str, list[str]]:
    """The slice of a FAISS search that FlagEmbedding's script takes its sample from, by query id."""
    loaded = model.load("cpu")
    relevant = data.relevant("train")
    documents = list(data.documents.values())
    index = faiss.IndexFlatIP(loaded.get_embedding_dimension())
    index.add(embed(loaded, [d.full_text for d in documents], "document").numpy())
    asked = embed(loaded, [data.queries[q].text for q in relevant], "query").numpy()
    places = index.search(asked, high)[1][:, low:high]
    return {
        query: [documents[p].id for p in row if documents[p].id not in relevant[query]]
        for query, row in zip(relevant, places, strict=True)
    }


def test_it_keeps_the_contract(tmp_path):
    mined = check_stage(Dense(range=(1, 10), per_query=3), tmp_path)
    assert all(len(found) <= 4 for found in negatives(mined).values())
    assert len(mined.negatives()) > 20


@pytest.mark.parametrize("ranks", [(0, 5), (3, 60), (3, 1000)])
def test_candidates_are_those_of_a_plain_faiss_search(model, make_set, make_context, ranks):
    data = make_set()
    stage = Dense(range=ranks, per_query=ranks[1] - ranks[0], sampling="top", near_equal=None)
    found = negatives(stage.run(make_context(), data, model))
    for query, wanted in flag_embedding_candidates(data, model, ranks[0], min(ranks[1], 256)).items():
        assert {judgement.document_id for judgement in found[query]} == set(wanted)
        scores = [judgement.score for judgement in found[query]]
        assert scores == sorted(scores, reverse=True)


def test_candidates_are_those_of_faiss_on_the_real_model_and_data(minilm, data, make_context, tmp_path):
    from embedrun import Model
    from embedrun_plugins.stages.sources.llama_index import LlamaIndex

    whole = LlamaIndex(path=data / "llamaindex-10k").run(make_context("source"))
    documents = [Document(d.id, d.text[:300]) for d in whole.searched("train")[:60]]
    held = {document.id for document in documents}
    pairs = [judgement for judgement in whole.qrels("train") if judgement.document_id in held][:20]
    queries = [whole.queries[judgement.query_id] for judgement in pairs]
    small = RetrievalSet.write(tmp_path / "lyft", documents=documents, queries=queries, qrels={"train": pairs})
    stage = Dense(range=(3, 60), per_query=57, sampling="top", near_equal=None)
    found = negatives(stage.run(make_context(), small, Model(minilm)))
    wanted = flag_embedding_candidates(small, Model(minilm), 3, 60)
    assert {query: [j.document_id for j in rows] for query, rows in found.items()} == wanted


def test_a_sample_is_of_the_candidates_and_as_large_as_asked_for(model, make_set, make_context):
    data = make_set()
    wanted = flag_embedding_candidates(data, model, 3, 60)
    found = negatives(Dense(range=(3, 60), per_query=7, near_equal=None).run(make_context(), data, model))
    for query, rows in found.items():
        assert len(rows) == 7
        assert {judgement.document_id for judgement in rows} <= set(wanted[query])
        assert rows == sorted(rows, key=lambda judgement: -judgement.score)


def test_more_queries_do_not_change_the_negatives_of_others(model, make_set, make_context):
    stage = Dense(range=(3, 60), per_query=7)
    few = negatives(stage.run(make_context("few"), make_set(8, "few-set"), model))
    many = negatives(stage.run(make_context("many"), make_set(20, "many-set"), model))
    assert len(many) == 20
    for query, rows in few.items():
        assert [j.document_id for j in rows] == [j.document_id for j in many[query]]


def test_another_seed_draws_others(model, make_set, make_context):
    data, stage = make_set(), Dense(range=(3, 60), per_query=7)
    first, second = (stage.run(make_context(f"s{seed}", seed), data, model).negatives() for seed in (1, 2))
    assert first != second


def test_margins_are_relative_to_the_least_similar_answer(model, make_set, make_context, corpus):
    query = Query.of("where is the anchor kept?")
    everything = {"range": (0, 256), "per_query": 256, "sampling": "top", "near_equal": None}
    bare = make_set(name="bare", queries=[query], qrels={"train": [Judgement(query.id, corpus[0].id)]})
    ranked = Dense(**everything).run(make_context("bare"), bare, model).negatives()
    pairs = [Judgement(query.id, ranked[place].document_id) for place in (30, 10)]
    data = make_set(queries=[query], qrels={"train": pairs})
    every = Dense(**everything).run(make_context("every"), data, model).negatives()
    lowest, middle, low = (ranked[place].score for place in (30, 99, 160))
    assert lowest > middle > low > 0
    for name, limits, highest in (
        ("zero", {"absolute_margin": 0.0}, lowest),
        ("absolute", {"absolute_margin": lowest - middle}, middle),
        ("relative", {"relative_margin": 1 - middle / lowest}, middle),
        ("max", {"max_score": middle}, middle),
        ("both", {"absolute_margin": lowest - middle, "max_score": low}, low),
    ):
        context = make_context(name)
        kept = Dense(**everything, **limits).run(context, data, model).negatives()
        wanted = [j for j in every if j.score < highest - 1e-6]
        assert len(wanted) <= len(kept) <= len(wanted) + 2, name
        assert kept[-len(wanted) :] == wanted, name
        assert context.notes["candidates_outside_limits"] >= len(every) - len(kept)
    low = Dense(**everything, min_score=middle).run(make_context("min"), data, model).negatives()
    assert abs(len(low) - sum(j.score >= middle for j in every)) <= 1


def test_what_equals_an_answer_or_the_query_is_no_negative(model, make_set, make_context, corpus):
    answer = Document.of("The lamp is kept in the copper of room.", where=1)
    twins = [
        Document("twin", "the LAMP is kept,  in the copper of room"),
        Document("near", "The lamp is kept in the copper of a room."),
        Document("question", "Where is the lamp?"),
        Document("titled", "where is the lamp", title="Page"),
    ]
    query, spelled = Query.of("where is the lamp?"), Query.of("Where is the LAMP?")
    others = corpus[100:110]
    data = make_set(
        documents=[answer, *twins, *others, corpus[200]],
        queries=[query, spelled],
        qrels={
            "train": [Judgement(query.id, answer.id), Judgement(spelled.id, corpus[200].id)],
            "dev": [Judgement(query.id, others[0].id)],
        },
    )
    context = make_context()
    stage = Dense(range=(0, 50), per_query=50, use_held_out=True, near_equal=0.7)
    found = negatives(stage.run(context, data, model))
    assert {j.document_id for j in found[query.id]} == {document.id for document in others[1:]}
    assert context.notes["candidates_nearly_equal_to_answers"] == 2
    assert context.notes["candidates_equal_to_answers"] == 2 * 6


def test_other_figures_make_no_twin(model, make_set, make_context):
    answer, other = (
        Document.of(f"The copper of house {year} is kept in the garden of room {year}.") for year in (1, 2)
    )
    query = Query.of("where is the copper?")
    data = make_set(documents=[answer, other], queries=[query], qrels={"train": [Judgement(query.id, answer.id)]})
    found = Dense(range=(0, 5), near_equal=0.5).run(make_context(), data, model).negatives()
    assert [judgement.document_id for judgement in found] == [other.id]


def test_a_whole_passage_is_no_negative_of_its_part(model, make_set, make_context, corpus):
    part = Document("part", "kept in the copper", metadata={"cut_from": corpus[5].id})
    query = Query.of("where is the lamp?")
    data = make_set(documents=[*corpus[:10], part], queries=[query], qrels={"train": [Judgement(query.id, part.id)]})
    found = Dense(range=(0, 20), per_query=20, near_equal=None).run(make_context(), data, model).negatives()
    assert {j.document_id for j in found} == {document.id for document in corpus[:10]} - {corpus[5].id}


def test_what_nearly_equals_an_answer_elsewhere_is_no_negative(model, make_set, make_context, corpus):
    part = Document("part", "kept in the copper", metadata={"cut_from": corpus[5].id})
    gone = Document("gone", "kept in the garden", metadata={"cut_from": "filtered out"})
    near = [Document(f"near {n}", corpus[n].text.replace("of room", "of a room")) for n in (5, 7)]
    query = Query.of("where is the lamp?")
    train, dev = [Judgement(query.id, part.id), Judgement(query.id, gone.id)], [Judgement(query.id, corpus[7].id)]
    documents = [*corpus[:10], part, gone, *near]
    data = make_set(documents=documents, queries=[query], qrels={"train": train, "dev": dev})
    stage = Dense(range=(0, 20), per_query=20, use_held_out=True, near_equal=0.7)
    found = {judgement.document_id for judgement in stage.run(make_context(), data, model).negatives()}
    assert found == {document.id for document in corpus[:10]} - {corpus[5].id, corpus[7].id}


def test_passages_asked_about_in_a_test_are_left_out_unless_wanted(model, make_set, make_context, corpus):
    asked = [Query.of(f"where is the {word}?") for word in ("lamp", "river")]
    qrels = {"train": [Judgement(asked[0].id, corpus[0].id)], "test": [Judgement(asked[1].id, corpus[1].id)]}
    data = make_set(documents=corpus[:6], queries=asked, qrels=qrels)
    everything = {"range": (0, 6), "per_query": 6, "near_equal": None}
    context = make_context()
    left = Dense(**everything).run(context, data, model).negatives()
    assert {j.document_id for j in left} == {document.id for document in corpus[2:6]}
    assert context.notes["passages_left_out_as_held_out"] == 1
    used = Dense(**everything, use_held_out=True).run(make_context("used"), data, model).negatives()
    assert {j.document_id for j in used} == {document.id for document in corpus[1:6]}


def test_only_documents_of_the_train_split_are_searched(model, make_set, make_context, corpus):
    documents = [Document(d.id, d.text, "", {"split": "train" if n % 2 else "test"}) for n, d in enumerate(corpus[:20])]
    query = Query.of("where is the lamp?")
    data = make_set(documents=documents, queries=[query], qrels={"train": [Judgement(query.id, corpus[1].id)]})
    found = Dense(range=(0, 20), per_query=20, near_equal=None).run(make_context(), data, model).negatives()
    assert {j.document_id for j in found} == {d.id for d in documents[3::2]}


def test_equal_texts_are_searched_once_and_taken_once(model, make_set, make_context):
    texts = ["The lamp is kept.", "The river is kept.", "the river is kept", "The river is kept."]
    documents = [Document(f"d{number}", text) for number, text in enumerate(texts)]
    query = Query.of("where is the lamp?")
    data = make_set(documents=documents, queries=[query], qrels={"train": [Judgement(query.id, "d0")]})
    context = make_context()
    found = Dense(range=(0, 5), near_equal=None).run(context, data, model).negatives()
    assert context.notes["passages_searched"] == 3
    assert len(found) == 1


def test_given_negatives_are_kept_before_those_mined_unless_refused(model, make_set, make_context, corpus):
    data = make_set(3)
    given = [Judgement(query, corpus[100].id, 0.5) for query in data.relevant("train")]
    data = make_set(3, "given", negatives=given)
    everything = {"range": (0, 256), "per_query": 256, "near_equal": None, "sampling": "top"}
    kept = Dense(**everything).run(make_context(), data, model).negatives()
    assert kept[:3] == given
    assert len({(j.query_id, j.document_id) for j in kept}) == len(kept) == 3 * 255
    refused = Dense(**everything, keep_given=False).run(make_context("not"), data, model).negatives()
    assert len(refused) == 3 * 255
    assert all(judgement.score != 0.5 for judgement in refused)


def test_prompts_are_those_of_the_model(model, make_set, make_context):
    from embedrun import Model, ModelSettings

    data = make_set(5)
    stage = Dense(range=(0, 256), per_query=256, near_equal=None)
    prompted = Model(model.path, ModelSettings.model_validate({"prompts": {"query": "room house where: "}}))
    plain, told = (stage.run(make_context(f"p{n}"), data, m).negatives() for n, m in enumerate((model, prompted)))
    assert {(j.query_id, j.document_id) for j in plain} == {(j.query_id, j.document_id) for j in told}
    assert {j.score for j in plain} != {j.score for j in told}


def test_too_few_passages_are_counted_and_none_at_all_is_an_error(model, make_set, make_context, corpus):
    context = make_context()
    Dense(range=(3, 200), per_query=10).run(context, make_set(2, documents=corpus[:8]), model)
    assert context.notes["queries_with_fewer_negatives"] == 2
    with pytest.raises(DataError, match=r"the ranks from 4 to 200 of 2 passages hold none, since there are too few"):
        Dense().run(make_context("none"), make_set(2, "two", documents=corpus[:2]), model)
    with pytest.raises(DataError, match=r"may be taken \(18 were outside limits\); .* loosen"):
        Dense(range=(0, 9), max_score=-2).run(make_context("limits"), make_set(2, "limits-set"), model)


def test_a_query_without_negatives_is_told(model, make_set, make_context, corpus):
    first, second = Query.of("where is the lamp?"), Query.of("where is the river?")
    pairs = [Judgement(first.id, corpus[0].id), *(Judgement(second.id, d.id) for d in corpus[:5])]
    data = make_set(documents=corpus[:5], queries=[first, second], qrels={"train": pairs})
    context = make_context()
    Dense(range=(0, 5), near_equal=None).run(context, data, model)
    assert context.notes["queries_without_negatives"] == 1
    assert context.warnings == ["1 of 2 queries have no negative, such as 'where is the river?'"]


def test_nothing_to_mine_for_is_an_error(model, make_set, make_context):
    with pytest.raises(DataError, match="nothing to mine for"):
        Dense().run(make_context(), make_set(qrels={}), model)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_faiss_cells_find_nearly_all(metric, make_context):
    import torch

    from embedrun_plugins.stages.miners.faiss_index import Cells
    from embedrun_plugins.stages.miners.ranking import Exact, ranked

    source = torch.Generator().manual_seed(0)
    documents, queries = torch.randn(3000, 16, generator=source), torch.randn(40, 16, generator=source)
    exact = Exact(documents, metric)
    cells = Cells.of(make_context(), documents, metric, probes=1000)
    for one, other in zip(ranked(exact, queries, (3, 50)), ranked(cells, queries, (3, 50)), strict=True):
        assert (one.positions == other.positions).mean() > 0.99
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    assert cells.recall(exact, queries, 50) == 1.0
    fewer = Cells.of(make_context("fewer"), documents, metric, probes=4)
    assert 0.2 < fewer.recall(exact, queries, 50) < 1.0


def test_the_faiss_index_gives_the_same_twice_and_says_what_it_misses(tmp_path, model, make_set, make_context):
    data = make_set()
    check_stage(Dense(range=(3, 60), index="faiss", probes=2), tmp_path / "check", data=data, model=model)
    context = make_context()
    Dense(range=(3, 60), index="faiss", probes=2).run(context, data, model)
    assert 0 < context.notes["recall_of_index"] <= 1


def test_the_faiss_index_has_no_manhattan_distance(make_context):
    import torch

    from embedrun_plugins.stages.miners.faiss_index import Cells

    with pytest.raises(UserError, match="index: exact"):
        Cells.of(make_context(), torch.ones(3, 2), "manhattan", 1)


def test_progress_is_told_for_every_part(model, make_set, make_context):
    told = []
    context = make_context()
    object.__setattr__(context, "on_progress", lambda label, done, total: told.append((label, done, total)))
    Dense(range=(0, 20)).run(context, make_set(), model)
    last = {label: (done, total) for label, done, total in told}
    assert last == {"encode queries": (20, 20), "encode passages": (256, 256), "search": (20, 20)}


def test_faults_say_what_is_wrong():
    def faults(**fields):
        return list(Dense(**fields).faults())

    assert faults() == []
    assert faults(range="3-200") == []
    assert "holds no rank" in faults(range=(5, 5))[0]
    assert "cannot come from the 7 ranks" in faults(range=(3, 10), per_query=8)[0]
    assert "above max_score" in faults(min_score=0.9, max_score=0.1)[0]
    assert "index: faiss only" in faults(probes=3)[0]
    assert Dense(index="faiss").needs() == {"faiss": "mining"}
    assert Dense().needs() == {}


def test_pairs_score_as_the_search_does():
    import torch

    from embedrun_plugins.models.nearest import nearest
    from embedrun_plugins.stages.miners.ranking import pair_scores

    source = torch.Generator().manual_seed(0)
    one, other = torch.randn(9, 8, generator=source), torch.randn(9, 8, generator=source)
    for similarity in ("cosine", "dot", "euclidean", "manhattan"):
        ranking = nearest(one, other, 9, similarity=similarity)[8]
        whole = np.take_along_axis(ranking.scores, ranking.positions.argsort(axis=1), axis=1)
        np.testing.assert_allclose(pair_scores(one, other, similarity), whole.diagonal(), atol=1e-5)


def test_blocks_of_queries_change_nothing(model, make_set, make_context, monkeypatch):
    from embedrun_plugins.stages.miners import ranking

    data, stage = make_set(), Dense(range=(3, 60))
    whole = stage.run(make_context("whole"), data, model).negatives()
    monkeypatch.setattr(ranking, "BLOCK", 7)
    parts = stage.run(make_context("parts"), data, model).negatives()
    assert [(j.query_id, j.document_id) for j in parts] == [(j.query_id, j.document_id) for j in whole]


def test_a_draw_is_fair(model, make_set, make_context):
    """Each candidate is drawn about as often as any other."""
    data = make_set(1)
    counts: dict[str, int] = {}
    chance = random.Random(0)
    for attempt in range(40):
        context = make_context(f"draw{attempt}", seed=chance.randrange(10**6))
        for judgement in Dense(range=(0, 11), per_query=5, near_equal=None).run(context, data, model).negatives():
            counts[judgement.document_id] = counts.get(judgement.document_id, 0) + 1
    assert len(counts) >= 10
    assert all(5 <= count <= 35 for count in counts.values())
