"""Which files a recipe means by folders, patterns and splits."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from embedrun.artifacts import SPLITS, Split
from embedrun.context import Unkeyed, candidates
from embedrun.errors import printable, suggest
from embedrun_plugins.stages.sources.readers import KINDS, kind_of


def _located(value: Any, info: ValidationInfo) -> Any:
    """Seek a file, folder or pattern from the recipe's folder, then from the current one."""
    if not isinstance(value, (str, Path)) or not str(value):
        return value
    paths = candidates(value, info)
    return next((path for path in paths if _is_there(path)), paths[-1]).absolute()


Location = Annotated[Path, BeforeValidator(_located), Unkeyed]
"""A file, a folder or a pattern such as filings/*.pdf; not part of the key, as what it names is."""


def _is_there(path: Path) -> bool:
    return path.exists() or (glob.has_magic(str(path)) and any(_matches(path)))


@dataclass(frozen=True)
class File:
    """A file to read. `name` tells it from the others and says nothing of this machine."""

    path: Path
    depth: int
    """Trailing parts of the path that make the name."""
    split: Split | None = None
    asked_for: bool = False
    """Whether the recipe names it, rather than its folder or a pattern."""

    @property
    def name(self) -> str:
        return "/".join(self.path.parts[-self.depth :])


@dataclass
class Listing:
    """What was found, in the order in which it is read, and what is wrong with it."""

    files: list[File] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Names of files of kinds that cannot be read."""
    left_out: list[str] = field(default_factory=list)
    """Names of files that no pattern of `splits` matches."""
    missing: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def listed(paths: Sequence[tuple[Split | None, Path]], patterns: Mapping[Split, Sequence[str]] | None) -> Listing:
    """Find the files that are meant. What is wrong stands in the listing's `faults` and `missing`."""
    listing = Listing()
    files = [file for split, path in paths for file in _at(path, split, listing)]
    unnamed = [file for file in files if not _is_utf8(str(file.path))]
    listing.faults += [f"path: {printable(str(file.path))}: its name is not UTF-8; rename it" for file in unnamed]
    files = _named_apart(_once([file for file in files if file not in unnamed], listing))
    listing.skipped = sorted(file.name for file in files if kind_of(file.path) is None and not file.asked_for)
    for file in files:
        if file.asked_for and kind_of(file.path) is None:
            listing.faults.append(f"path: {file.path}: {_unknown(file.path)}")
    files = sorted((file for file in files if kind_of(file.path)), key=lambda file: file.name.split("/"))
    if not files and not listing.faults and not listing.missing:
        skipped = f"; {some(listing.skipped)}: of a kind that cannot be read" if listing.skipped else ""
        where = ", ".join(str(path) for _, path in paths)
        listing.faults.append(f"path: no document in {where}{skipped}; readable kinds: {', '.join(KINDS)}")
    listing.files = _divided(files, patterns, listing) if patterns and files else files
    return listing


def _is_utf8(name: str) -> bool:
    """Tell whether a name can be written into a result."""
    return name.encode("utf-8", "replace") == name.encode("utf-8", "surrogatepass")


def _at(path: Path, split: Split | None, listing: Listing) -> Iterator[File]:
    if path.is_dir():
        yield from _below(path, split)
    elif path.exists():
        yield File(_placed(path.parent, Path(path.name)), 1, split, asked_for=True)
    elif glob.has_magic(str(path)):
        root = _root(path)
        matches = sorted(_matches(path))
        for match in matches:
            if match.is_dir():
                yield from _below(match, split, root)
            elif not _is_hidden(match.relative_to(root)):
                yield File(_placed(root, match.relative_to(root)), len(match.relative_to(root).parts), split)
        if not matches and root.is_dir():
            listing.faults.append(f"path: {path}: matches no file")
        elif not matches:
            listing.missing.append(root)
    else:
        listing.missing.append(path)


def _matches(pattern: Path) -> Iterator[Path]:
    root = _root(pattern.absolute())
    return root.glob(str(pattern.absolute().relative_to(root)))


def _below(folder: Path, split: Split | None, root: Path | None = None) -> Iterator[File]:
    """Yield the files of a folder, named from the `root`, by default the folder itself."""
    root = root or folder
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not _is_hidden(path.relative_to(folder)):
            inside = path.relative_to(root)
            yield File(_placed(root, inside), len(inside.parts), split)


def _placed(root: Path, inside: Path) -> Path:
    """Return a file's full path; a link keeps its own name, which says what the file is."""
    return root.resolve() / inside


def _is_hidden(inside: Path) -> bool:
    """Leave out hidden files and folders, and the locks that Word leaves."""
    return any(part.startswith((".", "~$")) for part in inside.parts)


def _root(pattern: Path) -> Path:
    """Return the part of a pattern before the first that varies."""
    return next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))


def _once(files: Iterable[File], listing: Listing) -> list[File]:
    seen: dict[Path, File] = {}
    for file in files:
        target = file.path.resolve()
        first = seen.setdefault(target, file)
        if first.split != file.split:
            listing.faults.append(f"path: {file.path} is given for two splits, {first.split} and {file.split}")
        elif file.asked_for:
            seen[target] = replace(first, asked_for=True)
    return list(seen.values())


def _named_apart(files: list[File]) -> list[File]:
    """Put folders in front of names until no two are equal."""
    while True:
        counts = Counter(file.name for file in files)
        if len(counts) == len(files):
            return files
        files = [replace(file, depth=file.depth + 1) if counts[file.name] > 1 else file for file in files]


def _divided(files: list[File], patterns: Mapping[Split, Sequence[str]], listing: Listing) -> list[File]:
    """Give each file the split that its patterns name."""
    claims: dict[str, dict[Split, str]] = {}
    names = [file.name for file in files]
    for split in (split for split in SPLITS if split in patterns):
        for pattern in patterns[split]:
            matched = _matched(pattern, names)
            for name in matched:
                claims.setdefault(name, {})[split] = pattern
            if not matched:
                near = suggest(pattern, [word for name in names for word in (name, PurePosixPath(name).stem)])
                close = near if "did you mean" in near else f"; there are {some(names)}"
                listing.faults.append(f"splits.{split}: '{pattern}' matches no file{close}")
    for name, splits in claims.items():
        if len(splits) > 1:
            both = " and ".join(f"{split} ('{pattern}')" for split, pattern in splits.items())
            listing.faults.append(f"splits: {name} is in {both}; a file belongs to one split")
    listing.left_out = [name for name in names if name not in claims]
    return [replace(file, split=next(iter(claims[file.name]))) for file in files if file.name in claims]


def _matched(pattern: str, names: Sequence[str]) -> list[str]:
    """Match a name, a name without its ending, a folder or a pattern; else what names start with."""
    exact = [name for name in names if any(_fits(word, pattern) for word in _words(PurePosixPath(name)))]
    return exact or [name for name in names if PurePosixPath(name).name.startswith(pattern)]


def _words(name: PurePosixPath) -> set[str]:
    return {str(name), name.name, name.stem, str(name.with_suffix("")), *map(str, name.parents)} - {"."}


def _fits(word: str, pattern: str) -> bool:
    return word == pattern.rstrip("/") or fnmatchcase(word, pattern)


def _unknown(path: Path) -> str:
    hints = {".doc": "; save it as .docx", ".rtf": "; save it as .docx", ".ppt": "; save it as PDF"}
    hint = hints.get(path.suffix.lower()[:4], "")
    return f"'{path.suffix or path.name}' is not a readable kind of document{hint}; readable kinds: {', '.join(KINDS)}"


def some(names: Sequence[str], between: str = ", ", most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more
