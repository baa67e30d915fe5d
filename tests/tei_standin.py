"""A stand-in for TEI's image, which no registry that tests can reach has: TEI's start-up rules, then our server.

What stops TEI 1.9 at its start stops this, with the same words and exit codes, after its source: router/src/lib.rs
(`run`, `get_backend_model_type`), backends/src/lib.rs (`init_backend`), backends/candle/src/lib.rs (`Config`,
`CandleBackend::new`). What it would silently do otherwise than a model means it, this does too: Dense layers are left
out where modules.json names a class that it does not know. Vectors are computed by our own server, so that nothing here
shows how TEI's own kernels round.

Run as a program it is the server; imported, it builds the image: `build(client, image)`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tarfile
from pathlib import Path

POOLINGS = {"cls": "cls", "mean": "mean", "last-token": "lasttoken", "splade": None}
ST_CONFIGS = [f"sentence_{name}_config.json" for name in ("bert", "roberta", "distilbert", "camembert", "albert")]
ARCHITECTURES = [
    *("bert", "camembert", "deberta-v2", "distilbert", "gemma3_text", "gte", "new", "mpnet", "mistral", "modernbert"),
    *("nomic_bert", "qwen2", "qwen3", "roberta", "static-embedding", "xlm-roberta"),
]
NEEDED = {
    "modernbert": ["global_rope_theta", "local_rope_theta", "global_attn_every_n_layers"],
    "qwen3": ["rope_theta"],
}
MODULES = {f"sentence_transformers.models.{name}" for name in ("Dense", "Normalize", "Pooling", "Transformer")}
ACTIVATIONS = ["torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"]
FLAGS = {
    "--model-id": str,
    "--dtype": str,
    "--pooling": str,
    "--max-concurrent-requests": int,
    "--max-batch-tokens": int,
    "--max-client-batch-size": int,
    "--auto-truncate": str,
    "--default-prompt-name": str,
    "--hostname": str,
    "--port": int,
    "--payload-limit": int,
    "--api-key": str,
    "--prometheus-port": int,
}
DEFAULTS = {
    "max_concurrent_requests": 512,
    "max_batch_tokens": 16384,
    "max_client_batch_size": 32,
    "auto_truncate": "true",
    "hostname": "0.0.0.0",
    "port": 3000,
    "payload_limit": 2_000_000,
}


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class StartError(Exception):
    """What TEI says before it ends."""


def arguments(words):
    """Read flags, each also a variable; one that is unknown or wrong ends the process with 2, as clap does."""
    parser = argparse.ArgumentParser(prog="text-embeddings-router")
    parser.add_argument("--json-output", action="store_true")
    for flag, kind in FLAGS.items():
        name = flag[2:].replace("-", "_")
        given = os.environ.get(name.upper())
        choices = {"pooling": list(POOLINGS), "dtype": ["float16", "float32"]}.get(name)
        default = DEFAULTS.get(name) if given is None else kind(given)
        if choices and given is not None and given not in choices:
            parser.error(f"invalid value '{given}' for '{flag}' [possible values: {', '.join(choices)}]")
        parser.add_argument(flag, type=kind, default=default, choices=choices)
    found = parser.parse_args(words)
    if found.model_id is None:
        parser.error("the following required arguments were not provided: --model-id <MODEL_ID>")
    return found


def read(file: Path, keys=()):
    """Parse a file that must hold some keys, each with a test of its value."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise StartError(f"`{file.name}` not found\n\nCaused by:\n    No such file or directory (os error 2)") from None
    for key, fits in dict(keys).items():
        if key not in found:
            raise StartError(f"Failed to parse `{named(file)}`\n\nCaused by:\n    missing field `{key}`")
        if not fits(found[key]):
            raise StartError(f"Failed to parse `{named(file)}`\n\nCaused by:\n    invalid type for `{key}`")
    return found


def named(file: Path) -> str:
    return f"1_Pooling/{file.name}" if file.parent.name == "1_Pooling" else file.name


def is_number(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_flag(value) -> bool:
    return isinstance(value, bool)


def pooling(folder: Path, config, asked):
    if any(name.endswith("Classification") for name in config["architectures"]):
        raise StartError("Model is a classifier and answers no /embed")
    if asked:
        return POOLINGS[asked]
    file = folder / "1_Pooling" / "config.json"
    if not file.exists():
        if "bert" not in config["model_type"]:
            raise StartError("The `--pooling` arg is not set and we could not find a pooling configuration")
        return "cls"  # with a warning that nobody reads
    found = read(file, {"pooling_mode_cls_token": is_flag, "pooling_mode_mean_tokens": is_flag})
    for mode, key in {"cls": "cls_token", "mean": "mean_tokens", "lasttoken": "lasttoken"}.items():
        if found.get(f"pooling_mode_{key}"):
            return mode
    raise StartError(f"Pooling config {found} is not supported")


def length(folder: Path, config, given) -> int:
    found = None
    for name in ST_CONFIGS:
        if (folder / name).exists():
            found = read(folder / name, {"max_seq_length": is_number})["max_seq_length"]
            break
    if found is None:
        found = config.get("max_position_embeddings") or config["n_positions"]
    if found > given.max_batch_tokens:
        if given.auto_truncate == "false":
            raise StartError(f"max_input_length {found} is larger than max_batch_tokens {given.max_batch_tokens}")
        found = given.max_batch_tokens  # cut without a word
    return found


def prompts(folder: Path, default):
    file = folder / "config_sentence_transformers.json"
    found = (read(file).get("prompts") if file.exists() else None) or {}
    for name, text in found.items():
        if not isinstance(text, str):
            raise StartError(f"Failed to parse `{file.name}`\n\nCaused by:\n    invalid type for `{name}`")
    if default and default not in found:
        raise StartError(f"`default-prompt-name` is set to `{default}` but it was not found in the prompts")
    return found


def dense_modules(folder: Path):
    """Return the paths of the Dense modules that TEI would load: none where it cannot read modules.json."""
    file = folder / "modules.json"
    modules = json.loads(file.read_text("utf-8")) if file.exists() else []
    if any(module["type"] not in MODULES for module in modules):
        say("WARN Failed to parse local modules.json: unknown variant")
        return []
    found = [module["path"] for module in modules if module["type"].endswith(".Dense")]
    for path in found:
        activation = json.loads((folder / path / "config.json").read_text("utf-8")).get("activation_function")
        if activation is not None and activation not in ACTIVATIONS:
            raise backend(f"Unable to parse `{path}/config.json`: unknown variant `{activation}`")
    return found


def backend(said: str) -> StartError:
    say(f"ERROR Could not start Candle backend: {said}")
    return StartError("Could not create backend\n\nCaused by:\n    Could not start backend: could not start a suitable")


def check_backend(folder: Path, config) -> None:
    if not any((folder / name).exists() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise backend("No such file or directory (os error 2)")
    kind = config["model_type"]
    if kind not in ARCHITECTURES:
        raise backend(f"Model is not supported: unknown variant `{kind}`, expected one of {', '.join(ARCHITECTURES)}")
    for key in NEEDED.get(kind, ()):
        if key not in config:
            raise backend(f"Model is not supported: missing field `{key}`")
    if kind in ("mistral", "qwen2"):
        raise backend(f"{kind} is only supported on Cuda devices in fp16 with flash attention enabled")


def as_tei_reads(folder: Path, given):
    """Return the folder of what TEI makes of a model, and how it was told to; raises StartError."""
    place = {"architectures": lambda v: isinstance(v, list), "model_type": lambda v: isinstance(v, str)}
    config = read(folder / "config.json", place)
    if not is_number(config.get("max_position_embeddings", config.get("n_positions"))):
        raise StartError("Failed to parse `config.json`\n\nCaused by:\n    missing field `max_position_embeddings`")
    mode = pooling(folder, config, given.pooling)
    if not (folder / "tokenizer.json").exists():
        say("tokenizer.json not found. text-embeddings-inference only supports fast tokenizers")
        sys.exit(101)  # a panic
    most = length(folder, config, given)
    texts = prompts(folder, given.default_prompt_name)
    check_backend(folder, config)
    return mode, most, texts, dense_modules(folder)


def rebuilt(folder: Path, dense, mode: str, size: int, scratch: Path) -> Path:
    """Lay out, by links, the model that TEI serves of a folder: transformer, pooling and the Dense layers it knows."""
    scratch.mkdir(parents=True)
    for file in folder.iterdir():
        if file.name not in ("modules.json", "1_Pooling", "config_sentence_transformers.json"):
            (scratch / file.name).symlink_to(file)
    (scratch / "1_Pooling").mkdir()
    saved = {"word_embedding_dimension": size, "pooling_mode_cls_token": mode == "cls"}
    saved |= {"pooling_mode_mean_tokens": mode == "mean", "pooling_mode_lasttoken": mode == "lasttoken"}
    (scratch / "1_Pooling" / "config.json").write_text(json.dumps(saved))
    parts = [("Transformer", ""), ("Pooling", "1_Pooling"), *(("Dense", path) for path in dense)]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{name}"}
        for n, (name, path) in enumerate(parts)
    ]
    (scratch / "modules.json").write_text(json.dumps(modules))
    return scratch


def main(words=None) -> int:
    given = arguments(words)
    if os.environ.get("LOG_LEVEL", "info") == "info":
        say(f"INFO Args {{ model_id: {given.model_id}, api_key: {given.api_key} }}")
    folder = Path(given.model_id)
    try:
        mode, most, texts, dense = as_tei_reads(folder, given)
    except StartError as error:
        say(f"Error: {error}")
        return 1
    from embedrun.artifacts import Model
    from embedrun.model_settings import ModelSettings
    from embedrun_plugins.models.serving.embedder import ServerLimits
    from embedrun_plugins.models.serving.server import serve

    config = json.loads((folder / "config.json").read_text("utf-8"))
    size = config.get("hidden_size") or config["n_embd"]
    scratch = Path(os.environ.get("TMPDIR", "/tmp")) / f"tei-{os.getpid()}"
    made = rebuilt(folder, dense, mode, size, scratch)
    saved = {"prompts": texts, "default_prompt_name": given.default_prompt_name}
    (made / "config_sentence_transformers.json").write_text(json.dumps(saved))
    limits = ServerLimits(
        max_client_batch_size=given.max_client_batch_size,
        max_concurrent_requests=given.max_concurrent_requests,
        payload_limit=given.payload_limit,
        auto_truncate=given.auto_truncate == "true",
    )
    settings = ModelSettings(max_length=most, dtype=given.dtype or "float32")
    key = {"api_key_env": "API_KEY"} if given.api_key else {}
    if given.api_key:
        os.environ["API_KEY"] = given.api_key
    serve(Model(made, settings), host=given.hostname, port=given.port, limits=limits, **key)
    return 0


def build(client, image: str) -> str:
    """Build the stand-in on embedrun's own image, named as TEI's image for CPUs is; return its name."""
    name = "standin/text-embeddings-inference:cpu-1.9"
    lines = [
        f"FROM {image}",
        "COPY tei_standin.py /opt/tei/router.py",
        "HEALTHCHECK NONE",
        'ENTRYPOINT ["python3", "/opt/tei/router.py"]',
        'CMD ["--json-output"]',
    ]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for file, text in {"Dockerfile": "\n".join(lines), "tei_standin.py": Path(__file__).read_text("utf-8")}.items():
            entry = tarfile.TarInfo(file)
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    client.images.build(fileobj=io.BytesIO(made.getvalue()), custom_context=True, tag=name, rm=True)
    return name


if __name__ == "__main__":
    sys.exit(main())
