"""Rehearsals of the sources whose sets have ids of their own, `beir` and `llama_index`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun.artifacts import SPLITS, Split
from embedrun.errors import DataError
from embedrun_plugins.rehearsal.changing import changed
from embedrun_plugins.rehearsal.rows import few
from embedrun_plugins.rehearsal.telling import tell
from embedrun_plugins.rehearsal.texts import Text, texts
from embedrun_plugins.sources.beir_folder import qrels_lines
from embedrun_plugins.sources.tables import json_value, open_table

if TYPE_CHECKING:
    from embedrun_plugins.sources.beir import Beir
    from embedrun_plugins.sources.llama_index import LlamaIndex

QUERIES = 12
"""Of a split; twice as many where some are held out of them."""
_OTHERS = 24
"""Documents beside those that answer."""
_LOOKED_AT = 50_000
"""Documents of a corpus, from its beginning."""
Rows = dict[str, Mapping[str, Any]]
Judged = list[tuple[str, str, float]]


def few_beir(stage: Beir, folder: Path) -> Beir:
    """Return the source on a few queries of each split with their documents, made up where the folder is not here."""
    count = 2 * QUERIES if stage.holdout else QUERIES
    if stage.path.is_dir():
        _cut_beir(stage, folder, count)
        tell(folder, f"{count} queries of each split of {stage.path.name}, with their documents")
    else:
        names = stage.splits or ({"train": "train"} if stage.holdout else {split: split for split in SPLITS})
        _make_beir({split: names[split] for split in SPLITS if split in names}, folder, count)
        tell(folder, f"{stage.path} is not here: made-up passages and questions stand in", unsure=True)
    return changed(stage, path=folder, holdout=few(stage.holdout, count))


def _cut_beir(stage: Beir, folder: Path, count: int) -> None:
    table = open_table(stage.texts("corpus"), "jsonl")
    corpus = {str(row.values.get("_id")): row.values for row in islice(table.read(()), _LOOKED_AT)}
    chosen: dict[Split, Judged] = {split: _some(file, corpus, count) for split, file in stage.qrels().items()}
    asked = {query for judged in chosen.values() for query, _, _ in judged}
    needed = {document for judged in chosen.values() for _, document, _ in judged}
    rejected = [line[1:] for line in qrels_lines(file)] if (file := stage.negatives()) else []
    rejected = [line for line in rejected if line[0] in asked and line[1] in corpus]
    needed |= {document for _, document, _ in rejected} | set(islice(corpus, _OTHERS))
    _write_rows(folder / "corpus.jsonl", (row for id_, row in corpus.items() if id_ in needed))
    if stage.qrels() or stage.texts("queries").is_file():
        rows = open_table(stage.texts("queries"), "jsonl").read(())
        _write_rows(folder / "queries.jsonl", (r.values for r in rows if str(r.values.get("_id")) in asked))
    for split, file in stage.qrels().items():
        _write_judged(folder / "qrels" / file.name, chosen[split])
    if rejected:
        _write_judged(folder / "negatives" / "train.tsv", rejected)


def _some(file: Path, corpus: Rows, count: int) -> Judged:
    """Choose the judgements of the first queries that share no document, so that some can be held out."""
    taken: dict[str, str] = {}
    found: dict[str, Judged] = {}
    for _, query, document, score in qrels_lines(file):
        if document in corpus and taken.setdefault(document, query) == query:
            if query not in found and len(found) == count:
                break
            found.setdefault(query, []).append((query, document, score))
    if not found:
        raise DataError(f"{file}: judges none of the first {len(corpus):,} documents of the corpus")
    return [judged for own in found.values() for judged in own]


def _make_beir(names: Mapping[Split, str], folder: Path, count: int) -> None:
    made = texts(count * len(names) + _OTHERS)
    _write_rows(folder / "corpus.jsonl", ({"_id": f"d{n}", "title": "", "text": t.passage} for n, t in enumerate(made)))
    asked = made[: count * len(names)]
    _write_rows(folder / "queries.jsonl", ({"_id": f"q{n}", "text": text.question} for n, text in enumerate(asked)))
    for place, (split, name) in enumerate(names.items()):
        own = range(place * count, (place + 1) * count)
        _write_judged(folder / "qrels" / f"{name}.tsv", [(f"q{n}", f"d{n}", 1.0) for n in own])
        if split == "train":
            others = [(f"q{n}", f"d{len(made) - 1 - n % _OTHERS}", 0.5) for n in own]
            _write_judged(folder / "negatives" / "train.tsv", others)


def few_llama_index(stage: LlamaIndex, folder: Path) -> LlamaIndex:
    """Return the source on a few questions of each split with their chunks, made up where the files are not here."""
    count = 2 * QUERIES if stage.holdout else QUERIES
    for place, split in enumerate(split for split in SPLITS if split in stage.splits):
        files = stage.files(split)
        if all(file.is_file() for file in files):
            held = _some_asked(files, count)
            tell(folder, f"{count} questions of {files[0].name}, with their chunks")
        else:
            held = _made_up_asked(texts(count + _OTHERS, place * (count + _OTHERS)), count, split)
            tell(folder, f"{files[-1]} is not here: made-up chunks and questions stand in", unsure=True)
        (folder / f"{split}.json").write_text(json.dumps(held, ensure_ascii=False), "utf-8")
    return changed(
        stage, path=folder, splits={split: split for split in stage.splits}, holdout=few(stage.holdout, count)
    )


def _some_asked(files: list[Path], count: int) -> dict[str, Any]:
    """Choose the first questions that share no chunk; what is laid out otherwise is left as it is, to be refused."""
    values = [json_value(file) for file in files]
    names = ("corpus", "queries", "relevant_docs")
    held = dict(zip(names, values, strict=True)) if len(values) > 1 else values[0]
    if not isinstance(held, dict) or not all(isinstance(held.get(name), dict) for name in names):
        return {"corpus": {}, **held} if isinstance(held, dict) else {}
    relevant: dict[str, Any] = {}
    taken: set[str] = set()
    for query, chunks in held["relevant_docs"].items():
        if len(relevant) < count and not taken.intersection(chunks):
            relevant[query] = chunks
            taken.update(chunks)
    kept = taken | set(islice(held["corpus"], _OTHERS))
    queries = {id_: text for id_, text in held["queries"].items() if id_ in relevant}
    corpus = {id_: text for id_, text in held["corpus"].items() if id_ in kept}
    return {"corpus": corpus, "queries": queries, "relevant_docs": relevant}


def _made_up_asked(made: list[Text], count: int, split: Split) -> dict[str, Any]:
    return {
        "corpus": {f"{split}-{n}": text.passage for n, text in enumerate(made)},
        "queries": {f"{split}-q{n}": text.question for n, text in enumerate(made[:count])},
        "relevant_docs": {f"{split}-q{n}": [f"{split}-{n}"] for n in range(count)},
    }


def _write_rows(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)


def _write_judged(file: Path, judged: Judged) -> None:
    file.parent.mkdir(exist_ok=True)
    lines = (f"{query}\t{document}\t{score!r}\n" for query, document, score in judged)
    file.write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), "utf-8")
