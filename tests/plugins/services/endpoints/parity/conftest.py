"""Small random models, since what is tested is how they are read and not what they know."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small(minilm: Path, tmp_path_factory) -> Callable[..., Path]:
    """Save a random transformer of 32 dimensions with a pooling."""

    def save(pooling: str = "cls", seed: int = 0) -> Path:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        torch.manual_seed(seed)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        config = AutoConfig.for_model("bert", vocab_size=30522, initializer_range=0.2, **sizes)
        folder = tmp_path_factory.mktemp("small")
        AutoModel.from_config(config).save_pretrained(folder / "plain")
        AutoTokenizer.from_pretrained(minilm).save_pretrained(folder / "plain")
        modules = [Transformer(str(folder / "plain")), Pooling(32, pooling_mode=pooling), Normalize()]
        model = SentenceTransformer(modules=modules, device="cpu")
        model.max_seq_length = 256
        model.save(str(folder / "model"), create_model_card=False)
        return folder / "model"

    return save
