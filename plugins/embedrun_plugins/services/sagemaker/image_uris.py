"""Which container serves: AWS's image for a framework, region and instance, as SageMaker's SDK lists them.

The SDK is used for this alone: its lists come with it, so that no network is asked and no telemetry is sent.
All else goes through boto3, which does the same with a tenth of the packages.
"""

from __future__ import annotations

import re
from typing import Any

from embedrun.errors import MissingPackageError, UserError

HUGGING_FACE, TEI, TEI_CPU = "huggingface", "huggingface-tei", "huggingface-tei-cpu"
_GPU = re.compile(r"ml\.(p|g|gr)\d+[\w-]*\.")
_TEI_VERSION = re.compile(r"tei-?(\d+\.\d+)|:(?:[a-z0-9]+-)?(\d+\.\d+)(?:\.\d+)?$")


def has_gpu(instance_type: str) -> bool:
    return bool(_GPU.match(instance_type))


def hugging_face(region: str, instance_type: str) -> str:
    """Return the newest Hugging Face inference container that the SDK knows.

    Raises UserError where there is none for the region.
    """
    uris = _uris()
    version = _newest(uris, HUGGING_FACE)
    builds = uris.config_for_framework(HUGGING_FACE)["inference"]["versions"][version]
    base = max((key for key in builds if key.startswith("pytorch")), key=_numbers)
    arguments = {"base_framework_version": base, "py_version": builds[base]["py_versions"][-1]}
    return _retrieve(uris, HUGGING_FACE, region, version=version, instance_type=instance_type, **arguments)


def tei(region: str, instance_type: str) -> str:
    """Return the newest TEI container that the SDK knows, for the instance's GPU or CPU."""
    uris, framework = _uris(), _tei(instance_type)
    return _retrieve(uris, framework, region, version=_newest(uris, framework), instance_type=instance_type)


def tei_version(image: str | None, instance_type: str) -> str | None:
    """Return the version of TEI that an image's name tells, as in "1.9"; without one, that of `tei`'s.

    None where the name does not tell, or the SDK that would is not installed.
    """
    if image:
        version = _TEI_VERSION.search(image)
        return (version[1] or version[2]) if version else None
    try:
        newest = _newest(_uris(), _tei(instance_type))
    except MissingPackageError:
        return None
    return ".".join(newest.split(".")[:2])


def _tei(instance_type: str) -> str:
    return TEI if has_gpu(instance_type) else TEI_CPU


def _uris() -> Any:
    try:
        from sagemaker.core import image_uris
    except ImportError as error:
        raise MissingPackageError("image", "sagemaker-core", "sagemaker") from error
    return image_uris


def _newest(uris: Any, framework: str) -> str:
    versions: list[str] = list(uris.config_for_framework(framework)["inference"]["versions"])
    return max(versions, key=_numbers)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _retrieve(uris: Any, framework: str, region: str, **arguments: str) -> str:
    try:
        return str(uris.retrieve(framework, region, image_scope="inference", **arguments))
    except (ValueError, KeyError) as error:
        raise UserError(f"there is no {framework} container for {region}: {error}; name one by 'image'") from error
