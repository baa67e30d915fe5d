"""Which queries count as one."""

from __future__ import annotations

import pytest

from embedrun.artifacts import Document, Judgement, Query, RetrievalSet
from embedrun.errors import DataError
from embedrun_plugins.stages.evaluators.query_units import QueryUnits
from embedrun_plugins.stages.evaluators.retrieval_task import Task

STORY = "The desk called Marlin books trains for all staff who travel for work, and nobody else may book them."


def task(folder, judged, documents=(), metadata=None):
    """Make a task of queries by id, each with the ids of its relevant documents."""
    texts = dict(documents)
    names = {document for relevant in judged.values() for document in relevant}
    data = RetrievalSet.write(
        folder,
        documents=[
            Document(
                name, texts.get(name, f"A passage of its own, number {name}."), metadata=(metadata or {}).get(name, {})
            )
            for name in sorted(names)
        ],
        queries=[Query(query, f"question {query}") for query in judged],
        qrels={"test": [Judgement(query, document) for query, relevant in judged.items() for document in relevant]},
    )
    return Task.of(data, "test", graded=False, ignore_identical_ids=None)


def grouped(units):
    groups = {}
    for query, unit in units.units.items():
        groups.setdefault(unit, []).append(query)
    return sorted(groups.values())


def test_queries_that_share_a_passage_are_one_unit_however_far_the_chain(tmp_path):
    chain = {"a": ["1"], "b": ["1", "2"], "c": ["2"], "d": ["3"]}
    units = QueryUnits.of(task(tmp_path, chain), None)
    assert (grouped(units), units.by, len(units)) == ([["a", "b", "c"], ["d"]], "document", 2)


def test_near_copies_of_a_passage_are_one(tmp_path):
    copies = {"1": STORY, "2": STORY.upper(), "3": STORY.replace("nobody", "no body"), "4": "Something else entirely."}
    units = QueryUnits.of(task(tmp_path, {"a": ["1"], "b": ["2"], "c": ["3"], "d": ["4"]}, copies), None)
    assert grouped(units) == [["a", "b", "c"], ["d"]]


def test_every_query_is_its_own_where_the_recipe_says_so(tmp_path):
    units = QueryUnits.of(task(tmp_path, {"a": ["1"], "b": ["1"]}), "none")
    assert (grouped(units), units.by) == ([["a"], ["b"]], "none")


def judged_sources(files):
    """Two queries on each of two passages in each file."""
    names = [f"{file}-{passage}" for file in range(files) for passage in range(2)]
    judged = {f"{name}-{query}": [name] for name in names for query in range(2)}
    return judged, {name: {"source": f"{name.split('-')[0]}.pdf"} for name in names}


@pytest.mark.parametrize(("files", "by", "count"), [(29, "document", 58), (30, "source", 30)])
def test_sources_are_the_units_where_there_are_enough(tmp_path, files, by, count):
    judged, metadata = judged_sources(files)
    units = QueryUnits.of(task(tmp_path, judged, metadata=metadata), None)
    assert (units.by, len(units)) == (by, count)


def test_a_recipe_can_choose_sources_though_they_are_few(tmp_path):
    judged, metadata = judged_sources(3)
    assert len(QueryUnits.of(task(tmp_path, judged, metadata=metadata), "source")) == 3
    with pytest.raises(DataError, match="clusters: source: no passage or query says what it is from"):
        QueryUnits.of(task(tmp_path / "plain", judged), "source")


def test_units_are_read_as_they_were_written(tmp_path):
    units = QueryUnits.of(task(tmp_path / "set", {"a": ["1"], "b": ["1"], "c": ["2"]}), None)
    units.write(tmp_path)
    assert QueryUnits.read(tmp_path) == units
    assert units.numbered(["c", "a", "b", "unknown"]) == [0, 1, 1, 2]
    assert QueryUnits.read(tmp_path / "set").numbered(["a", "b"]) == [0, 1]
