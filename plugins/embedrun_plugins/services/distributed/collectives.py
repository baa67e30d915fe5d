"""Several processes that train together (torchrun), or one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import distributed


def together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def wait() -> None:
    """Wait for the other processes, if there are any."""
    if together():
        distributed.barrier()


def agreed(*, answer: bool) -> bool:
    """Return the first process's answer in all of them."""
    answers = [answer]
    if together():
        distributed.broadcast_object_list(answers)
    return answers[0]


def any_of(*, answer: bool) -> bool:
    """Say in all processes whether one of them says so."""
    if not together():
        return answer
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    answers = torch.tensor(int(answer), device=device)
    distributed.all_reduce(answers, distributed.ReduceOp.MAX)
    return bool(answers.item())


def collect(file: Path) -> None:
    """Copy a file that each process wrote, under a name of its own, to where the first one's is.

    The processes may be on machines that share no disk.
    """
    if not together():
        return
    first = distributed.get_rank() == 0
    found: list[Any] | None = [None] * distributed.get_world_size() if first else None
    distributed.gather_object((file.name, file.read_bytes()), found)
    for name, content in found or ():
        if name != file.name:
            (file.parent / name).write_bytes(content)
