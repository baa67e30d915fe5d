"""Whatever a recipe says wrongly is answered with what is wanted, in no words but ours."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from embedrun.errors import RecipeError
from embedrun.model_settings import ModelChoice
from embedrun.recipe import Recipe
from embedrun.recipe_file import load, validate
from embedrun.registry import Registry
from embedrun.stages import KINDS
from embedrun.yamlfile import YamlFile

WRONG: tuple[Any, ...] = (
    *(None, "x", "", "a\nb", -1, 0, 1.5, -0.5, 2, 10**30, True, float("nan"), float("inf")),
    *([], {}, [{}], ["x"], [1], [[1]], [None], {"a": 1}, {"train": 3}, {"type": "zzz"}),
)
NOT_OURS = re.compile(
    r"Input should|String should|Tuple|valid (tuple|dict|list|bool|str|int|num|path)|instance of|dictionary|unable to|"
    r"Field required|Extra inputs|Value error|pydantic|literal\[|function-|tuple\[|dict\[|\[key\]|after validation",
    re.IGNORECASE,
)
BASE: dict[str, Any] = {
    "name": "r",
    "model": {"id": "sentence-transformers/all-MiniLM-L6-v2"},
    "source": {"type": "pairs", "path": "faq.jsonl", "holdout": 0.3},
    "loss": {"type": "multiple_negatives_ranking"},
    "trainer": {"type": "sentence_transformers"},
    "evaluator": [{"type": "information_retrieval"}],
}
LISTS = ("evaluator", "filters", "compare_with", "deployer")
REGISTRY = Registry()


def fields() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield the key of a recipe, a value for it, and a field in it, for every field whose type was not met before."""
    yield from (("", {}, name) for name in Recipe.model_fields)
    yield from (("model", BASE["model"], name) for name in ModelChoice.model_fields)
    seen = set()
    for kind in KINDS:
        for name, entry in REGISTRY.entries(kind).items():
            for field, about in entry.stage.model_fields.items():
                what = (str(about.annotation), str(about.metadata))
                if field != "type" and what not in seen:
                    seen.add(what)
                    yield kind.kind, {"type": name}, field


@pytest.mark.parametrize(
    ("key", "given", "field"), [pytest.param(*case, id=f"{case[0]}.{case[2]}") for case in fields()]
)
def test_no_word_of_the_library_that_checks_reaches_the_user(key, given, field):
    for value in WRONG:
        data = copy.deepcopy(BASE)
        if key:
            stage = {**(data.get(key) if key in ("model", "source") else {}), **given, field: value}
            data[key] = [stage] if key in LISTS else stage
        else:
            data[field] = value
        try:
            validate(YamlFile("r.yaml", data), REGISTRY)
        except RecipeError as error:
            for line in error.lines:
                assert not NOT_OURS.search(line), line
                assert len(line) < 600, line


@pytest.fixture
def refused(tmp_path):
    def lines(text: str) -> tuple[str, ...]:
        (tmp_path / "r.yaml").write_text(text)
        with pytest.raises(RecipeError) as caught:
            load(tmp_path / "r.yaml")
        return tuple(line.removeprefix(f"{tmp_path}/") for line in caught.value.lines)

    return lines


HEAD = "model: sentence-transformers/all-MiniLM-L6-v2\nsource: {type: pairs, path: faq.jsonl, holdout: 0.3}\n"
CASES = {
    "a word for a mapping": (
        "evaluator: {type: information_retrieval, require: [ndcg]}",
        "evaluator.0.require.0: must be a mapping of metric, reranked, min, max, better_than",
    ),
    "one of several types": (
        "deployer: local\nruntime: {type: docker, gpus: x}",
        "runtime.gpus: must be 'all' or 'none' or a whole number, such as 8 or a list, as in [a, b], not 'x'",
    ),
    "a number too small": (
        "loss: triplet\ntrainer: {type: sentence_transformers, batch_size: 0}",
        "trainer.batch_size: must be at least 1, not 0",
    ),
    "no truth value": (
        "loss: triplet\ntrainer: {type: sentence_transformers, bf16: maybe}",
        "trainer.bf16: must be true or false, not 'maybe'",
    ),
    "a mapping for text": ("description: {a: b}\nevaluator: hit_rate", "description: must be text, not a mapping"),
    "another form": (
        "deployer: {type: tei, memory: much}",
        "deployer.0.memory: 'much' does not have the form that is wanted: ",
    ),
    "its key is elsewhere": (
        "loss: triplet\ntrainer: {type: sentence_transformers, max_length: 128}",
        "trainer.max_length: unknown key; did you mean 'model.max_length'?",
    ),
    "its key is at the top": (
        "loss: triplet\ntrainer: {type: sentence_transformers, seed: 1}",
        "trainer.seed: unknown key; did you mean 'seed' at the top of the recipe?",
    ),
    "a stage's key at the top": (
        "loss: triplet\ntrainer: sentence_transformers\nepochs: 1",
        "did you mean 'trainer.epochs'?",
    ),
    "nothing like it among many": (
        "loss: triplet\ntrainer: {type: sentence_transformers, frobnicate: 1}",
        "trainer.frobnicate: unknown key; `embedrun plugins trainer.sentence_transformers` lists what there is",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wanted_is_said(refused, name):
    recipe, said = CASES[name]
    assert said in refused(HEAD + recipe + "\n")[0]


@pytest.mark.parametrize("holdout", ["x", "[0.1]", "true"])
def test_a_holdout_is_shown_by_example(refused, holdout):
    text = HEAD.replace("0.3", holdout) + "evaluator: hit_rate\n"
    assert (
        "source.holdout: must be a share of the queries (0.3), a number of them (700), or {test: 0.1"
        in refused(text)[0]
    )


@pytest.mark.parametrize(
    ("recipe", "at"),
    [
        ("evaluator: {type: information_retrieval, ndcg_at_k: 10}", ("evaluator", 0, "ndcg_at_k")),
        ("evaluator: {type: information_retrieval, require: {metric: ndcg@10, min: 0.3}}", ("evaluator", 0, "require")),
        (
            "loss: triplet\nnegatives: bm25\ntrainer: {type: sentence_transformers, report_to: tensorboard}",
            ("trainer", "report_to"),
        ),
        ("evaluator: hit_rate\nfilters: {type: leakage, splits: train}", ("filters", 0, "splits")),
    ],
)
def test_a_single_value_is_taken_where_a_list_is_wanted(tmp_path, recipe, at):
    (tmp_path / "r.yaml").write_text(HEAD + recipe + "\n")
    value: Any = load(tmp_path / "r.yaml")[0]
    for part in at:
        value = value[part] if isinstance(part, int) else getattr(value, part)
    assert isinstance(value, tuple)
    assert len(value) == 1


def test_a_wrong_single_value_is_refused_as_what_it_is(refused):
    assert (
        "evaluator.0.ndcg_at_k.0: must be a whole number, such as 8, not 'ten'"
        in refused(HEAD + "evaluator: {type: information_retrieval, ndcg_at_k: ten}\n")[0]
    )
