"""Questions that several passages answer only together."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from embedrun.artifacts import Document, RetrievalSet
from embedrun.context import Context
from embedrun.testing import tiny_model
from embedrun_plugins.stages.generators.multi_hop import MultiHop, grouped
from embedrun_plugins.stages.generators.openai import OpenAI
from embedrun_plugins.stages.generators.question_set import AskedPassage
from embedrun_plugins.stages.texts.near_duplicates import clusters

TOPICS = ("copper lantern brass", "river timber barge", "violin maker spruce")
TEXTS = [
    f"The {topic} trade of town-{topic[0]}{number} {('fell', 'grew')[number % 2]} in {1900 + number} by {number}%."
    for topic in TOPICS
    for number in range(6)
]


@pytest.fixture
def chat(server):
    def make(**values: Any) -> OpenAI:
        return OpenAI(base_url=f"{server.url}/v1", **{"model": "llama", **values})

    return make


def written(folder, documents: list[Document]) -> RetrievalSet:
    return RetrievalSet.write(folder, documents=documents, queries=[], qrels={})


def pool(*texts: str, **metadata: Any) -> list[AskedPassage]:
    return [AskedPassage("train", Document.of(text, **metadata)) for text in texts]


def test_each_passage_of_a_joint_question_is_judged_and_none_twice(chat, server, ask, tmp_path):
    data = written(tmp_path / "in", [Document.of(text) for text in TEXTS])
    ran = ask(chat(multi_hop={"share": 0.5, "passages": 3}, questions_per_passage=1), data)
    assert len(server.asked) == len(TEXTS)
    assert ran.notes["multi_hop_groups"] == ran.notes["multi_hop_questions"] == 9
    joint = {id_ for id_, query in ran.made.queries.items() if query.metadata.get("passages_needed") == 3}
    assert len(joint) == 9
    sizes = {len(relevant) for id_, relevant in ran.made.relevant("train").items() if id_ in joint}
    assert sizes == {3}
    body = next(request[1] for request in server.asked if "3 passages" in str(request[1]))
    assert body["messages"][-1]["content"].count("<passage>") == 3


def test_partners_are_similar_no_copies_and_no_two_groups_are_the_same(tmp_path):
    copies = [f"{text.removesuffix('.')}!" for text in TEXTS[:3]]
    passages = pool(*TEXTS, *copies)
    ctx = Context(out=tmp_path, state=tmp_path)
    groups = grouped(ctx, passages, passages, MultiHop(share=1))
    joint = [group for group in groups if len(group) > 1]
    assert len(joint) >= len(TEXTS) - 3
    assert len({frozenset(passage.document.id for passage in group) for group in joint}) == len(joint)
    for group in joint:
        texts = [passage.document.text for passage in group]
        assert len({next(topic for topic in TOPICS if topic in text) for text in texts}) == 1
        for pair in combinations(texts, 2):
            assert len(set(clusters(pair).tolist())) == 2


def test_partners_are_of_the_same_split_and_of_other_sources_where_that_is_asked(tmp_path):
    ctx = Context(out=tmp_path, state=tmp_path)
    train = [*pool(*TEXTS[:3], source="a.pdf"), *pool(*TEXTS[3:6], source="b.pdf")]
    test = [AskedPassage("test", Document.of(f"{text} Then it rained.")) for text in TEXTS[:2]]
    groups = grouped(ctx, [*train, test[0]], [*train, *test], MultiHop(different_sources=True))
    for group in groups[:-1]:
        assert {passage.document.metadata["source"] for passage in group} == {"a.pdf", "b.pdf"}
    assert groups[-1] == tuple(test)


def test_a_passage_without_a_partner_is_asked_about_alone(chat, server, ask, tmp_path):
    ran = ask(chat(multi_hop={"share": 1}), written(tmp_path / "in", [Document.of("Nothing is like this one.")]))
    assert "multi_hop_groups" not in ran.notes
    assert len(ran.made.queries) == 2


def test_similar_passages_are_found_by_the_models_vectors_too(tmp_path):
    ctx = Context(out=tmp_path, state=tmp_path, model=tiny_model(tmp_path / "model"), device="cpu")
    passages = pool(*TEXTS)
    stage = OpenAI(model="m", multi_hop={"by": "model"})
    assert stage.uses_model()
    assert not OpenAI(model="m", multi_hop={}).uses_model()
    groups = grouped(ctx, passages[:4], passages, MultiHop(by="model"))
    assert [len(group) for group in groups] == [2, 2, 2, 2]
    assert all(group[0] != group[1] for group in groups)
    assert grouped(ctx, passages[:4], passages, MultiHop(by="model")) == groups


def test_a_second_run_with_joint_questions_pays_nothing(chat, server, ask, tmp_path):
    data = written(tmp_path / "in", [Document.of(text) for text in TEXTS])
    stage = chat(multi_hop={"share": 0.5}, styles=["comparison", "factual"])
    first, count = ask(stage, data), len(server.asked)
    assert ask(stage, data).notes["requests_sent"] == 0
    assert len(server.asked) == count == first.notes["requests_sent"]
