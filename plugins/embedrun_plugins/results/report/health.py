"""What the data are like: counts, splits, leaks, lengths and warnings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from embedrun.finished import Finished
from embedrun.record import RunRecord
from embedrun_plugins.results.comparison import judged_set
from embedrun_plugins.results.phrases import NOTHING, title
from embedrun_plugins.results.report.audits import audits
from embedrun_plugins.results.report.markup import Content, Markup, element, folded, section, table

_SAMPLE = 1500
"""Texts whose lengths are counted, evenly spaced."""
_READ = 16 * 2**20
"""Bytes of a file that are looked at for them."""
_SPECIAL = 2
"""Tokens that most tokenizers add to each text."""
_MOST_WARNINGS = 30


def health(runs: Sequence[tuple[str, RunRecord]]) -> Markup:
    """Return each run's data, and the warnings of all stages."""
    content: list[Content] = []
    for name, run in runs:
        if len(runs) > 1:
            content.append(element("h3", title(name)))
        content += [list(_leaks(run)), list(audits(run)), _lengths(run, name), _counts(run, name), _warnings(run)]
    return section("data", "Data health", *content)


def _counts(run: RunRecord, name: str) -> Markup | None:
    rows = [
        [key.replace("_", " "), _plain(value), stage.slot]
        for stage in run.stages()
        for key, value in stage.notes.items()
        if not isinstance(value, (dict, list))
    ]
    shown = table(f"Counts of {name}", ["what", "value", "stage"], rows, words=True)
    return folded("Everything the stages counted", shown) if rows else None


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: NOTHING}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _leaks(run: RunRecord) -> Iterator[Markup]:
    """Say in words what each held-out split shares with training, and how far a perfect retriever could get.

    Of several stages that counted it the last one's counts hold; what a later filter may have changed is not told.
    """
    stages = [stage for stage in run.stages() if stage.kind in ("source", "generator", "filters")]
    last: dict[str, Mapping[str, Any]] = {}
    for stage in stages:
        counts = {
            key: value for key, value in stage.notes.items() if key.endswith("_leaks") and isinstance(value, dict)
        }
        if stage.kind == "filters" and not stage.error and not counts:
            last = {}
        last |= {key.removesuffix("_leaks"): value for key, value in counts.items()}
    yield from (element("p", _leak(split, value, bool(run.recipe.get("trainer")))) for split, value in last.items())


def _leak(split: str, leaks: Mapping[str, Any], trains: bool) -> str:
    passages, queries = leaks.get("passages_trained_on", 0), leaks.get("queries_trained_on", 0)
    sentence = f"The {split} split has {leaks.get('queries', 0):,} queries on {leaks.get('passages', 0):,} passages; "
    where = "trained on" if trains else "in the train split"
    if passages or queries:
        sentence += f"{passages:,} of these passages and {queries:,} of these queries are also {where}."
    else:
        sentence += f"none of them is {where}."
    best, unmerged = leaks.get("best_ndcg@10"), leaks.get("best_ndcg@10_unmerged")
    if best is not None:
        sentence += f" A perfect retriever could reach nDCG@10 {best:.3f} in it"
        sentence += f", and {unmerged:.3f} if equal passages were not counted as one." if unmerged is not None else "."
    return sentence


def _lengths(run: RunRecord, name: str) -> Markup | None:
    data = judged_set(run)
    if data is None:
        return None
    counted = {"queries": _words(data / "queries.jsonl"), "documents": _words(data / "corpus.jsonl")}
    rows = [_spread(sort, words) for sort, words in counted.items() if words]
    if not rows:
        return None
    shown = table(f"Lengths in words of {name}", ["", "looked at", "median", "95% have up to", "longest"], rows)
    return Markup(shown + _cut(run, counted["documents"]))


def _words(file: Path) -> list[int]:
    """Return the lengths in words of a sample of the texts in a file, sorted; of a large file, of its first part."""
    if not file.is_file():
        return []
    with file.open("rb") as stream:
        lines = stream.readlines(_READ)
    rows = json.loads(b"[%b]" % b",".join(lines[:: math.ceil(len(lines) / _SAMPLE) or 1]))
    return sorted(len(f"{row.get('title') or ''} {row['text']}".split()) for row in rows)


def _spread(sort: str, words: Sequence[int]) -> list[str]:
    indices = (len(words) // 2, min(len(words) - 1, int(len(words) * 0.95)), -1)
    return [sort, f"{len(words):,}", *(f"{words[index]:,}" for index in indices)]


def _cut(run: RunRecord, words: Sequence[int]) -> Markup:
    """Say how many passages are certainly cut: a word is a token at least."""
    limit = _limit(run)
    if limit is None or not words:
        return Markup()
    cut = sum(count > limit - _SPECIAL for count in words)
    sentence = "none of the documents looked at has more words than that"
    if cut:
        sentence = f"at least {cut:,} of {len(words):,} documents looked at ({cut / len(words):.1%}) are cut"
    return element("p", f"The model reads {limit:,} tokens of a text; {sentence}.")


def _limit(run: RunRecord) -> int | None:
    """Return the tokens that the model reads of a text, where the recipe or its files say so."""
    limit: int | None = (run.recipe.get("model") or {}).get("max_length")
    model = run.artifact(run.last_model)
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        file = model / name if model else None
        if limit is None and file and file.is_file():
            length = json.loads(file.read_text("utf-8")).get(key)
            limit = length if isinstance(length, int) and length < 10**9 else None
    return limit


def _is_outdated(warning: str, later: Sequence[Finished]) -> bool:
    """Say whether a warning is of a leak that a later stage counted anew; what still leaks, that stage tells."""
    leak = re.match(r"the (\w+) split leaks: ", warning)
    return leak is not None and any(f"{leak[1]}_leaks" in stage.notes for stage in later)


def _warnings(run: RunRecord) -> Markup | None:
    stages = list(run.stages())
    first = {
        warning: stage.slot
        for number, stage in reversed(list(enumerate(stages)))
        for warning in reversed(stage.warnings)
        if not _is_outdated(warning, stages[number + 1 :])
    }
    pairs = [(slot, warning) for warning, slot in reversed(first.items())]
    if not pairs:
        return None
    items = [element("li", element("b", slot), f": {warning}") for slot, warning in pairs[:_MOST_WARNINGS]]
    if len(pairs) > _MOST_WARNINGS:
        items.append(element("li", f"and {len(pairs) - _MOST_WARNINGS} more, in run.json"))
    return element("div", element("h3", "Warnings"), element("ul", items), class_="warnings")
