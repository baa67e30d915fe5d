"""The model card that is pushed with a model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from embedrun.record import RunRecord
from embedrun_plugins.models.model_files import ModelFiles
from embedrun_plugins.results.comparison import Contest, of_run, parted, spoken
from embedrun_plugins.results.phrases import figure, interval, signed, verdict

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_TAGS = ["sentence-transformers", "sentence-similarity", "feature-extraction", "embedrun"]


@dataclass(frozen=True)
class Card:
    """What a card is written from: the pushed folder, and the run that made it if it is at hand."""

    repo_id: str
    folder: Path
    run: RunRecord | None
    license: str | None
    languages: tuple[str, ...]

    def text(self) -> str:
        """Return README.md: metadata that the hub reads, then what people read."""
        parts = [f"# {self.repo_id.split('/')[1]}", self._about(), *self._scores(), self._usage(), *self._recipe()]
        return f"---\n{self._metadata().to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"

    def _contests(self) -> list[Contest]:
        return of_run(self.run) if self.run else []

    def _base(self) -> str | None:
        return str(self.run.recipe["model"]["id"]) if self.run else None

    def _metadata(self) -> ModelCardData:
        base = self._base()
        results = list(self._results())
        trained = bool(self.run and self.run.artifact("trainer"))
        return ModelCardData(
            language=list(self.languages) or None,
            license=self.license,
            library_name="sentence-transformers",
            pipeline_tag="sentence-similarity",
            tags=_TAGS,
            base_model=base if base and trained and _HUB_ID.fullmatch(base) and not Path(base).exists() else None,
            datasets=self._dataset(),
            model_name=self.repo_id.split("/")[1] if results else None,
            eval_results=results or None,
        )

    def _dataset(self) -> str | None:
        source = self.run.recipe["source"] if self.run else {}
        return str(source["dataset"]) if source.get("type") == "hub" else None

    def _results(self) -> Iterator[EvalResult]:
        """Yield every headline of the last model, as the hub's model-index holds it."""
        for contest in self._contests():
            last = contest.last
            for metric in contest.shown():
                size, name = parted(metric)
                of = f"{self.run.name} ({contest.split or 'test'} split)" if self.run else "test"
                yield EvalResult(
                    task_type="information-retrieval" if contest.split else "sentence-similarity",
                    dataset_type=self._dataset() or "custom",
                    dataset_name=f"{of}, {size} dimensions" if size else of,
                    dataset_config=f"dim_{size}" if size else None,  # else the two would be taken for one
                    dataset_split=contest.split,
                    metric_type=name,
                    metric_name=spoken(metric),
                    metric_value=round(last.metrics[metric], 6),
                )

    def _about(self) -> str:
        if self.run is None:
            return "A sentence-transformers model, made with embedrun."
        lock = self.run.recipe
        loss = lock.get("loss") or {}
        inner = (loss.get("inner") or {}).get("type")
        by = f" with the loss `{loss['type']}`{f' over `{inner}`' if inner else ''}" if loss else ""
        how = "fine-tuned from" if loss else "a copy of"
        description = f"\n\n{lock['description']}" if lock.get("description") else ""
        return (
            f"A [sentence-transformers](https://www.sbert.net) model, {how} `{self._base()}`{by}. "
            f"Made with embedrun by the recipe `{self.run.name}` below.{description}"
        )

    def _scores(self) -> Iterator[str]:
        contests = self._contests()
        if contests:
            yield "## Scores"
        for contest in contests:
            if contest.challengers or contest.judged_rivals():
                yield "\n".join(f"- {sentence}" for sentence in _sentences(contest))
            yield _table(contest)

    def _usage(self) -> str:
        sizes = [size for contest in self._contests() for size, _ in contest.sizes() if size]
        cut = self._cut(min(sizes)) if sizes else ""
        code = (
            "from sentence_transformers import SentenceTransformer\n\n"
            f'model = SentenceTransformer("{self.repo_id}")\n{cut}'
            'queries = model.encode_query(["How long does a refund take?"])\n'
            'documents = model.encode_document(["Refunds take three days.", "We are closed on Sundays."])\n'
            "print(model.similarity(queries, documents))"
        )
        return f"## Use\n\n```python\n{code}\n```\n\n{self._prompts()}"

    def _cut(self, size: int) -> str:
        return f'# fewer dimensions, less storage: SentenceTransformer("{self.repo_id}", truncate_dim={size})\n'

    def _prompts(self) -> str:
        prompts = ModelFiles.read(self.folder).prompts
        listed = [f"- before each {role}: {_code(prompt)}" for role, prompt in prompts.items() if prompt]
        if not listed:
            return "Texts are encoded as they are, without prompts."
        return "The model was trained with prompts, which `encode_query` and `encode_document` add:\n\n" + "\n".join(
            listed
        )

    def _recipe(self) -> Iterator[str]:
        file = self.run.folder / "recipe.yaml" if self.run else None
        if file and file.is_file():
            yield f"## Recipe\n\n{_fenced(file.read_text('utf-8').strip(), 'yaml')}"
            yield "The recipe and the training's logs are in the folder `embedrun`."


def _sentences(contest: Contest) -> Iterator[str]:
    for size, metric in contest.sizes() if contest.challengers else ():
        yield verdict(contest, size, metric, contest.last)[1]
    for rival in contest.judged_rivals():
        yield verdict(contest, None, contest.headline, contest.last, rival)[1]


def _table(contest: Contest) -> str:
    """Return every headline, base against the others, as a Markdown table."""
    shown = (*contest.contenders, *contest.rivals)
    names = [contender.name for contender in shown]
    compared = ["difference", "95% interval", "verdict"] if contest.challengers else []
    rows = [[contest.name, *names, *compared], ["---", *("---:" for _ in (*names, *compared))]]
    for metric in contest.shown():
        size, _ = parted(metric)
        row = contest.row(metric, contest.last) or {}
        comparison = [signed(row.get("difference"), 4), interval(row), str(row.get("verdict") or "")]
        values = [figure(contender.metrics.get(metric), 4) for contender in shown]
        rows.append([f"{spoken(metric)}{f' at {size}' if size else ''}", *values, *(comparison if compared else [])])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _fenced(text: str, language: str = "") -> str:
    """Return a code block whose fence is longer than any within."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _code(text: str) -> str:
    """Return code within a line; a JSON string keeps its outer spaces visible."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {json.dumps(text, ensure_ascii=False)} {fence}"
