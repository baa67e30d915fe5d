"""GPUs for a container: which are asked for, and whether the driver suits what is in the image."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

ASKED = "EMBEDRUN_GPUS"
"""Variable that tells the inside of a container that it was given GPUs."""
_DRIVERS = {11: 450, 12: 525, 13: 580}
"""NVIDIA's first driver for each major version of CUDA (CUDA's compatibility guide)."""

Gpus = Literal["all", "none"] | int | tuple[int | str, ...]


def chosen(wanted: Gpus | None, info: Mapping[str, Any]) -> Gpus:
    """Return what was asked for; by default all, where this machine has any."""
    if wanted is not None:
        return wanted
    present = any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))
    return "all" if present or "nvidia" in (info.get("Runtimes") or {}) else "none"


def request(gpus: Gpus) -> list[Any]:
    """Return Docker's device requests."""
    from docker.types import DeviceRequest

    if gpus in ("none", 0, ()):
        return []
    capabilities = [["gpu", "compute", "utility"]]
    if isinstance(gpus, tuple):
        return [DeviceRequest(device_ids=[str(name) for name in gpus], capabilities=capabilities)]
    return [DeviceRequest(count=-1 if gpus == "all" else int(gpus), capabilities=capabilities)]


def variables(gpus: Gpus) -> dict[str, str]:
    """Return what tells the inside that there should be GPUs."""
    return {ASKED: "1"} if request(gpus) else {}


def refusal(message: str, key: str) -> str | None:
    """Say what an engine's refusal to start a container with GPUs means, if it is about the GPUs of a recipe's key."""
    if "could not select device driver" in message or "unresolvable CDI devices" in message:
        return (
            f"{key}: the engine knows no NVIDIA GPUs: install the NVIDIA Container Toolkit and restart the engine, "
            f"or set {key} to none"
        )
    if unsatisfied := re.search(r"unsatisfied condition: (cuda\s*>=\s*[\d.]+)", message):
        return f"{key}: the NVIDIA driver{_installed()} is too old for the image ({unsatisfied[1]}); {_UPDATE}"
    if "nvml error: driver not loaded" in message or "driver/library version mismatch" in message:
        return f"{key}: the NVIDIA driver is not loaded, or was updated since; load it or restart the machine"
    if "nvidia-container-cli" in message and ("unknown device" in message or "device error" in message):
        return f"{key}: the machine has no such GPU; `nvidia-smi -L` lists those that it has"
    return None


_UPDATE = "update the driver, or build the image with an older torch (constraints.txt) on an older base"


def _installed() -> str:
    try:
        text = Path("/proc/driver/nvidia/version").read_text("utf-8")
    except OSError:
        return ""
    version = re.search(r"Kernel Module\D*([\d.]+)", text)
    return f" {version[1]}" if version else ""


def fault() -> str | None:
    """Say, inside a container that was given GPUs, why torch could not use them; it would train on the CPU instead."""
    if not os.environ.get(ASKED):
        return None
    return _fault(_supported(), _built_for())


def _fault(supported: tuple[int, int] | None, built_for: tuple[int, int] | None) -> str | None:
    if built_for is None:
        return "runtime.gpus: the image's torch is a build for CPUs; build the image with torch's own CUDA wheels"
    if supported is None:
        return f"runtime.gpus: the container sees no NVIDIA driver{_installed()}; see `nvidia-smi` on this machine"
    if supported[0] < built_for[0]:
        needed = _DRIVERS.get(built_for[0])
        return (
            f"runtime.gpus: the NVIDIA driver{_installed()} supports CUDA {supported[0]}.{supported[1]}, and the "
            f"image's torch needs {built_for[0]}.{built_for[1]}"
            f"{f' (driver {needed} or newer)' if needed else ''}; {_UPDATE}"
        )
    return None


def _supported() -> tuple[int, int] | None:
    """Return the version of CUDA that the driver supports, asked of the driver itself; None where there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return version.value // 1000, version.value % 1000 // 10


def _built_for() -> tuple[int, int] | None:
    """Return the version of CUDA that torch was built for, without importing it."""
    spec = find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    version = re.search(r"^cuda\b.*=\s*'(\d+)\.(\d+)'", file.read_text("utf-8"), re.MULTILINE) if file else None
    return (int(version[1]), int(version[2])) if version else None


def explained(message: str, key: str, gpus_key: str) -> str:
    """Say what an engine's refusal means and what to do about it, in words of the recipe's keys."""
    if about_gpus := refusal(message, gpus_key):
        return about_gpus
    if "exec format error" in message:
        return f"{key}.image: is for another kind of processor than this machine's; name one that is made for it"
    if missing := re.search(r"bind source path does not exist: *(.+?) *$", message):
        return f"{key}: {missing[1]}: is not on the engine's machine, which must see this machine's folders"
    if "mounts denied" in message.lower():
        return f"{key}: the engine may not show this machine's folders to a container; share them with it: {message}"
    if "no space left on device" in message:
        return f"{key}: the engine's disk is full; `docker system df` shows what fills it"
    return f"{key}: the engine refuses to start the container: {message}"
