"""Kinds of embedding models, made tiny: architecture, pooling, padding side, head, prompts and number format.

    python tests/model_kinds.py > docs/models.md

writes the page that says what is tried with each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from words import WORDS

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SIZE = 32
READS = 40
"""Tokens that the models read."""
_PROMPTS = {"query": "lamp river ", "document": "stone "}


@dataclass(frozen=True)
class Kind:
    """One kind of model, and what is right for it."""

    name: str
    like: str
    """Models that people have of this kind."""
    architecture: str = "bert"
    pooling: str | tuple[str, ...] = "mean"
    side: str = "right"
    normalize: bool = True
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    include_prompt: bool = True
    head: Sequence[str] = ()
    """Modules between pooling and normalisation: "tanh", "gelu", "linear", "layer_norm"."""
    dtype: str = "float32"
    config: Mapping[str, Any] = field(default_factory=dict)
    special: str = ""
    """How it is built, where that is another way."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    unpadded: bool = True
    """Whether its vectors do not depend on padding, so that training without it is the same."""
    tei: str = ""
    """Why TEI cannot serve it; nothing where it can."""
    refused: str = ""
    """Why no recipe starts from it; nothing where it can."""
    exported: bool = True


_LEFT: dict[str, Any] = {"pooling": "lasttoken", "side": "left"}
_GPU = "GPU"
_RELATIVE: dict[str, Any] = {"d_model": SIZE, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
_DISTIL: dict[str, Any] = {"dim": SIZE, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
_GROUPED: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 8}
_GEMMA: dict[str, Any] = {**_GROUPED, "sliding_window": 16, "use_bidirectional_attention": True}
_WINDOWED: dict[str, Any] = {"attention_window": 8, "max_position_embeddings": 98}
_NARROW: dict[str, Any] = {"embedding_size": SIZE, "intra_bottleneck_size": SIZE, "true_hidden_size": SIZE}
_GROUPS: dict[str, Any] = {f"{name}_groups": 1 for name in ("q", "k", "v", "post_attention", "intermediate", "output")}
_MIXED: dict[str, Any] = {"embedding_size": SIZE, "conv_kernel_size": 3, "head_ratio": 2}
_XLNET: dict[str, Any] = {"d_model": SIZE, "n_layer": 2, "n_head": 4, "d_inner": 48}
_LINEAR = ("linear",)

KINDS = (
    Kind("BERT, mean", "all-MiniLM-L6-v2, e5, gte"),
    Kind("BERT, CLS, query prompt", "bge", pooling="cls", prompts={"query": _PROMPTS["query"]}),
    Kind("BERT, dot product", "multi-qa-mpnet-base-dot", normalize=False),
    Kind("BERT, prompts for both roles", "e5", prompts=_PROMPTS),
    Kind("BERT, prompts query and passage", "multilingual-e5", prompts={"query": "lamp ", "passage": "stone "}),
    Kind("BERT, a default prompt", "mxbai", prompts={"query": "lamp "}, default_prompt="query"),
    Kind("BERT, the prompt's tokens left out", "instructor", prompts=_PROMPTS, include_prompt=False, tei="leaves them"),
    Kind("BERT, max pooling", "older models", pooling="max", tei="pools by"),
    Kind("BERT, mean by the root of the length", "older models", pooling="mean_sqrt_len_tokens", tei="pools by"),
    Kind("BERT, weighted mean", "SGPT-like", pooling="weightedmean", tei="pools by"),
    Kind("BERT, last token", "", pooling="lasttoken"),
    Kind("BERT, CLS and mean joined", "", pooling=("cls", "mean"), tei="pools by"),
    Kind("BERT, Dense with Tanh", "LaBSE", pooling="cls", head=("tanh",)),
    Kind("BERT, Dense with GELU, then linear", "", head=("gelu", "linear"), tei="activation"),
    Kind("BERT, LayerNorm", "", head=("layer_norm",), tei="in this order"),
    Kind("BERT, truncated to 16 dimensions", "Matryoshka models", special="truncated"),
    Kind("BERT in bfloat16", "", dtype="bfloat16"),
    Kind("BERT in float16", "gte, mxbai", dtype="float16"),
    Kind("BERT, plain checkpoint", "bert-base-uncased", special="plain"),
    Kind("BERT, LoRA", "", trainer={"lora": {"r": 4}}),
    Kind("MPNet, mean", "all-mpnet-base-v2", "mpnet"),
    Kind("XLM-R, prompts", "multilingual-e5", "xlm-roberta", prompts=_PROMPTS),
    Kind("XLM-R, CLS", "bge-m3", "xlm-roberta", pooling="cls"),
    Kind("RoBERTa", "all-roberta-large", "roberta"),
    Kind("CamemBERT", "sentence-camembert", "camembert"),
    Kind("DistilBERT", "msmarco-distilbert", "distilbert", config=_DISTIL),
    Kind("ALBERT", "paraphrase-albert", "albert", config={"embedding_size": SIZE}, tei="has no"),
    Kind("ELECTRA", "", "electra", config={"embedding_size": SIZE}, tei="has no"),
    Kind("ERNIE", "", "ernie", tei="has no"),
    Kind("ModernBERT, CLS, prompts", "gte-modernbert, modernbert-embed", "modernbert", pooling="cls", prompts=_PROMPTS),
    Kind("ModernBERT, mean", "modernbert-embed", "modernbert"),
    Kind("NomicBERT", "nomic-embed-text", "nomic_bert", prompts=_PROMPTS, tei="keys"),
    Kind("EuroBERT", "EuroBERT", "eurobert", tei="has no"),
    Kind("RoFormer", "", "roformer", config={"embedding_size": SIZE}, tei="has no"),
    Kind("SqueezeBERT", "", "squeezebert", config={"embedding_size": SIZE, **_GROUPS}, tei="has no"),
    Kind("MobileBERT", "", "mobilebert", config=_NARROW, tei="has no"),
    Kind("ConvBERT", "", "convbert", config=_MIXED, unpadded=False, tei="has no"),
    Kind("DeBERTa", "deberta-v3", "deberta-v2", config={"pos_att_type": ["p2c", "c2p"], "relative_attention": True}),
    Kind("Longformer", "", "longformer", config=_WINDOWED, unpadded=False, tei="has no"),
    Kind("T5 encoder, Dense", "gtr, sentence-t5", "t5", head=("linear",), config=_RELATIVE, tei="has no"),
    Kind("Qwen3, last token, left", "Qwen3-Embedding", "qwen3", prompts={"query": "lamp "}, config=_GROUPED, **_LEFT),
    Kind("Qwen3, last token, right", "", "qwen3", pooling="lasttoken", config=_GROUPED),
    Kind("Qwen3 in bfloat16", "Qwen3-Embedding", "qwen3", dtype="bfloat16", config=_GROUPED, **_LEFT),
    Kind("Qwen3, LoRA", "Qwen3-Embedding", "qwen3", trainer={"lora": {"r": 4}}, config=_GROUPED, **_LEFT),
    Kind("Qwen2", "gte-Qwen2", "qwen2", config={"num_key_value_heads": 2}, tei=_GPU, **_LEFT),
    Kind("Mistral, left", "e5-mistral", "mistral", config=_GROUPED, tei=_GPU, **_LEFT),
    Kind("Mistral, mean", "", "mistral", config=_GROUPED, tei=_GPU),
    Kind("Llama, last token", "", "llama", pooling="lasttoken", config=_GROUPED, tei=_GPU),
    Kind("Llama, weighted mean", "", "llama", pooling="weightedmean", config=_GROUPED, tei="pools by"),
    Kind("Gemma3, two Dense", "embeddinggemma", "gemma3_text", prompts=_PROMPTS, head=_LINEAR * 2, config=_GEMMA),
    Kind("GPT-2, weighted mean", "SGPT", "gpt2", pooling="weightedmean", tei="has no"),
    Kind("XLNet, left", "", "xlnet", config=_XLNET, tei="has no", **_LEFT),
    Kind("StaticEmbedding", "model2vec, static-retrieval-mrl", special="static", normalize=False, tei="runs"),
    Kind("StaticEmbedding, normalised", "potion", special="static", tei="runs"),
    Kind("Router of two BERTs", "", special="router", exported=False, tei="runs"),
    Kind("sparse encoder", "splade", special="sparse", refused="a sparse encoder"),
    Kind("reranker", "bge-reranker", special="classifier", refused="a classifier or a reranker"),
    Kind("LoRA adapter alone", "peft's output", special="adapter", refused="holds an adapter"),
)


def build(kind: Kind, folder: Path) -> Path:
    """Write a tiny random model of a kind, and return its folder."""
    import torch

    torch.manual_seed(1)
    return _BUILDERS.get(kind.special, _sequence)(kind, folder)


def _sequence(kind: Kind, folder: Path) -> Path:
    model = _model(kind, _checkpoint(kind, folder.with_name(f"{folder.name}-plain")))
    if kind.special == "truncated":
        model.truncate_dim = 16
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def _model(kind: Kind, plain: Path) -> SentenceTransformer:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    pooling = Pooling(SIZE, pooling_mode=kind.pooling, include_prompt=kind.include_prompt)
    width = SIZE * (1 if isinstance(kind.pooling, str) else len(kind.pooling))
    modules: list[Any] = [Transformer(str(plain), max_seq_length=READS), pooling]
    modules += [_head(name, width) for name in kind.head]
    modules += [Normalize()] if kind.normalize else []
    prompts, default = dict(kind.prompts), kind.default_prompt
    model = SentenceTransformer(modules=modules, device="cpu", prompts=prompts, default_prompt_name=default)
    return model.to(getattr(torch, kind.dtype))


def _head(name: str, width: int) -> Any:
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm

    if name == "layer_norm":
        return LayerNorm(width)
    activation = {"tanh": torch.nn.Tanh, "gelu": torch.nn.GELU, "linear": torch.nn.Identity}[name]()
    return Dense(width, width, activation_function=activation, bias=name != "linear")


def _checkpoint(kind: Kind, folder: Path) -> Path:
    from transformers import AutoConfig, AutoModel, T5EncoderModel

    sizes: dict[str, Any] = {
        "vocab_size": 60,
        "hidden_size": SIZE,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 96,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    if kind.architecture == "xlnet":
        sizes = {"vocab_size": 60, "pad_token_id": 0}
    if kind.architecture == "gpt2":
        sizes = {"vocab_size": 60, "n_embd": SIZE, "n_layer": 2, "n_head": 4, "n_positions": 96}
    config = AutoConfig.for_model(kind.architecture, **{**sizes, **kind.config})
    (T5EncoderModel(config) if kind.architecture == "t5" else AutoModel.from_config(config)).save_pretrained(folder)
    _tokenizer(padding_side=kind.side, model_max_length=READS).save_pretrained(folder)
    return folder


def _tokenizer(**options: Any) -> Any:
    from transformers import BertTokenizer

    letters = [prefix + chr(code) for code in range(97, 123) for prefix in ("", "##")][:38]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters]
    return BertTokenizer(vocab={word: number for number, word in enumerate(words)}, **options)


def _plain(kind: Kind, folder: Path) -> Path:
    return _checkpoint(kind, folder)


def _static(kind: Kind, folder: Path) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    modules: list[Any] = [StaticEmbedding(_tokenizer().backend_tokenizer, embedding_dim=SIZE)]
    modules += [Normalize()] if kind.normalize else []
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


def _router(kind: Kind, folder: Path) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Router, Transformer

    plain = [_checkpoint(kind, folder.with_name(f"{folder.name}-{name}")) for name in ("queries", "documents")]
    routes = [[Transformer(str(path), max_seq_length=READS), Pooling(SIZE)] for path in plain]
    router = Router.for_query_document(query_modules=routes[0], document_modules=routes[1])
    model = SentenceTransformer(modules=[router, Normalize()], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def _sparse(kind: Kind, folder: Path) -> Path:
    import json

    _sequence(kind, folder)
    file = folder / "config_sentence_transformers.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_type": "SparseEncoder"}))
    return folder


def _classifier(kind: Kind, folder: Path) -> Path:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(_checkpoint(kind, folder))
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def _adapter(kind: Kind, folder: Path) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    base = AutoModel.from_pretrained(_checkpoint(kind, folder.with_name(f"{folder.name}-base")))
    get_peft_model(base, LoraConfig(target_modules=["query"])).save_pretrained(folder)
    return folder


_BUILDERS: Mapping[str, Callable[[Kind, Path], Path]] = {
    "plain": _plain,
    "static": _static,
    "router": _router,
    "sparse": _sparse,
    "classifier": _classifier,
    "adapter": _adapter,
}

PAGE = """\
# Models

What is tried with every kind of model, at each change: tiny ones with random weights, of two layers and 32 dimensions.
Each is checked, trained for two steps as it is by default and with `grouping: off` (the same losses), embedded in
batches and one text at a time (the same vectors), mixed with its base, exported and loaded again (a Router is served
as it is), judged for Text Embeddings Inference by what its source says (no container is started), served here and
verified. The first of each architecture, number format and adapter is also killed in the middle of training and resumed
(the same weights). The one real model that is tried is all-MiniLM-L6-v2, in other tests; GPUs are not. The page is
written by `python tests/model_kinds.py`, and a test compares it.

| kind | such as | training | TEI |
|---|---|---|---|
"""


def page() -> str:
    """Return docs/models.md."""
    return PAGE + "".join(f"| {kind.name} | {kind.like} | {_training(kind)} | {_tei(kind)} |\n" for kind in KINDS)


def _training(kind: Kind) -> str:
    if kind.refused:
        return f"refused: {kind.refused}"
    return "right" if kind.unpadded else "right; its vectors depend on padding, in sentence-transformers as well"


def _tei(kind: Kind) -> str:
    if kind.refused:
        return ""
    return f"refused: {_REASONS[kind.tei]}" if kind.tei else "yes"


_REASONS = {
    _GPU: "it runs on GPUs only",
    "has no": "it has no such architecture",
    "runs": "it has no such modules",
    "in this order": "it has no such modules",
    "keys": "it reads keys that transformers 5 does not write",
    "pools by": "it has no such pooling",
    "activation": "it has no such activation",
    "leaves them": "it pools the prompt's tokens, too",
}


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201  # the script's result
