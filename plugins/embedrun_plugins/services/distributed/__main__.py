"""torchrun that ends with the process that started it, as do the processes that it starts."""

from __future__ import annotations

import os
import sys

from embedrun_plugins.services.distributed.parent_process import VARIABLE, end_with_parent


def main() -> None:
    end_with_parent()
    os.environ[VARIABLE] = str(os.getpid())
    from torch.distributed.run import main as torchrun

    torchrun(sys.argv[1:])


if __name__ == "__main__":
    main()
