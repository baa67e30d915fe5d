"""What TEI cannot serve is known from a model's files."""

import json
from pathlib import Path
from typing import Any

import pytest

from embedrun.errors import UserError
from embedrun.model_settings import ModelSettings, Prompts
from embedrun_plugins.services.tei import compatibility, environment
from embedrun_plugins.services.tei.environment import TeiLimits
from embedrun_plugins.services.tei.versions import REQUIRED

BERT = {"model_type": "bert", "architectures": ["BertModel"], "max_position_embeddings": 512}
LEGACY = "sentence_transformers.models"


def written(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return folder


def modules(*names: str) -> list[dict[str, Any]]:
    return [
        {"idx": n, "name": str(n), "path": f"{n}_{name.rsplit('.', 1)[-1]}" if n else "", "type": name}
        for n, name in enumerate(names)
    ]


def model(folder: Path, *names: str, config: dict[str, Any] | None = None, **files: Any) -> Path:
    listed = modules(*(f"{LEGACY}.{name}" for name in ("Transformer", *names)))
    given = {"modules.json": listed, "config.json": BERT | (config or {}), "tokenizer.json": {}}
    given["sentence_bert_config.json"] = {"max_seq_length": 256}
    return written(folder, given | {name.replace("__", "/") + ".json": text for name, text in files.items()})


MEAN = {"1_Pooling__config": {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}}


def test_a_model_that_tei_serves_has_no_faults(tmp_path: Path) -> None:
    assert list(compatibility.faults(model(tmp_path, "Pooling", "Normalize", **MEAN))) == []
    assert list(compatibility.start_faults(tmp_path)) == []


def test_a_plain_checkpoint_is_served_too(tmp_path: Path) -> None:
    assert list(compatibility.faults(written(tmp_path, {"config.json": BERT, "tokenizer.json": {}}))) == []


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "t5"}, "TEI 1.9 has no 't5' models, only bert, "),
        ({"model_type": "albert"}, "has no 'albert' models"),
        ({"position_embedding_type": "relative_key"}, "absolute positions only, not relative_key"),
        ({"max_position_embeddings": 128}, "256 tokens are read, and the model has positions for 128"),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 257, "pad_token_id": 1}, "positions for 255"),
    ],
)
def test_what_the_configuration_rules_out_is_named(tmp_path: Path, config: dict[str, Any], reason: str) -> None:
    (fault,) = compatibility.faults(model(tmp_path, "Pooling", config=config, **MEAN))
    assert reason in fault


def test_an_image_of_ones_own_may_know_other_architectures(tmp_path: Path) -> None:
    folder = model(tmp_path, "Pooling", config={"model_type": "t5"}, **MEAN)
    assert list(compatibility.faults(folder, None, None)) == []


@pytest.mark.parametrize(
    ("names", "files", "reason"),
    [
        (["Pooling", "Dropout"], MEAN, "this model is Transformer, Pooling, Dropout"),
        (["Pooling", "Normalize", "Dense"], MEAN, "TEI normalises last"),
        (["Pooling"], {"1_Pooling__config": {"pooling_mode": "max"}}, "and this model by max"),
        (["Pooling"], {"1_Pooling__config": {"pooling_mode": ["cls", "mean"]}}, "by cls and mean"),
        (
            ["Pooling", "Dense"],
            MEAN | {"2_Dense__config": {"activation_function": "torch.nn.modules.activation.ReLU"}},
            "this model's ReLU (2_Dense)",
        ),
        (["Pooling", "Dense"], MEAN | {"2_Dense__config": {"use_residual": True}}, "no residual connection"),
    ],
)
def test_what_the_modules_rule_out_is_named(tmp_path: Path, names: list[str], files: Any, reason: str) -> None:
    (fault,) = compatibility.faults(model(tmp_path, *names, **files))
    assert reason in fault


def test_the_recipes_contract_counts_as_if_it_were_saved(tmp_path: Path) -> None:
    folder = model(tmp_path, "Pooling", **MEAN)
    (fault,) = compatibility.faults(folder, ModelSettings(pooling="weightedmean"))
    assert "by weightedmean" in fault
    (fault,) = compatibility.faults(folder, ModelSettings(max_length=600))
    assert fault == "max_length: 600 tokens are read, and the model has positions for 512"
    other = model(tmp_path / "max", "Pooling", **{"1_Pooling__config": {"pooling_mode": "max"}})
    assert list(compatibility.faults(other, ModelSettings(pooling="mean"))) == []


def test_a_prompt_that_is_not_pooled_is_a_fault_where_there_is_one(tmp_path: Path) -> None:
    folder = model(tmp_path, "Pooling", **{"1_Pooling__config": {"pooling_mode": "mean", "include_prompt": False}})
    assert list(compatibility.faults(folder)) == []
    (fault,) = compatibility.faults(folder, ModelSettings(prompts=Prompts(query="query: ")))
    assert "leaves them out" in fault


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("qwen2", {"gpu": False}, "'qwen2' models on a GPU in float16 only"),
        ("mistral", {"gpu": True, "dtype": "float32"}, "on a GPU in float16 only"),
        ("gemma3_text", {"gpu": True, "dtype": "float16"}, "in float32 only"),
    ],
)
def test_what_the_machine_or_the_number_format_rules_out_is_named(
    tmp_path: Path, kind: str, options: Any, reason: str
) -> None:
    folder = model(tmp_path, "Pooling", config={"model_type": kind}, **MEAN)
    (fault,) = compatibility.faults(folder, **options)
    assert reason in fault
    assert list(compatibility.faults(folder)) == [], "where it will run is not known"


def test_a_tokenizer_without_a_fast_form_is_a_fault(tmp_path: Path) -> None:
    folder = model(tmp_path, "Pooling", tokenizer_config={"tokenizer_class": "BertJapaneseTokenizer"}, **MEAN)
    assert list(compatibility.faults(folder)) == []
    (folder / "tokenizer.json").unlink()
    (fault,) = compatibility.faults(folder)
    assert "there is none for BertJapaneseTokenizer" in fault


def test_what_is_not_downloaded_yet_is_not_held_against_a_model(tmp_path: Path) -> None:
    folder = model(tmp_path, "Pooling", **MEAN)
    (folder / "tokenizer.json").unlink()
    assert list(compatibility.faults(folder)) == []
    (folder / "model.safetensors").touch()
    (fault,) = compatibility.faults(folder)
    assert "has no tokenizer" in fault
    assert list(compatibility.faults(tmp_path / "nothing")) == []


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"1_Pooling__config": {"pooling_mode": "mean"}}, "no pooling_mode_cls_token"),
        ({"sentence_bert_config": {"transformer_task": "feature-extraction"}}, "no max_seq_length"),
        ({"config": BERT | {"model_type": "modernbert"}}, "config.json has no global_rope_theta"),
        (
            {"modules": modules("sentence_transformers.sentence_transformer.modules.transformer.Transformer")},
            "not know",
        ),
        ({"config_sentence_transformers": {"prompts": {"query": None}}}, "a prompt that is null"),
    ],
)
def test_what_tei_stops_at_when_it_starts_is_seen_in_an_export(tmp_path: Path, files: Any, reason: str) -> None:
    assert reason in "; ".join(compatibility.start_faults(model(tmp_path, "Pooling", **(MEAN | files))))


def test_tei_is_told_of_the_pooling_the_number_format_and_the_limits(tmp_path: Path) -> None:
    cls = {"1_Pooling__config": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}}
    half = {"torch_dtype": "float16"}
    folder = model(
        tmp_path, "Pooling", config=half, config_sentence_transformers={"default_prompt_name": "query"}, **cls
    )
    assert environment.of(folder) == {
        "POOLING": "cls",
        "DTYPE": "float32",
        "MAX_BATCH_TOKENS": "16384",
        "MAX_CLIENT_BATCH_SIZE": "32",
        "MAX_CONCURRENT_REQUESTS": "512",
        "AUTO_TRUNCATE": "true",
        "DEFAULT_PROMPT_NAME": "query",
    }
    told = environment.of(folder, None, TeiLimits(payload_limit=6_291_456, auto_truncate=False), gpu=True)
    assert (told["DTYPE"], told["PAYLOAD_LIMIT"], told["AUTO_TRUNCATE"]) == ("float16", "6291456", "false")


@pytest.mark.parametrize(
    ("config", "gpu", "expected"),
    [
        ({"torch_dtype": "bfloat16"}, True, "float32"),
        ({"dtype": "torch.float16"}, True, "float16"),
        ({"model_type": "qwen2", "dtype": "bfloat16"}, True, "float16"),
        ({"model_type": "gemma3_text", "dtype": "float16"}, True, "float32"),
        ({"dtype": "float16"}, False, "float32"),
    ],
)
def test_the_number_format_is_the_models_own_where_tei_has_it(
    tmp_path: Path, config: dict[str, Any], gpu: bool, expected: str
) -> None:
    folder = model(tmp_path, "Pooling", config=config, **MEAN)
    assert environment.of(folder, gpu=gpu)["DTYPE"] == expected


def test_a_batch_has_room_for_the_longest_text(tmp_path: Path) -> None:
    long = {"max_position_embeddings": 40000}
    folder = model(tmp_path, "Pooling", config=long, sentence_bert_config={"max_seq_length": 32768}, **MEAN)
    assert environment.of(folder)["MAX_BATCH_TOKENS"] == "32768"
    with pytest.raises(UserError, match="8192 is less than the 32768 tokens that the model reads"):
        environment.of(folder, None, TeiLimits(max_batch_tokens=8192))


def test_a_nomic_model_needs_the_keys_that_only_its_publisher_writes(tmp_path: Path) -> None:
    ours = {"model_type": "nomic_bert", "vocab_size": 800, "type_vocab_size": 2}
    (fault,) = compatibility.faults(model(tmp_path, "Pooling", "Normalize", config=ours, **MEAN))
    assert fault.startswith("TEI reads keys of 'nomic_bert' that this config.json, of transformers 5, lacks: prenorm, ")
    theirs = ours | dict.fromkeys(REQUIRED["nomic_bert"], 1)
    assert not list(compatibility.faults(model(tmp_path, "Pooling", "Normalize", config=theirs, **MEAN)))
