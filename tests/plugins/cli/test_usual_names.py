"""Names that people know from other tools lead to our keys, in the first line of the message."""

import pytest

from embedrun.errors import RecipeError
from embedrun.recipe_file import load
from embedrun_plugins.cli.usual_names import table

RECIPE = """\
model: sentence-transformers/all-MiniLM-L6-v2
source: {type: pairs, path: faq.jsonl}
loss: multiple_negatives_ranking
trainer: {type: sentence_transformers}
evaluator: information_retrieval
"""


@pytest.fixture
def first_line(tmp_path):
    def refused(key: str, recipe: str = RECIPE) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe)
        with pytest.raises(RecipeError) as caught:
            load(path, {key: "1"})
        return caught.value.lines[0]

    return refused


def test_there_are_names_enough():
    assert len(table()) >= 80


@pytest.mark.parametrize("key", sorted({key for key in table().values() if not key.startswith("loss.")}))
def test_every_key_of_the_table_is_one(tmp_path, key):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    given = key.replace("evaluator.", "evaluator.0.") if "." in key else key
    problems = []
    try:
        load(path, {given: "1"})
    except RecipeError as error:
        problems += error.lines
    assert not any("unknown key" in problem for problem in problems)


@pytest.mark.parametrize(("name", "key"), sorted(table().items()))
def test_a_usual_name_leads_to_the_key_wherever_it_stands(first_line, name, key):
    if key in ("loss.temperature", "loss.dims", "loss.mini_batch_size"):
        recipe = RECIPE.replace("multiple_negatives_ranking", LOSSES[key])
    else:
        recipe = RECIPE
    assert f"unknown key; did you mean '{key}'?" in first_line(name, recipe)
    if key.startswith("trainer."):
        inner = key.removeprefix("trainer.")
        assert f"unknown key; did you mean '{inner}'?" in first_line(f"trainer.{name}", recipe)


LOSSES = {
    "loss.temperature": "info_nce",
    "loss.dims": "{type: matryoshka, dims: [64], inner: multiple_negatives_ranking}",
    "loss.mini_batch_size": "cached_multiple_negatives_ranking",
}


def test_a_data_set_named_in_place_of_the_source_leads_to_it(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("source:", "dataset:"))
    with pytest.raises(RecipeError) as caught:
        load(path)
    missing, unknown = caught.value.lines
    assert "source: is missing" in missing
    assert "dataset: unknown key; did you mean 'source'?" in unknown


def test_a_key_that_this_trainer_lacks_is_not_named(first_line):
    recipe = RECIPE.replace("sentence_transformers}", "flag_embedding}")
    assert "did you mean 'trainer.lora" not in first_line("lora_r", recipe)
    assert "did you mean 'trainer.epochs'?" in first_line("num_train_epochs", recipe)


def test_without_a_trainer_its_keys_are_named_all_the_same(first_line):
    recipe = RECIPE.replace("trainer: {type: sentence_transformers}\n", "")
    assert "did you mean 'trainer.learning_rate'?" in first_line("lr", recipe)
