"""`embedrun init`: a recipe to start from."""

from __future__ import annotations

import json
import re
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from embedrun.errors import DataError
from embedrun_plugins.cli.arguments import write_new
from embedrun_plugins.models import publishers_prompts

if TYPE_CHECKING:
    from embedrun_plugins.stages.sources.columns import Columns

_STARTER = """\
# Fine-tune {model} on your own question-answer pairs.
# Run it:  embedrun {shell_file}      Only check it:  embedrun check {shell_file}
model:{model_keys}
source:
  type: pairs
  path: {data}           # a question and the passage that answers it in each row; json, jsonl, csv or parquet
{columns}
  holdout: 0.2            # share of the questions that training never sees, nor their passages
loss: multiple_negatives_ranking
trainer:
  type: sentence_transformers
  epochs: 3
  batch_size: 32
evaluator: information_retrieval
"""

_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_HINT = "  # columns: {anchor: question, positive: answer}   # where they are called something else"
_NUMBERING = frozenset({"", "id", "_id", "index", "unnamed: 0"})
"""Columns that hold no text."""
_PLAIN = re.compile(r"(?!(?i:true|false|null|yes|no|on|off|y|n)$)(\.{0,2}/)?[A-Za-z_][\w./-]*", re.ASCII)
"""Words that YAML reads as they stand, also within braces."""


def configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path("recipe.yaml"),
        metavar="FILE",
        help="recipe to write (./recipe.yaml)",
    )
    parser.add_argument("--data", metavar="FILE", default="pairs.jsonl", help="pairs to train on (json, jsonl, csv …)")
    parser.add_argument(
        "--model", metavar="ID", default=_MODEL, help=f"model to start from: a hub id or a folder ({_MODEL})"
    )


def run(arguments: Namespace) -> int:
    data = Path(arguments.data)
    text = _STARTER.format(
        model=" ".join(arguments.model.split()),
        model_keys=_model(arguments.model),
        data=_yaml(arguments.data),
        shell_file=shlex.quote(" ".join(str(arguments.file).split())),
        columns=_columns(data),
    )
    write_new(arguments.file, text)
    if not data.is_file():
        print(f"{data}: no such file yet; the recipe needs it")
    print(f"wrote {arguments.file}; run it with: embedrun {shlex.quote(str(arguments.file))}")
    return 0


def _model(name: str) -> str:
    """Return the model's key, with the prompts that its publisher documents where there are such."""
    family = publishers_prompts.documented(name)
    if family is None:
        return f" {_yaml(name)}"
    prompts = {"query": family.query, "document": family.document}
    shown = ", ".join(f"{role}: {json.dumps(text, ensure_ascii=False)}" for role, text in prompts.items() if text)
    return f"\n  id: {_yaml(name)}\n  # as its publisher says: {family.source}\n  prompts: {{{shown}}}"


def _yaml(text: str) -> str:
    """Write a string for YAML: as it is where that means the same, else in double quotes."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _columns(data: Path) -> str:
    """Return the line that names the columns: a comment where their names tell, or the file cannot be read yet."""
    from embedrun_plugins.stages.sources.columns import Columns
    from embedrun_plugins.stages.sources.tables import open_table

    try:
        present = open_table(data).columns if data.is_file() else ()
    except DataError:
        return _HINT  # what is wrong is said when the recipe is checked
    texts = [name for name in present if name.lower() not in _NUMBERING]
    guesses = [Columns(), *(Columns(positive=name) for name in texts), *(Columns(anchor=name) for name in texts)]
    guesses += [Columns(anchor=first, positive=second) for first, second in pairwise(texts[:2])]
    columns = next((seen for guess in guesses if (seen := _completed(guess, present))), None)
    if columns is None or _completed(Columns(), present):
        return _HINT
    anchor, positive = _yaml(str(columns.anchor)), _yaml(str(columns.positive))
    return f"  columns: {{anchor: {anchor}, positive: {positive}}}   # a guess from the file's columns; check it"


def _completed(declared: Columns, present: Sequence[str]) -> Columns | None:
    from embedrun_plugins.stages.sources.columns import complete

    try:
        return complete(declared, present, "")
    except DataError:
        return None
