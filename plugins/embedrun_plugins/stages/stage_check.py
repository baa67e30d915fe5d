"""For plugin authors: a small retrieval set, a tiny model, and a check that a stage keeps the contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from embedrun import stages
from embedrun.artifacts import Document, Encoder, Judgement, Model, Query, RetrievalSet
from embedrun.context import Context
from embedrun.hashing import file_digest, folder_files
from embedrun.registry import HEAVY
from embedrun.stage import Stage
from embedrun.stages import Deployer, Embedder, Evaluator, Filter, Generator, Loss, Merger, Miner, Trainer
from embedrun_plugins.stages.docstrings import descriptions

_WORDS = "anchor lamp river stone cloud copper garden violin harbour pepper window saddle lantern meadow timber glacier"


def small_set(folder: Path) -> RetrievalSet:
    """Write sixteen documents with a question each: ten to train on, two for dev, four to test."""
    words = _WORDS.split()
    documents = [Document.of(f"The {word} is kept in room {n} of house {n % 3}.") for n, word in enumerate(words)]
    queries = [Query.of(f"where is the {word}?") for word in words]
    pairs = [Judgement(query.id, document.id) for query, document in zip(queries, documents, strict=True)]
    negatives = [Judgement(query.id, documents[n - 1].id, 0.5) for n, query in enumerate(queries[:10])]
    return RetrievalSet.write(
        folder,
        documents=documents,
        queries=queries,
        qrels={"train": pairs[:10], "dev": pairs[10:12], "test": pairs[12:]},
        negatives=negatives,
    )


def tiny_model(folder: Path, *, pooling: str = "mean", dimensions: int = 32) -> Model:
    """Write a random two-layer BERT that knows the words of `small_set`, normalised, with its tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    plain = folder.with_name(f"{folder.name}-plain")
    plain.mkdir(parents=True, exist_ok=True)
    letters = [prefix + chr(code) for code in (*range(97, 123), *range(48, 58)) for prefix in ("", "##")]
    words = [*_WORDS.split(), "the", "is", "kept", "in", "room", "of", "house", "where", ".", "?"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)})
    tokenizer.save_pretrained(plain)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=dimensions,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * dimensions,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(plain)
    modules = [Transformer(str(plain), max_seq_length=64), Pooling(dimensions, pooling_mode=pooling), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    return Model(folder)


def check_stage(stage: Stage, folder: Path, *, data: RetrievalSet | None = None, model: Model | None = None) -> Any:
    """Run a stage twice on small data and assert what the engine relies on; return what it made.

    Asserts that importing it loads nothing heavy, that its keys are documented, that its configuration survives JSON,
    that it writes below `ctx.out` alone and the same bytes both times; of an embedder, that it encodes, and gives the
    same vectors both times; of a loss, that it is a torch module with the same parameters both times. `folder` is an
    empty scratch folder; `data` and `model` default to `small_set` and `tiny_model`. A runtime cannot be checked.
    """
    _check_import(type(stage))
    _check_configuration(stage)
    data = data or small_set(folder / "data")
    if model is None and (stage.uses_model() or isinstance(stage, (Miner, Loss, Trainer, Merger, Evaluator, Deployer))):
        model = tiny_model(folder / "model")
    before = _digests(folder)
    made = [_run(stage, folder / f"run-{attempt}", data, model) for attempt in (1, 2)]
    if isinstance(stage, Embedder):
        _check_encoders(stage, *made)
    elif isinstance(stage, Loss):
        _check_losses(stage, *made)
    elif not isinstance(stage, Deployer):
        _check_files(stage, folder, made[0])
    assert before.items() <= _digests(folder).items(), f"{stage.type}: changed its input"
    return made[0]


def _check_files(stage: Stage, folder: Path, artifact: Any) -> None:
    first, second = (_digests(folder / f"run-{attempt}" / "out") for attempt in (1, 2))
    assert first, f"{stage.type}: wrote nothing below ctx.out"
    different = sorted(name for name in first | second if first.get(name) != second.get(name))
    assert not different, f"{stage.type}: two runs with the same seed differ in {', '.join(different)}"
    assert artifact.path == folder / "run-1" / "out", f"{stage.type}: must return the artifact at ctx.out"


def _check_encoders(stage: Embedder, *encoders: Encoder) -> None:
    import numpy as np

    texts = ["where is the lamp?", "The lamp is kept in room 1.", "The river is kept in room 2."]
    dimensions = set()
    for name in ("encode_query", "encode_document"):
        encode = [getattr(encoder, name) for encoder in encoders]
        first, second = (np.asarray(method(texts, batch_size=2, show_progress_bar=False)) for method in encode)
        assert first.shape[:-1] == (len(texts),), f"{stage.type}: {name} must return (texts, dimensions)"
        assert np.isfinite(first).all(), f"{stage.type}: {name} returns numbers that are not finite"
        assert len(np.unique(first, axis=0)) == len(texts), f"{stage.type}: {name} cannot tell texts apart"
        assert np.allclose(first, second, atol=1e-3), f"{stage.type}: {name} gives other vectors the second time"
        dimensions.add(first.shape[-1])
    assert len(dimensions) == 1, f"{stage.type}: queries and documents have different dimensions"


def _check_losses(stage: Loss, first: Any, second: Any) -> None:
    import torch

    assert isinstance(first, torch.nn.Module), f"{stage.type}: build must return a torch module"
    parameters, again = first.state_dict(), second.state_dict()
    different = [name for name in parameters if name not in again or not torch.equal(parameters[name], again[name])]
    assert not different, f"{stage.type}: built twice, it differs in {', '.join(different)}"


def _check_import(stage: type[Stage]) -> None:
    if stage.__module__.startswith("embedrun_local_") or stage.__module__ == "__main__":
        return
    found = f"import sys, {stage.__module__}; print(*sorted(set(sys.modules) & {set(HEAVY)!r}))"
    shown = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=False)  # noqa: S603
    if shown.returncode == 0:
        assert not shown.stdout.strip(), f"{stage.__module__}: imports {shown.stdout.strip()}; import inside run"


def _check_configuration(stage: Stage) -> None:
    silent = type(stage).model_fields.keys() - {"type", *descriptions(type(stage))}
    assert not silent, (
        f"{stage.type}: no documentation for {', '.join(sorted(silent))}; put a docstring under the field"
    )
    assert type(stage).__doc__, f"{stage.type}: needs a docstring that says what it does"
    stage.model_dump_json(serialize_as_any=True)


def _digests(folder: Path) -> dict[str, str]:
    return {name: file_digest(path) for name, path in folder_files(folder).items()}


def _run(stage: Stage, folder: Path, data: RetrievalSet, model: Model | None) -> Any:
    for name in ("out", "state"):
        (folder / name).mkdir(parents=True)
    ctx = Context(out=folder / "out", state=folder / "state", model=model, offline=True, device="cpu")
    given = {"data": data, "model": model, "base": model, "tuned": model, "loss": _PairsLoss(), "dev": None}
    for kind, names in _GIVEN.items():
        if isinstance(stage, kind):
            run: Any = stage.run  # type: ignore[attr-defined]  # every kind of _GIVEN has it
            return run(ctx, *(given[name] for name in names))
    if isinstance(stage, Embedder):
        return stage.connect(ctx)
    if isinstance(stage, Loss) and model:
        import torch

        torch.manual_seed(0)
        return stage.build(model.load("cpu"))
    if isinstance(stage, Deployer) and model:
        endpoint = stage.run(ctx, model)
        stage.delete(endpoint)
        return endpoint
    raise AssertionError(f"{stage.kind}: not a kind that can be checked")


_GIVEN: dict[type[Stage], tuple[str, ...]] = {
    stages.Source: (),
    Generator: ("data",),
    Filter: ("data",),
    Miner: ("data", "model"),
    Evaluator: ("data", "model"),
    Merger: ("data", "base", "tuned", "dev"),
    Trainer: ("data", "model", "loss", "dev"),
}


class _PairsLoss(Loss):
    """Ranks each positive above the batch's others."""

    type: str = "pairs_for_check"

    def build(self, model: Any) -> Any:
        from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

        return MultipleNegativesRankingLoss(model)
