"""What each version of TEI loads, as its source says, and the image that suits a machine.

Read in its source at 1.8 and 1.9: `Config` in backends/candle/src/lib.rs names the architectures and what each needs,
.github/workflows/matrix.json the images.
"""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Mapping

from embedrun.errors import UserError

NEWEST = "1.9"
REPOSITORY = "ghcr.io/huggingface/text-embeddings-inference"
_COMMON = frozenset(
    {
        *("bert", "camembert", "distilbert", "gemma3_text", "gte", "mistral", "modernbert", "mpnet", "new"),
        *("nomic_bert", "qwen2", "qwen3", "roberta", "xlm-roberta"),
    }
)
ARCHITECTURES: Mapping[str, frozenset[str]] = {"1.8": _COMMON, "1.9": _COMMON | {"deberta-v2", "llama"}}
"""The `model_type`s that each version loads as embedding models."""
GPU_ONLY = frozenset({"llama", "mistral", "qwen2"})
"""Those that it runs in float16, with flash attention, on a GPU and not otherwise."""
FLOAT32_ONLY = frozenset({"gemma3_text"})
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "gemma3_text": ("rope_theta", "rope_local_base_freq"),
    "mistral": ("rope_theta",),
    "modernbert": ("global_rope_theta", "local_rope_theta", "global_attn_every_n_layers"),
    "nomic_bert": (
        *("prenorm", "rotary_emb_fraction", "qkv_proj_bias", "rotary_emb_base", "rotary_emb_interleaved"),
        *("mlp_fc1_bias", "mlp_fc2_bias", "n_embd", "n_head", "n_inner", "n_layer", "n_positions"),
        *("activation_function", "vocab_size", "type_vocab_size", "layer_norm_epsilon"),
    ),
    "qwen2": ("rope_theta",),
    "qwen3": ("rope_theta",),
}
"""Keys of config.json that transformers 5 no longer writes by itself, and that TEI does not start without."""
CARRIED = frozenset({"nomic_bert"})
"""Architectures whose keys an export carries over from the base model only, and cannot make up."""
_TAGS: Mapping[str, str] = {
    "7.5": "turing-{}",
    "8.0": "{}",
    "8.6": "86-{}",
    "8.9": "89-{}",
    "9.0": "hopper-{}",
    "10.0": "100-{}",
    "12.0": "120-{}",
}
"""Tags by the compute capability of the GPU."""


def image_for(capability: str | None, architecture: str = "amd64", version: str = NEWEST) -> str:
    """Return TEI's image for a GPU of a compute capability such as "8.6", or for a CPU.

    Raises UserError where there is none.
    """
    if capability is None:
        # TEI publishes no images of its versions for arm64, only the newest.
        return f"{REPOSITORY}:{'cpu-arm64-latest' if architecture == 'arm64' else f'cpu-{version}'}"
    if capability not in _TAGS:
        raise UserError(
            f"TEI has no image for GPUs of compute capability {capability}, only for {', '.join(_TAGS)}; "
            "name an image of your own (image), or leave the GPU out (gpu: none)"
        )
    return f"{REPOSITORY}:{_TAGS[capability].format(version)}"


def version_of(image: str) -> str | None:
    """Return the version that one of TEI's own images has, as in "1.9"; None where its name does not tell."""
    match = re.search(r"/text-embeddings-inference:(?:[a-z0-9-]+-)?(\d+\.\d+)(?:\.\d+)?(?:@|$)", image)
    return match[1] if match else None


@functools.cache
def capability(gpu: int | str = 0) -> str | None:
    """Return the compute capability of a GPU of this machine, as in "8.6"; None where NVIDIA's tool finds none."""
    command = ["nvidia-smi", f"--id={gpu}", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603  # no shell
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"^\d+\.\d+$", done.stdout.strip())
    return match[0] if match else None
