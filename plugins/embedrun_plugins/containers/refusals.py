"""What it means where an engine refuses to start a container."""

from __future__ import annotations

import re

from embedrun_plugins.containers import gpus


def explained(said: str, key: str, gpus_key: str) -> str:
    """Say what an engine's refusal means and what to do about it, in words of the recipe's keys."""
    if about_gpus := gpus.refusal(said, gpus_key):
        return about_gpus
    if "exec format error" in said:
        return f"{key}.image: is for another kind of processor than this machine's; name one that is made for it"
    if found := re.search(r"bind source path does not exist: *(.+?) *$", said):
        return f"{key}: {found[1]}: is not on the engine's machine, which must see this machine's folders"
    if "mounts denied" in said.lower():
        return f"{key}: the engine may not show this machine's folders to a container; share them with it: {said}"
    if "no space left on device" in said:
        return f"{key}: the engine's disk is full; `docker system df` shows what fills it"
    return f"{key}: the engine refuses to start the container: {said}"
