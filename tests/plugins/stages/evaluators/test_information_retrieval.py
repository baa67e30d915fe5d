"""Every metric equals sentence-transformers' own evaluator, and ir_measures on the files written."""

from __future__ import annotations

import random
import re
from pathlib import Path

import ir_measures
import pytest
from pydantic import ValidationError

from embedrun import Context, DataError, Document, Judgement, Query, RetrievalSet, Scores, UserError
from embedrun.artifacts import Model
from embedrun.model_settings import ModelSettings, Prompts
from embedrun.testing import check_stage, small_set, tiny_model
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval

WORDS = [
    "anchor",
    "lamp",
    "river",
    "stone",
    "cloud",
    "copper",
    "garden",
    "violin",
    "harbour",
    "pepper",
    "window",
    "saddle",
]
MEASURES = {
    "accuracy": "Success",
    "hit_rate": "Success",
    "precision": "P",
    "recall": "R",
    "mrr": "RR",
    "ndcg": "nDCG",
    "map": "AP",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Forty passages, ten of them under two ids; twelve queries with one to seven relevant ones, graded 0 to 3."""
    chance = random.Random(1)
    texts = [" ".join(chance.sample(WORDS, chance.randint(2, 9))) for _ in range(40)]
    documents = [Document(f"d{number:02}", text, title="the" * (number % 2)) for number, text in enumerate(texts)]
    documents += [Document(f"c{number:02}", documents[number].text, documents[number].title) for number in range(10)]
    queries = [Query(f"q{number}", f"where is the {word}") for number, word in enumerate(WORDS)]
    qrels = [
        Judgement(query.id, document.id, float(chance.randint(0, 3)))
        for query in queries
        for document in chance.sample(documents, chance.randint(1, 7))
    ]
    qrels += [Judgement(query.id, "d05", 2.0) for query in queries[:4]]
    qrels += [Judgement("q1", "gone", 1.0)]
    return RetrievalSet.write(
        tmp_path_factory.mktemp("graded"), documents=documents, queries=queries, qrels={"test": qrels}
    )


def context(folder: Path, **reports) -> Context:
    (folder / "out").mkdir(parents=True)
    return Context(out=folder / "out", state=folder / "state", device="cpu", **reports)


def sentence_transformers_own(data, loaded, dimension=None):
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    judge = InformationRetrievalEvaluator(
        queries={query.id: query.text for query in data.queries.values()},
        corpus={document.id: document.full_text for document in data.documents.values()},
        relevant_docs={query: set(documents) for query, documents in data.relevant("test").items()},
        truncate_dim=dimension,
        write_csv=False,
        batch_size=64,
    )
    prefix = f"dim_{dimension}_" if dimension else ""
    return {re.sub("^[a-z]+_", prefix, name): float(value) for name, value in judge(loaded).items()}


def recomputed(folder, label, names):
    """Compute metrics from the TREC files: {metric: {query: value}}."""
    prefix = f"{label}_" if label else ""
    run = folder / ".".join(filter(None, ("run", label, "trec")))
    wanted = {ir_measures.parse_measure(f"{MEASURES[name.split('@')[0]]}@{name.split('@')[1]}"): [] for name in names}
    for name in names:
        wanted[ir_measures.parse_measure(f"{MEASURES[name.split('@')[0]]}@{name.split('@')[1]}")].append(name)
    found = {prefix + name: {} for name in names}
    qrels = list(ir_measures.read_trec_qrels(str(folder / "qrels.trec")))
    for value in ir_measures.iter_calc(list(wanted), qrels, list(ir_measures.read_trec_run(str(run)))):
        for name in wanted[value.measure]:
            found[prefix + name][value.query_id] = value.value
    return found


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_metrics_equal_sentence_transformers_at_every_dimension(graded, model, tmp_path, similarity):
    stage = InformationRetrieval(dimensions=(8, 16), similarity=similarity)
    scores = stage.run(context(tmp_path), graded, model)
    loaded = model.load("cpu")
    loaded.similarity_fn_name = similarity
    expected = sentence_transformers_own(graded, loaded)
    expected |= sentence_transformers_own(graded, loaded, 8) | sentence_transformers_own(graded, loaded, 16)
    assert scores.metrics == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("gains", ["binary", "graded"])
def test_metrics_equal_ir_measures_on_the_files_written(graded, model, tmp_path, gains):
    stage = InformationRetrieval(dimensions=(8,), gains=gains, hit_rate_at_k=(2,), ndcg_at_k=(3, 10), mrr_at_k=(4,))
    scores = stage.run(context(tmp_path), graded, model)
    names = [name for name in scores.metrics if not name.startswith("dim_")]
    for label in ("", "dim_8"):
        for name, by_query in recomputed(scores.path, label, names).items():
            assert scores.per_query[name] == pytest.approx(by_query, abs=1e-6), name
            assert scores.metrics[name] == pytest.approx(sum(by_query.values()) / len(by_query), abs=1e-6)


def test_graded_gains_change_ndcg_alone(graded, model):
    loaded = model.load("cpu")
    binary, by_grade = (
        InformationRetrieval(gains=gains).score(loaded, graded, "test") for gains in ("binary", "graded")
    )
    assert {name for name in binary if binary[name] != by_grade[name]} == {"ndcg@10"}


def test_map_counts_at_most_k_relevant_documents(tmp_path, model):
    documents = [Document(f"d{number}", f"the {word}") for number, word in enumerate(WORDS)]
    data = RetrievalSet.write(
        tmp_path / "data",
        documents=documents,
        queries=[Query("q", "where")],
        qrels={"test": [Judgement("q", document.id) for document in documents]},
    )
    scores = InformationRetrieval(map_at_k=(5,)).run(context(tmp_path), data, model)
    assert scores.metrics["map@5"] == 1
    assert recomputed(scores.path, "", ["map@5"])["map@5"]["q"] == pytest.approx(5 / len(documents))


def test_metrics_names_exactly_what_is_measured(graded, model, tmp_path):
    stage = InformationRetrieval(dimensions=(16, 8, 16), hit_rate_at_k=(5,), accuracy_at_k=())
    scores = stage.run(context(tmp_path), graded, model)
    assert set(scores.metrics) == stage.metrics() == set(scores.per_query)
    assert {"dim_8_ndcg@10", "hit_rate@5", "map@100"} <= stage.metrics()
    assert list(stage.headline(list(scores.metrics))) == [
        "ndcg@10",
        "mrr@10",
        "recall@10",
        "hit_rate@5",
        "dim_8_ndcg@10",
        "dim_16_ndcg@10",
    ]


def test_score_in_training_gives_the_same_figures(graded, model, tmp_path):
    stage = InformationRetrieval(dimensions=(8,), batch_size=7)
    assert stage.score(model.load("cpu"), graded, "test") == stage.run(context(tmp_path), graded, model).metrics


def test_equal_documents_rank_by_id_and_the_run_file_keeps_that_order_by_score_alone(graded, model, tmp_path):
    InformationRetrieval().run(context(tmp_path), graded, model)
    lines = [line.split() for line in (tmp_path / "out" / "run.trec").read_text("utf-8").splitlines()]
    for query in graded.queries:
        own = [(float(score), document) for asked, _, document, _, score, _ in lines if asked == query]
        assert [score for score, _ in own] == sorted({score for score, _ in own}, reverse=True)
        order = [document for _, document in own]
        assert all(order.index(f"d{n:02}") == order.index(f"c{n:02}") + 1 for n in range(10))


def test_each_distinct_text_is_encoded_once_for_all_dimensions(graded, model, monkeypatch):
    loaded = model.load("cpu")
    seen = []
    encode = type(loaded).encode_document
    monkeypatch.setattr(
        type(loaded), "encode_document", lambda self, texts, **rest: seen.extend(texts) or encode(self, texts, **rest)
    )
    InformationRetrieval(dimensions=(4, 8, 16)).score(loaded, graded, "test")
    assert len(seen) == len(set(seen)) == 40


def test_the_contract_s_prompts_are_applied_by_role(graded, model, tmp_path):
    prompted = Model(model.path, ModelSettings(prompts=Prompts(query="river ", document="stone ")))
    data = RetrievalSet.write(
        tmp_path / "data",
        documents=[Document(d.id, f"stone {d.full_text}") for d in graded.documents.values()],
        queries=[Query(q.id, f"river {q.text}") for q in graded.queries.values()],
        qrels={"test": graded.qrels("test")},
    )
    stage = InformationRetrieval()
    assert stage.score(prompted.load("cpu"), graded, "test") == stage.score(model.load("cpu"), data, "test")


def test_a_stage_keeps_the_contract(tmp_path):
    made = check_stage(InformationRetrieval(dimensions=(8, 16)), tmp_path)
    assert isinstance(made, Scores)
    assert {path.name for path in made.path.iterdir()} == {
        "metrics.json",
        "per_query.json",
        "units.json",
        "qrels.trec",
        "run.trec",
        "run.dim_8.trec",
        "run.dim_16.trec",
    }


def test_progress_and_counts_are_reported(tmp_path, model):
    notes, labels = {}, set()
    ctx = context(tmp_path, on_note=notes.__setitem__, on_progress=lambda label, *_: labels.add(label))
    InformationRetrieval().run(ctx, small_set(tmp_path / "data"), model)
    assert notes == {"queries": 4, "documents": 16, "independent_units": 4, "units_by": "document"}
    assert labels == {"encode queries", "encode documents", "search"}


def numbered(folder, *, judged="2", same=False):
    """Queries and documents that are both numbered from 1; the query is one of the documents if `same`."""
    documents = [Document(str(number), f"the {word}") for number, word in enumerate(WORDS, start=1)]
    query = Query("1", "The  anchor" if same else "where is the anchor")
    return RetrievalSet.write(folder, documents=documents, queries=[query], qrels={"test": [Judgement("1", judged)]})


def top(folder):
    return [line.split()[2] for line in (folder / "out" / "run.trec").read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    ("same", "judged", "setting", "dropped", "warned"),
    [
        (False, "2", None, False, "1 documents have a query's id but not its text: they stay results"),
        (False, "2", True, True, "1 documents have a query's id but not its text: they are left out"),
        (False, "2", False, False, None),
        (True, "2", None, True, None),
        (True, "1", None, False, "1 documents have"),
        (True, "2", False, False, None),
    ],
)
def test_a_document_with_its_query_s_id(tmp_path, model, same, judged, setting, dropped, warned):
    warnings = []
    stage = InformationRetrieval(ignore_identical_ids=setting)
    stage.run(
        context(tmp_path, on_warning=warnings.append), numbered(tmp_path / "data", judged=judged, same=same), model
    )
    assert ("1" not in top(tmp_path)) is dropped
    assert len(top(tmp_path)) == len(WORDS) - dropped
    assert [message.startswith(warned) for message in warnings] == ([True] if warned else [])


def test_only_the_split_s_own_documents_are_searched(tmp_path, model):
    documents = [
        Document(f"d{number}", f"the {word}", metadata={"split": ("train", "test")[number % 2]})
        for number, word in enumerate(WORDS)
    ]
    data = RetrievalSet.write(
        tmp_path / "data",
        documents=documents,
        queries=[Query("q", "lamp")],
        qrels={"test": [Judgement("q", "d1"), Judgement("q", "d2")]},
    )
    warnings = []
    scores = InformationRetrieval().run(context(tmp_path, on_warning=warnings.append), data, model)
    assert set(top(tmp_path)) == {f"d{number}" for number in range(1, len(WORDS), 2)}
    assert scores.metrics["recall@10"] == 0.5
    assert warnings == ["1 relevant documents are not among those searched; they count as not found"]


def test_ids_with_spaces_are_one_word_in_trec_files(tmp_path, model):
    data = RetrievalSet.write(
        tmp_path / "data",
        documents=[Document("a b", "the lamp"), Document("c", "the river")],
        queries=[Query("q 1", "lamp")],
        qrels={"test": [Judgement("q 1", "a b")]},
    )
    scores = InformationRetrieval().run(context(tmp_path), data, model)
    assert recomputed(scores.path, "", ["recall@10"])["recall@10"] == {"q%201": 1.0}


def test_a_split_without_relevant_documents_says_what_to_do(tmp_path, model):
    data = RetrievalSet.write(
        tmp_path / "data",
        documents=[Document("d", "the lamp")],
        queries=[Query("q", "lamp")],
        qrels={"train": [Judgement("q", "d")], "test": [Judgement("q", "d", 0.0)]},
    )
    with pytest.raises(DataError, match=r"no query of the 'test' split .*have such queries: train\); hold some out"):
        InformationRetrieval().run(context(tmp_path), data, model)


def test_a_judged_query_without_text_is_named(tmp_path, model):
    data = small_set(tmp_path / "data")
    with (tmp_path / "data" / "qrels" / "test.tsv").open("a") as stream:
        stream.write(f"nobody\t{next(iter(data.documents))}\t1\n")
    with pytest.raises(DataError, match=r"qrels/test.tsv: judges query 'nobody', which queries.jsonl does not hold$"):
        InformationRetrieval().run(context(tmp_path), RetrievalSet(data.path), model)


def test_graded_gains_must_be_whole_numbers(tmp_path, model):
    data = RetrievalSet.write(
        tmp_path / "data",
        documents=[Document("d", "the lamp")],
        queries=[Query("q", "lamp")],
        qrels={"test": [Judgement("q", "d", 0.5)]},
    )
    with pytest.raises(DataError, match=r"query 'q', document 'd': graded gains must be whole numbers, not 0\.5"):
        InformationRetrieval(gains="graded").run(context(tmp_path), data, model)


def test_more_dimensions_than_the_model_has_are_refused(tmp_path, model):
    with pytest.raises(UserError, match="have 32 dimensions, so 64, 128 cannot be scored"):
        InformationRetrieval(dimensions=(16, 64, 128)).run(context(tmp_path), small_set(tmp_path / "data"), model)


def test_a_configuration_that_measures_nothing_is_a_fault():
    empty = dict.fromkeys(("accuracy_at_k", "precision_recall_at_k", "mrr_at_k", "ndcg_at_k", "map_at_k"), ())
    assert list(InformationRetrieval(**empty).faults()) == ["measures nothing: all its lists of cut-offs are empty"]
    assert not list(InformationRetrieval().faults())
    with pytest.raises(ValidationError):
        InformationRetrieval(ndcg_at_k=(0,))


@pytest.mark.slow
def test_a_part_of_cranfield_with_the_real_model_equals_both_references(data, minilm, tmp_path):
    cranfield = part_of(RetrievalSet(data / "cranfield"), tmp_path / "data")
    model = Model(minilm)
    stage = InformationRetrieval(batch_size=64)
    scores = stage.run(context(tmp_path), cranfield, model)
    assert scores.metrics == pytest.approx(sentence_transformers_own(cranfield, model.load("cpu")), abs=1e-6)
    for name, by_query in recomputed(scores.path, "", list(scores.metrics)).items():
        assert scores.per_query[name] == pytest.approx(by_query, abs=1e-6), name


def part_of(whole, out):
    """Twenty queries, their shorter relevant documents, and others of their length."""
    queries = list(whole.queries.values())[:20]
    short = {key: document for key, document in whole.documents.items() if len(document.full_text) < 600}
    judged = [j for j in whole.qrels("test") if int(j.query_id) <= 20 and j.document_id in short]
    documents = {j.document_id: short[j.document_id] for j in judged} | dict(list(short.items())[:60])
    return RetrievalSet.write(out, documents=documents.values(), queries=queries, qrels={"test": judged})


def test_the_metric_that_the_verdict_is_on_comes_first():
    stage = InformationRetrieval(metric="mrr@10", dimensions=(8,))
    assert list(stage.headline(sorted(stage.metrics()))) == ["mrr@10", "ndcg@10", "recall@10", "dim_8_ndcg@10"]
    assert list(InformationRetrieval(metric="mrr@1").faults()) == [
        "metric: no metric 'mrr@1' is measured; did you mean 'mrr@10'?"
    ]
