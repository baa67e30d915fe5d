"""Which device each of several trials has."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedrun.errors import UserError


@dataclass(frozen=True)
class Devices:
    """How many trials run at once, and the GPUs that each of them sees."""

    count: int = 1
    gpus: Sequence[Sequence[str]] = ()
    """Of each trial; empty on a CPU, or where a trial may see all."""

    @classmethod
    def choose(cls, wanted: int | None, processes: int, *, elsewhere: bool) -> Devices:
        """Share the GPUs that torch sees: as many trials at once as there are devices, or as are `wanted`.

        `processes` is how many GPUs one training takes. Raises UserError where there are too few.
        """
        if elsewhere or wanted == 1:
            return cls(wanted or 1)
        gpus = _visible()
        room = len(gpus) // processes
        if not gpus:
            return cls(wanted or 1)
        if wanted and wanted > room:
            each = f", and each trial trains on {processes}" if processes > 1 else ""
            raise UserError(f"--parallel {wanted}: torch sees {len(gpus)} GPUs here{each}; at most {room} trials fit")
        count = wanted or max(1, room)
        if count == 1:
            return cls()
        return cls(count, [gpus[slot * processes : (slot + 1) * processes] for slot in range(count)])

    def environment(self, slot: int) -> Mapping[str, str]:
        """Return the variables of the trial that runs there, beside this process's own."""
        if self.gpus:
            return {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus[slot])}
        if self.count > 1 and "OMP_NUM_THREADS" not in os.environ:
            return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self.count))}
        return {}


def _visible() -> list[str]:
    """Return the names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in named.split(",")] if named else []
    return names[:count] if len(names) >= count else [str(number) for number in range(count)]
