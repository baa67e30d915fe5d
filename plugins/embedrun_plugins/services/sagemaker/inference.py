"""Answers in SageMaker's Hugging Face container with the vectors of the model that lies beside it.

It travels with the model as `code/inference.py` and needs torch, transformers and safetensors alone, in any version
since 2024. What the model does is read from its own files, as sentence-transformers saves them: pooling, dense layers,
normalisation, prompts and maximum length.

A request is {"inputs": text or [texts], "prompt_name"?, "normalize"?, "dimensions"?}, an answer one vector a text.
Texts over the maximum length are cut; `truncate`, which TEI knows, may be sent and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

BATCH = 32
_REQUEST = frozenset({"inputs", "prompt_name", "normalize", "dimensions", "truncate"})
_MODES = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


def model_fn(model_dir: str, context: Any = None) -> TransformersEmbedder:
    """Load the model; the container calls this at the first request."""
    return TransformersEmbedder(Path(model_dir), _device(context))


def predict_fn(data: Any, model: TransformersEmbedder, context: Any = None) -> list[list[float]]:  # noqa: ARG001  # the contract
    """Embed every text of a request. Raises ValueError for a request that it cannot answer."""
    if not isinstance(data, dict) or "inputs" not in data:
        raise ValueError('the body must be JSON: {"inputs": text or list of texts, "prompt_name"?: name, ...}')
    if unknown := sorted(set(data) - _REQUEST - {"parameters"}):
        raise ValueError(f"unknown key '{unknown[0]}'; allowed: {', '.join(sorted(_REQUEST))}")
    options = {**(data.get("parameters") or {}), **data}
    inputs = options["inputs"]
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("`inputs` must be a text or a list of texts, and not empty")
    vectors = model.embed(texts, model.prompt(options.get("prompt_name")))
    return model.finished(vectors, options.get("normalize"), options.get("dimensions")).tolist()


class TransformersEmbedder:
    """A sentence-transformers folder, run by transformers alone."""

    def __init__(self, folder: Path, device: str) -> None:
        self.device = device
        steps = [(_name(module["type"]), folder / module["path"]) for module in _json(folder / "modules.json")]
        if [name for name, _ in steps[:2]] != ["Transformer", "Pooling"]:
            raise ValueError(f"needs Transformer and Pooling first; this model is {', '.join(n for n, _ in steps)}")
        self.normalizes = steps[-1][0] == "Normalize"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(steps[0][1])
        self.transformer = _transformer(steps[0][1]).to(device).eval()
        self.max_length = _max_length(steps[0][1], self.transformer.config, self.tokenizer)
        self.pooling = Pooling(_json(steps[1][1] / "config.json"))
        rest = steps[2:-1] if self.normalizes else steps[2:]
        self.layers = nn.Sequential(*(_LAYERS[name](path) for name, path in _known(rest))).to(device).eval()
        saved = _json(folder / "config_sentence_transformers.json")
        self.prompts = {name: text or "" for name, text in (saved.get("prompts") or {}).items()}
        self.default_prompt = self.prompts.get(saved.get("default_prompt_name") or "", "")
        self._prompt_tokens = lru_cache(maxsize=64)(self._count_prompt_tokens)

    def prompt(self, name: str | None) -> str:
        if name is None:
            return self.default_prompt
        if name not in self.prompts:
            names = ", ".join(sorted(self.prompts)) or "none"
            raise ValueError(f"`prompt_name` '{name}' is not one of this model's: {names}")
        return str(self.prompts[name])

    @torch.inference_mode()
    def embed(self, texts: list[str], prompt: str) -> Tensor:
        """Return (texts, dimensions) in the order given; texts of like length share a batch, so little is padded."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]), reverse=True)
        vectors: dict[int, Tensor] = {}
        for start in range(0, len(order), BATCH):
            indices = order[start : start + BATCH]
            rows = self._batch([prompt + texts[index] for index in indices], prompt)
            vectors.update(zip(indices, rows, strict=True))
        return torch.stack([vectors[index] for index in range(len(texts))])

    def _batch(self, texts: list[str], prompt: str) -> Tensor:
        features = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.device)
        tokens = self.transformer(**features, return_dict=True).last_hidden_state
        skipped = self._prompt_tokens(prompt) if prompt and not self.pooling.include_prompt else 0
        pooled: Tensor = self.layers(self.pooling(tokens, features["attention_mask"], skipped))
        return pooled.float().cpu()

    def _count_prompt_tokens(self, prompt: str) -> int:
        ids = self.tokenizer([prompt])["input_ids"][0]
        return len(ids) - (ids[-1] in self.tokenizer.all_special_ids)

    def finished(self, vectors: Tensor, normalize: bool | None, dimensions: int | None) -> Tensor:
        """Cut and normalise as asked for, or as the model does."""
        if dimensions is not None and not 1 <= dimensions <= vectors.shape[1]:
            raise ValueError(f"`dimensions` must lie between 1 and {vectors.shape[1]}. Given: {dimensions}")
        cut = vectors[:, :dimensions]
        wanted = self.normalizes if normalize is None else normalize
        return nn.functional.normalize(cut, dim=1) if wanted else cut


class Pooling:
    """From (texts, tokens, dimensions) to one vector a text, as `1_Pooling/config.json` says."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.modes = [mode for mode in _MODES if config.get(f"pooling_mode_{mode}")]
        if not self.modes:
            raise ValueError(f"no pooling mode that is known here: {config}")
        self.include_prompt = bool(config.get("include_prompt", True))

    def __call__(self, tokens: Tensor, mask: Tensor, skipped: int) -> Tensor:
        if skipped:
            mask = mask * (mask.cumsum(1) > skipped)
        return torch.cat([getattr(self, f"_{mode}")(tokens, mask) for mode in self.modes], dim=1)

    @staticmethod
    def _cls_token(tokens: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG004  # all modes are called alike
        return tokens[:, 0]

    @staticmethod
    def _lasttoken(tokens: Tensor, mask: Tensor) -> Tensor:
        last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        return tokens[torch.arange(len(tokens), device=tokens.device), last]

    @staticmethod
    def _max_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
        return tokens.masked_fill(mask.unsqueeze(-1) == 0, torch.finfo(tokens.dtype).min).amax(1)

    @staticmethod
    def _mean_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9)

    @staticmethod
    def _mean_sqrt_len_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9).sqrt()

    @staticmethod
    def _weightedmean_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
        positions = torch.arange(1, mask.shape[1] + 1, device=tokens.device).unsqueeze(0)
        weights = (mask * positions).unsqueeze(-1).to(tokens.dtype)
        return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def _dense(folder: Path) -> nn.Module:
    config, weights = _json(folder / "config.json"), load_file(folder / "model.safetensors")
    if config.get("use_residual") or config.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise ValueError(f"{folder.name}: a dense layer of this kind is not known here: {config}")
    linear = nn.Linear(config["in_features"], config["out_features"], bias=config.get("bias", True))
    linear.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in weights.items()})
    activation = getattr(nn, _name(config["activation_function"]), None)
    if not (isinstance(activation, type) and issubclass(activation, nn.Module)):
        raise ValueError(f"{folder.name}: {config['activation_function']} is none of torch.nn's")  # noqa: TRY004
    return nn.Sequential(linear, activation())


def _layer_norm(folder: Path) -> nn.Module:
    norm = nn.LayerNorm(_json(folder / "config.json")["dimension"])
    weights = load_file(folder / "model.safetensors")
    norm.load_state_dict({name.removeprefix("norm."): tensor for name, tensor in weights.items()})
    return norm


class _Normalize(nn.Module):
    def forward(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=1)


_LAYERS: dict[str, Callable[[Path], nn.Module]] = {
    "Dense": _dense,
    "LayerNorm": _layer_norm,
    "Normalize": lambda _: _Normalize(),
    "Dropout": lambda _: nn.Identity(),
}


def _known(steps: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    for name, _ in steps:
        if name not in _LAYERS:
            raise ValueError(f"the module {name} is not known here; allowed: {', '.join(sorted(_LAYERS))}")
    return steps


def _transformer(folder: Path) -> Any:
    """Load the encoder in the number format that it was saved in."""
    config = AutoConfig.from_pretrained(folder)
    saved = getattr(config, "dtype", None) or getattr(config, "torch_dtype", None) or torch.float32
    model = AutoModel.from_pretrained(folder, config=config).to(getattr(torch, str(saved).removeprefix("torch.")))
    return model.get_encoder() if config.is_encoder_decoder else model


def _max_length(folder: Path, config: Any, tokenizer: Any) -> int:
    length = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    if length:
        return int(length)
    limits = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    return min(int(length) for length in limits if length)


def _device(context: Any) -> str:
    if not torch.cuda.is_available():
        return "cpu"
    number = getattr(context, "system_properties", {}).get("gpu_id")
    return "cuda" if number is None else f"cuda:{number}"


def _name(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8")) if file.exists() else {}
