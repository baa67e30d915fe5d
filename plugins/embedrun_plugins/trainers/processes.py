"""Several processes that train together (torchrun), or one."""

from __future__ import annotations

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
