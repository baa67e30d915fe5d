"""Small random models, since what is tested is files and not quality; and recipes that deploy one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embedrun.testing import tiny_model


@pytest.fixture
def small(minilm: Path, tmp_path: Path) -> Callable[..., Path]:
    """Save a random transformer of 32 dimensions with the modules given after it."""

    def save(*modules, kind: str = "bert", **settings) -> Path:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Transformer
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        tokens = {"pad_token_id": 0, "bos_token_id": 101, "cls_token_id": 101, "eos_token_id": 102, "sep_token_id": 102}
        config = AutoConfig.for_model(kind, vocab_size=30522, **sizes, **tokens, **settings)
        plain = tmp_path / "plain"
        AutoModel.from_config(config).save_pretrained(plain)
        AutoTokenizer.from_pretrained(minilm).save_pretrained(plain)
        model = SentenceTransformer(modules=[Transformer(str(plain)), *modules], device="cpu")
        model.max_seq_length = 48
        model.save(str(tmp_path / "model"), create_model_card=False)
        return tmp_path / "model"

    return save


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny").path


@pytest.fixture
def deployable(project, tiny):
    """Write a recipe of the model `tiny` and the pairs `pairs.jsonl`."""

    def deployable(name: str, recipe: str):
        (project.folder / "tiny").symlink_to(tiny)
        row = {"anchor": "where is my parcel?", "positive": "Parcels are shown under Orders."}
        project.write("pairs.jsonl", json.dumps(row) + "\n")
        project.write(name, recipe)
        return project

    return deployable
