"""A recipe with a trial's values written into it, comments and all, to be run and committed."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from embedrun.errors import StageError, UserError
from embedrun.execution import Loaded
from embedrun.hashing import text_id

_INDENTED_LISTS = re.compile(r"^\w[^\n]*:[ ]*\n {2,}- ", re.MULTILINE)


@dataclass(frozen=True)
class BestRecipe:
    """Where the winner's recipe is written, and what this sweep wrote there before."""

    file: Path
    written: Mapping[str, str]
    """Digests of texts by file."""

    def require_free(self) -> None:
        """Raise UserError where the file holds something that this sweep did not write."""
        if self.file.is_dir():
            raise UserError(f"--write {self.file}: is a folder; name a file")
        if self.file.exists() and self.digest() != self.written.get(str(self.file.resolve())):
            raise UserError(
                f"{self.file}: exists already, and is not as this sweep wrote it; name another file with --write"
            )

    def digest(self) -> str:
        return text_id(self.file.read_text("utf-8", errors="replace"))

    def write(self, trial: Loaded, comment: str) -> None:
        """Write a trial's recipe. Raises UserError where the file cannot be written."""
        text = trial.path.read_text("utf-8-sig")
        data = self._data(trial)
        for content in (_merged(text, data), _plain(data)):
            self._write(f"# {comment}\n{content}")
            if _same(Loaded.read(self.file), trial):
                return
        raise StageError(f"{self.file}: the winner's recipe could not be written so that it reads the same")

    def _write(self, text: str) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            scratch = self.file.with_name(f".{self.file.name}.part")
            scratch.write_text(text, "utf-8", newline="\n")
            scratch.replace(self.file)
        except OSError as error:
            raise UserError(f"--write {self.file}: cannot be written: {error.strerror}") from error

    def _data(self, trial: Loaded) -> dict[str, Any]:
        """Return the recipe as plain data, with paths as they are meant from the new file."""
        paths = set(_paths(trial.recipe))
        if (local := trial.path.parent / trial.recipe.model.id).exists():
            paths.add(local.resolve())
        data = {key: value for key, value in trial.document.data.items() if value or key != "plugins"}
        data = {"name": data.pop("name"), **data}
        moved = {key: self._moved(value, key, trial.path.parent, paths) for key, value in data.items()}
        if "plugins" in data:
            moved["plugins"] = [self._from_here(trial.path.parent / name, name) for name in data["plugins"]]
        return moved

    def _moved(self, value: Any, key: str, folder: Path, paths: set[Path]) -> Any:
        if isinstance(value, dict):
            return {name: self._moved(child, name, folder, paths) for name, child in value.items()}
        if isinstance(value, list):
            return [self._moved(child, key, folder, paths) for child in value]
        if not isinstance(value, str) or key == "type" or not value:
            return value
        meant = next((path for path in (folder / value, Path(value)) if path.resolve() in paths), None)
        return self._from_here(meant, value) if meant else str(value)

    def _from_here(self, path: Path, text: str) -> str:
        if (self.file.parent / text).resolve() == path.resolve():
            return str(text)
        return Path(os.path.relpath(path.resolve(), self.file.parent.resolve())).as_posix()


def _paths(value: Any) -> Iterator[Path]:
    """Yield every path in a recipe's stages."""
    if isinstance(value, Path):
        yield value.resolve()
    elif isinstance(value, BaseModel):
        for _, child in value:
            yield from _paths(child)
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from _paths(child)
    elif isinstance(value, (tuple, list)):
        for child in value:
            yield from _paths(child)


def _same(written: Loaded, trial: Loaded) -> bool:
    """Say whether two recipes are alike, but for how they name files."""
    return _comparable(written) == _comparable(trial)


def _comparable(loaded: Loaded) -> dict[str, Any]:
    recipe = {key: value for key, value in loaded.recipe.dump().items() if key != "plugins"}
    local = loaded.path.parent / loaded.recipe.model.id
    name = str(local.resolve()) if local.exists() else loaded.recipe.model.id
    return {**recipe, "model": {**recipe["model"], "id": name}}


def _merged(text: str, data: dict[str, Any]) -> str:
    """Change a recipe's text where the data differs, and leave the rest as it is."""
    from ruamel.yaml import YAML

    yaml: Any = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    if _INDENTED_LISTS.search(text):
        yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(text)
    _change(document, data)
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _plain(data: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def _change(node: Any, data: dict[str, Any]) -> None:
    for key in [key for key in node if key not in data]:
        del node[key]
    for key, value in data.items():
        if key not in node:
            # Before the last key, as what stands below that in the file belongs to it.
            node.insert(0 if key == "name" else max(0, len(node) - 1), key, value)
        elif isinstance(node[key], dict) and isinstance(value, dict):
            _change(node[key], value)
        elif node[key] != value or isinstance(node[key], bool) != isinstance(value, bool):
            node[key] = value
