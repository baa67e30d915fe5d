"""Names that people know from other tools lead to our keys, in the first line of the message."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

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
FLAG = RECIPE.replace("multiple_negatives_ranking", "info_nce").replace("sentence_transformers}", "flag_embedding}")
LOSSES = {
    "loss.temperature": "info_nce",
    "loss.dims": "{type: matryoshka, dims: [64], inner: multiple_negatives_ranking}",
    "loss.mini_batch_size": "cached_multiple_negatives_ranking",
}
SAME = """
max_steps learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps optim optim_args weight_decay adam_beta1
adam_beta2 adam_epsilon gradient_accumulation_steps max_grad_norm bf16 fp16 tf32 gradient_checkpointing torch_compile
torch_compile_backend torch_compile_mode logging_steps report_to run_name eval_strategy eval_steps save_strategy
save_steps save_total_limit load_best_model_at_end metric_for_best_model greater_is_better dataloader_drop_last
dataloader_num_workers ddp_backend full_determinism
"""
"""Names that are the trainer's as well, and that people put at the top."""
TRANSFORMERS = {name: f"trainer.{name}" for name in SAME.split()} | {
    "num_train_epochs": "trainer.epochs",
    "per_device_train_batch_size": "trainer.batch_size",
    "per_device_eval_batch_size": "evaluator.batch_size",
    "activation_checkpointing": "trainer.gradient_checkpointing",
    "activation_checkpointing_kwargs": "trainer.gradient_checkpointing_kwargs",
    "output_dir": "name",
    "data_seed": "seed",
    "push_to_hub": "deployer",
    "hub_model_id": "deployer",
    "hub_private_repo": "deployer",
}
TRAINING_OF_SENTENCE_TRANSFORMERS = {
    "batch_sampler": "trainer.batch_sampler",
    "learning_rate_mapping": "trainer.learning_rate_mapping",
    "prompts": "model.prompts",
    "warmup_ratio": "trainer.warmup_steps",
}
MODEL_OF_SENTENCE_TRANSFORMERS = {
    "model_name_or_path": "model",
    "revision": "model.revision",
    "trust_remote_code": "model.trust_remote_code",
    "truncate_dim": "model.dimensions",
    "similarity_fn_name": "evaluator.similarity",
}
MINING_OF_SENTENCE_TRANSFORMERS = {
    "cross_encoder": "negatives.guard",
    "sampling_strategy": "negatives.sampling",
    "max_score": "negatives.max_score",
    "absolute_margin": "negatives.absolute_margin",
    "relative_margin": "negatives.relative_margin",
}
FLAG_EMBEDDING = {
    "model_name_or_path": "model",
    "train_data": "source",
    "train_group_size": "trainer.train_group_size",
    "query_max_len": "trainer.query_max_length",
    "passage_max_len": "trainer.passage_max_length",
    "pad_to_multiple_of": "trainer.pad_to_multiple_of",
    "query_instruction_for_retrieval": "model.prompts.query",
    "passage_instruction_for_retrieval": "model.prompts.document",
    "knowledge_distillation": "trainer.knowledge_distillation",
    "temperature": "loss.temperature",
    "sentence_pooling_method": "model.pooling",
    "normalize_embeddings": "model.normalize",
    "sub_batch_size": "trainer.sub_batch_size",
    "kd_loss_type": "trainer.kd_loss_type",
    "use_mrl": "loss",
}
AXOLOTL = {
    "base_model": "model",
    "revision_of_model": "model.revision",
    "sequence_len": "model.max_length",
    "flash_attention": "model.attention",
    "sdp_attention": "model.attention",
    "eager_attention": "model.attention",
    "datasets": "source",
    "test_datasets": "source",
    "val_set_size": "source.holdout",
    "dataset_exact_deduplication": "filters",
    "micro_batch_size": "trainer.batch_size",
    "eval_batch_size": "evaluator.batch_size",
    "num_epochs": "trainer.epochs",
    "optimizer": "trainer.optim",
    "lr_scheduler": "trainer.lr_scheduler_type",
    "warmup_ratio": "trainer.warmup_steps",
    "bfloat16": "trainer.bf16",
    "float16": "trainer.fp16",
    "adapter": "trainer.lora",
    "lora_r": "trainer.lora.r",
    "lora_alpha": "trainer.lora.alpha",
    "lora_dropout": "trainer.lora.dropout",
    "lora_target_modules": "trainer.lora.target_modules",
    "peft_use_dora": "trainer.lora.use_dora",
    "peft_use_rslora": "trainer.lora.use_rslora",
    "evals_per_epoch": "trainer.eval_steps",
    "saves_per_epoch": "trainer.save_steps",
    "use_tensorboard": "trainer.report_to",
    "wandb_project": "trainer.report_to",
}
"""It is not installed: as in the schemas of axolotl-ai-cloud/axolotl at 002a637c, src/axolotl/utils/schemas/*.py."""

FROM_SENTENCE_TRANSFORMERS = {
    **TRAINING_OF_SENTENCE_TRANSFORMERS,
    **MODEL_OF_SENTENCE_TRANSFORMERS,
    **MINING_OF_SENTENCE_TRANSFORMERS,
}
VOCABULARIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "transformers": (RECIPE, TRANSFORMERS),
    "sentence_transformers": (RECIPE, FROM_SENTENCE_TRANSFORMERS),
    "FlagEmbedding": (FLAG, FLAG_EMBEDDING),
    "axolotl": (RECIPE, AXOLOTL),
}
CASES = [
    pytest.param(recipe, name, key, id=f"{library}:{name}")
    for library, (recipe, names) in VOCABULARIES.items()
    for name, key in names.items()
]
SOURCES = {
    "transformers/training_args.py": ("TrainingArguments", TRANSFORMERS),
    "sentence_transformers/base/training_args.py": ("BaseTrainingArguments", TRAINING_OF_SENTENCE_TRANSFORMERS),
    "sentence_transformers/sentence_transformer/model.py": ("__init__", MODEL_OF_SENTENCE_TRANSFORMERS),
    "sentence_transformers/util/hard_negatives.py": ("mine_hard_negatives", MINING_OF_SENTENCE_TRANSFORMERS),
    "FlagEmbedding/abc/finetune/embedder/AbsArguments.py": ("", FLAG_EMBEDDING),
}


@pytest.fixture
def first_line(tmp_path):
    def refused(key: str, recipe: str = RECIPE) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe)
        with pytest.raises(RecipeError) as caught:
            load(path, {key: "1"})
        return caught.value.lines[0]

    return refused


def names_in(file: Path, wanted: str) -> set[str]:
    """Return the fields of a file's classes, or the arguments of a function of it, without importing it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef) and wanted in ("", node.name):
            names |= {part.target.id for part in node.body if isinstance(part, ast.AnnAssign)}  # type: ignore[union-attr]
        elif isinstance(node, ast.FunctionDef) and node.name == wanted:
            names |= {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
    return names


@pytest.mark.parametrize("source", SOURCES)
def test_the_names_are_the_installed_library_s_own(source):
    package, _, inner = source.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    wanted, names = SOURCES[source]
    assert names.keys() <= names_in(Path(spec.origin).parent / inner, wanted)


@pytest.mark.parametrize(("recipe", "name", "key"), CASES)
def test_the_first_line_names_our_key_for_what_other_tools_call_so(first_line, recipe, name, key):
    hint = f"{name}: unknown key; did you mean '{key}'?"
    assert hint in first_line(name, recipe)


def test_there_are_names_enough():
    assert len(table()) >= 150
    assert len({name for _, names in VOCABULARIES.values() for name in names}) >= 80


@pytest.mark.parametrize("keys", sorted({keys for keys in table().values() if not keys.startswith("loss.")}))
def test_every_key_of_the_table_is_one(tmp_path, keys):
    recipe = RECIPE + "negatives: dense\n"
    path = tmp_path / "recipe.yaml"
    path.write_text(FLAG if keys.startswith(("trainer.sub", "trainer.query", "trainer.passage")) else recipe)
    for key in keys.split():
        if key == "loss.mini_batch_size":
            path.write_text(RECIPE.replace("multiple_negatives_ranking", LOSSES[key]))
        given = key.replace("evaluator.", "evaluator.0.") if "." in key else key
        problems = []
        try:
            load(path, {given: "1"})
        except RecipeError as error:
            problems += error.lines
        assert not any("unknown key" in problem for problem in problems)


def test_a_name_leads_to_its_key_from_within_the_section_too(first_line):
    inner = {name: key for name, key in table().items() if key.startswith("trainer.") and " " not in key}
    for name, key in inner.items():
        assert f"unknown key; did you mean '{key.removeprefix('trainer.')}'?" in first_line(f"trainer.{name}")


@pytest.mark.parametrize(("key", "loss"), LOSSES.items())
def test_a_loss_s_own_keys_are_found_where_it_has_them(first_line, key, loss):
    for name in (name for name, keys in table().items() if key in keys.split()):
        assert f"did you mean '{key}'?" in first_line(name, RECIPE.replace("multiple_negatives_ranking", loss))


def test_a_data_set_named_in_place_of_the_source_leads_to_it(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("source:", "dataset:"))
    with pytest.raises(RecipeError) as caught:
        load(path)
    (line,) = caught.value.lines
    assert "recipe.yaml:2:1: dataset: unknown key; did you mean 'source'?" in line


def test_a_key_that_this_trainer_lacks_is_not_named(first_line):
    assert "did you mean 'trainer.lora" not in first_line("lora_r", FLAG)
    assert "did you mean 'trainer.epochs'?" in first_line("num_train_epochs", FLAG)


def test_without_a_trainer_its_keys_are_named_all_the_same(first_line):
    recipe = RECIPE.replace("trainer: {type: sentence_transformers}\n", "")
    assert "did you mean 'trainer.learning_rate'?" in first_line("lr", recipe)
