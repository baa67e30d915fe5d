"""What processes that train together (torchrun) do in common; each function also works in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import distributed


def is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def barrier() -> None:
    """Wait for the other processes, if there are any."""
    if is_distributed():
        distributed.barrier()


def broadcast(*, answer: bool) -> bool:
    """Return the first process's answer in all of them."""
    answers = [answer]
    if is_distributed():
        distributed.broadcast_object_list(answers)
    return answers[0]


def any_process(*, answer: bool) -> bool:
    """Say in all processes whether the answer of any of them is yes."""
    if not is_distributed():
        return answer
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    answers = torch.tensor(int(answer), device=device)
    distributed.all_reduce(answers, distributed.ReduceOp.MAX)
    return bool(answers.item())


def gather_file(file: Path) -> None:
    """Copy a file that each process wrote, under a name of its own, to where the first one's is.

    The processes may be on machines that share no disk.
    """
    if not is_distributed():
        return
    files: list[Any] | None = [None] * distributed.get_world_size() if distributed.get_rank() == 0 else None
    distributed.gather_object((file.name, file.read_bytes()), files)
    for name, content in files or ():
        if name != file.name:
            (file.parent / name).write_bytes(content)
