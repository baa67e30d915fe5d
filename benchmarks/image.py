"""What the image weighs, layer by layer, and how long it takes to build it, unchanged and after a change of code.

    python benchmarks/image.py --base-image debian:bookworm

It needs a container engine, and leaves the image itself.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from embedrun_plugins.services import docker
from embedrun_plugins.services.docker import engine
from embedrun_plugins.services.docker.contents import BuildContext

CHANGED = "embedrun:benchmark"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-image", metavar="IMAGE", help="what it starts from")
    parser.add_argument("--extras", default="", help="extras beside the usual, separated by commas")
    parser.add_argument("--repeat", type=int, default=3, help="changes of code to build")
    arguments = parser.parse_args()
    client = engine.client()
    packed = docker.pack([extra for extra in arguments.extras.split(",") if extra], arguments.base_image)
    image, seconds = timed(lambda: docker.build(client, packed, print))
    print(f"\n{image.reference}: {image.size / 1e6:,.0f} MB\n\n| layer | made by |\n|---|---|")
    for layer in image.layers:
        print(f"| {layer.size / 1e6:,.3f} MB | `{layer.made_by[:110]}` |")
    print(f"\n| build | seconds |\n|---|---|\n| as it was found | {seconds:.1f} |")
    print(f"| nothing changed | {timed(lambda: docker.build(client, packed, quiet))[1]:.1f} |")
    try:
        for turn in range(arguments.repeat):
            changed = with_a_comment(packed, f"# {time.time()}\n")
            _, seconds = timed(partial(docker.build, client, changed, quiet))
            print(f"| a line of code changed ({turn + 1}) | {seconds:.1f} |")
    finally:
        client.images.remove(CHANGED, force=True)
    print(f"| packing alone | {timed(lambda: docker.pack((), arguments.base_image))[1]:.1f} |")


def timed(do: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    return do(), time.monotonic() - started


def quiet(_: str) -> None: ...


def with_a_comment(packed: BuildContext, comment: str) -> BuildContext:
    """Change a line of embedrun's code, as an edit would."""
    name = next(name for name in packed.files if name.startswith("wheels/embedrun-"))
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed.files[name])) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.infolist():
            text = old.read(entry)
            new.writestr(entry, text + comment.encode() if entry.filename == "embedrun/hashing.py" else text)
    return replace(packed, files={**packed.files, name: made.getvalue()}, reference=CHANGED)


if __name__ == "__main__":
    main()
