"""Attention over texts that lie one behind the other in a single row, without padding, on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "embedrun_ragged"
"""What transformers calls it; `register` makes it known."""
MODEL_TYPES = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})
"""Architectures whose attention is all they do across tokens: every token of a text sees every other, by content."""


def register() -> None:
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend within each text; query, key and value are (1, heads, tokens, size), the result (1, tokens, heads, size).

    `cu_seq_lens_q` tells where texts begin and end, as for flash-attention; neighbours of one length are attended to
    together, so texts should be sorted by length. Without it, inputs are padded, and transformers' own attention is
    used.
    """
    ends: Tensor | None = options.get("cu_seq_lens_q")
    if ends is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    blocks = list(_blocks(ends.diff().tolist()))
    sizes = [count * length for count, length in blocks]
    heads, size = query.shape[1], query.shape[3]
    # split, unlike slices, has a backward pass that joins the parts once.
    parts = zip(*(torch.split(all_.squeeze(0).transpose(0, 1), sizes) for all_ in (query, key, value)), strict=True)
    joined = []
    for (count, length), part in zip(blocks, parts, strict=True):
        q, k, v = (flat.reshape(count, length, heads, size).transpose(1, 2) for flat in part)
        attended = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
        joined.append(attended.transpose(1, 2).reshape(count * length, heads, size))
    return torch.cat(joined).unsqueeze(0), None


def _blocks(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """Yield how many neighbours share a length, and the length."""
    for length, texts in groupby(lengths):
        yield sum(1 for _ in texts), length
