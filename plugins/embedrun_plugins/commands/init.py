"""`embedrun init`: a recipe to start from."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from embedrun import Command
from embedrun_plugins.commands.writing import write_new

_STARTER = """\
# Fine-tune {model} on your own question-answer pairs.
# Run it:  embedrun {file}      Only check it:  embedrun check {file}
model: {model}
source:
  type: pairs
  path: {data}           # a question and the passage that answers it in each row; json, jsonl, csv or parquet
  # columns: {{anchor: question, positive: answer}}   # where they are called something else
  holdout: 0.2            # share of the questions that training never sees, nor their passages
loss: multiple_negatives_ranking
trainer:
  type: sentence_transformers
  epochs: 3
  batch_size: 32
evaluator: information_retrieval
"""


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, default=Path("recipe.yaml"), metavar="FILE")
    parser.add_argument("--data", metavar="FILE", default="pairs.jsonl", help="pairs to train on (json, jsonl, csv …)")
    parser.add_argument("--model", metavar="ID", default="sentence-transformers/all-MiniLM-L6-v2")


def run(arguments: Namespace) -> int:
    write_new(arguments.file, _STARTER.format(model=arguments.model, data=arguments.data, file=arguments.file))
    print(f"wrote {arguments.file}; run it with: embedrun {arguments.file}")
    return 0


INIT = Command("init", "Write a recipe to start from.", configure, run)
