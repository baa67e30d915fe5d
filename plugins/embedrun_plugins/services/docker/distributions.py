"""What is installed here, embedrun and the plugins beside it, as files that can be installed elsewhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib import resources
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import Distribution, distribution, entry_points
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from packaging.utils import canonicalize_name

from embedrun.errors import UserError
from embedrun_plugins.services.docker.wheels import Packed
from embedrun_plugins.services.shipped_recipes import recipes_folder

COMPILED = (*EXTENSION_SUFFIXES, ".so", ".pyd", ".dylib")
_NOT_PACKED = frozenset({"RECORD", "WHEEL", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"})
"""Files of the metadata that say how something came to be here, or that are written anew."""


def docker_files() -> dict[str, Path]:
    """Return what the image is built with, in a wheel or in a checkout, by name."""
    here = _package("embedrun").resolve()
    installed = here / "_data" / "docker"
    folder = installed if installed.is_dir() else here.parents[1] / "docker"
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    return files if installed.is_dir() else files | {"constraints.txt": here.parents[1] / "constraints.txt"}


def own() -> Packed:
    """Return embedrun as it is installed: the same from a wheel and from a checkout with the same files."""
    files: dict[str, bytes] = {}
    for package in ("embedrun", "embedrun_plugins"):
        tree = _tree(_package(package), f"{package}/")
        files |= {name: text for name, text in tree if "/_data/" not in name}
    files |= _tree(recipes_folder(), "embedrun/_data/recipes/")
    files |= {f"embedrun/_data/docker/{name}": path.read_bytes() for name, path in docker_files().items()}
    installed = distribution("embedrun")
    return Packed("embedrun", installed.version, files, _metadata(installed))


def _package(name: str) -> Path:
    return Path(str(resources.files(name)))


def plugins() -> list[Distribution]:
    """Return the other distributions that bring plugins, by name."""
    by_name = {canonicalize_name(point.dist.name): point.dist for point in entry_points(group="embedrun") if point.dist}
    return [by_name[name] for name in sorted(by_name) if name != "embedrun"]


def is_from_index(installed: Distribution) -> bool:
    """Say whether a distribution came from an index, not from a folder, a file or a repository."""
    return installed.read_text("direct_url.json") is None


def is_pure(installed: Distribution) -> bool:
    """Say whether a distribution holds Python alone, so that it runs on any machine."""
    return "Root-Is-Purelib: true" in (installed.read_text("WHEEL") or "")


def packed(installed: Distribution) -> Packed:
    """Return a distribution's files.

    Raises UserError for what cannot be packed: compiled modules, and what no record tells the files of.
    """
    name = installed.name
    if installed.read_text("WHEEL") is None or installed.files is None:
        raise UserError(f"{name}: cannot be packed: nothing records its files; reinstall it with `pip install`")
    if not is_pure(installed):
        raise UserError(f"{name}: cannot be packed: it has compiled modules for this machine; {_INSTEAD}")
    project = _editable(installed)
    files = dict(_recorded(installed) if project is None else _imported(installed, project))
    return Packed(name, installed.version, files, _metadata(installed))


_INSTEAD = "install it from an index that the image's build can reach, which then installs it by name and version"


def _metadata(installed: Distribution) -> dict[str, bytes]:
    """Return the files of the metadata folder that mean the same anywhere."""
    metadata: dict[str, bytes] = {}
    for path in installed.files or ():
        folder, _, rest = str(PurePosixPath(path)).partition("/")
        if folder.endswith(".dist-info") and rest and rest not in _NOT_PACKED:
            metadata[rest] = Path(str(installed.locate_file(path))).read_bytes()
    return metadata


def _editable(installed: Distribution) -> Path | None:
    """Return the project's folder where a distribution is installed from it in place."""
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(unquote(urlsplit(origin["url"]).path)))


def _recorded(installed: Distribution) -> Iterator[tuple[str, bytes]]:
    """Yield what an installed wheel brought, by its path in the wheel."""
    commands = {point.name for point in installed.entry_points if point.group in ("console_scripts", "gui_scripts")}
    stem = Packed(installed.name, installed.version, {}).stem
    for path in installed.files or ():
        name = str(PurePosixPath(path))
        full = Path(os.path.normpath(str(installed.locate_file(path))))
        if "__pycache__" in path.parts or path.suffix == ".pyc" or ".dist-info/" in name or not full.is_file():
            continue
        if path.parts[0] != "..":
            yield name, full.read_bytes()
        elif full.stem not in commands and full.is_relative_to(sys.prefix):
            inside = full.relative_to(sys.prefix)
            kind = "scripts" if inside.parts[0] in ("bin", "Scripts") else f"data/{inside.parent.as_posix()}"
            yield f"{stem}.data/{kind}/{full.name}", full.read_bytes()


def _imported(installed: Distribution, project: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the modules of a distribution that is installed in place."""
    for name in sorted(_top_level(installed, project)):
        spec = find_spec(name)
        folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
        inside = [folder for folder in folders if folder.resolve().is_relative_to(project.resolve())]
        origin = Path(spec.origin) if spec and spec.origin else None
        if not inside and (origin is None or not origin.resolve().is_relative_to(project.resolve())):
            raise UserError(
                f"{installed.name}: cannot be packed: its module '{name}' is not found in {project}; "
                f"install it without --editable"
            )
        for folder in inside:
            yield from ((path, _pure(installed, path, text)) for path, text in _tree(folder, f"{name}/"))
        if not inside and origin is not None:
            yield origin.name, _pure(installed, origin.name, origin.read_bytes())


def _top_level(installed: Distribution, project: Path) -> set[str]:
    """Return the names of a distribution's modules: those it tells, and all in a folder of sources of its own."""
    names = set((installed.read_text("top_level.txt") or "").split())
    names |= {point.module.partition(".")[0] for point in installed.entry_points}
    for path in installed.files or ():
        if path.suffix == ".pth":
            lines = Path(str(installed.locate_file(path))).read_text("utf-8").splitlines()
            folders = [
                Path(line) for line in lines if Path(line).is_dir() and Path(line).resolve() != project.resolve()
            ]
            names |= {init.parent.name for folder in folders for init in folder.glob("*/__init__.py")}
            names |= {module.stem for folder in folders for module in folder.glob("*.py")}
    return names


def _pure(installed: Distribution, path: str, text: bytes) -> bytes:
    if path.endswith(COMPILED):
        raise UserError(f"{installed.name}: cannot be packed: {path} is compiled for this machine; {_INSTEAD}")
    return text


def _tree(folder: Path, at: str) -> Iterator[tuple[str, bytes]]:
    """Yield all files below a folder but hidden ones and bytecode, by their paths in a wheel."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if path.is_file() and not hidden and path.suffix != ".pyc":
            yield f"{at}{inside.as_posix()}", path.read_bytes()
