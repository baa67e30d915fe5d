"""Reads all documents of a recipe into one corpus, and reports what was mended and left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from embedrun.artifacts import RetrievalSet
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.models.tokenizer import lengths
from embedrun_plugins.stages.sources.corpus import Corpus
from embedrun_plugins.stages.sources.file_patterns import File, Listing, some
from embedrun_plugins.stages.sources.holdout import Holdout
from embedrun_plugins.stages.sources.readers import DocumentContent, ReadingOptions
from embedrun_plugins.stages.sources.readers.open_document import read
from embedrun_plugins.stages.sources.splitter import Splitter, manuscript

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SHOWN = 10
"""Files that a message names."""
_PAGES = 5
"""Pages of a file that a message names."""
_MENDED = (
    *("boilerplate_lines_removed", "hyphens_joined", "unprintable_characters_removed", "invalid_bytes_replaced"),
    *("files_not_utf8", "pages_without_text"),
)


@dataclass
class DocumentReader:
    """Reads files one after the other into a corpus, and counts what was mended or left out."""

    ctx: Context
    tokenizer: Tokenizer
    splitter: Splitter
    manner: ReadingOptions
    corpus: Corpus
    room: int | None
    """Tokens of a document that the model reads."""
    shortest: int
    """Letters and digits of a passage at least."""
    skip_bad: bool
    """Whether files that cannot be read are left out; else they stop the run."""
    counts: Counter[str] = field(default_factory=Counter)
    bad: dict[str, str] = field(default_factory=dict)
    """Why a file cannot be read, by its name."""
    legacy: list[str] = field(default_factory=list)
    """Names of files read as Windows-1252."""
    empty: list[str] = field(default_factory=list)
    """Names of files, each with its pages without text."""
    undecoded: list[str] = field(default_factory=list)
    """Names of files, each with its pages whose fonts do not say which letters they show."""
    run_together: dict[str, list[str]] = field(default_factory=dict)
    """Words that seem to be two, by the file's name."""

    def read(self, listing: Listing, holdout: Holdout | None) -> RetrievalSet:
        """Read the files and write the set below `ctx.out`.

        Raises DataError, naming every one, where files cannot be read, or where nothing is left of them.
        """
        for number, file in enumerate(listing.files):
            try:
                self._take(file, number, len(listing.files))
            except DataError as error:
                self.bad[file.name] = str(error)
        self.ctx.progress("reading documents", len(listing.files), len(listing.files))
        self._stop_or_skip(listing.files)
        self.corpus.settle(self.ctx, holdout)
        self._report(listing)
        documents = self.corpus.documents
        return RetrievalSet.write(self.ctx.out, documents=documents, queries=(), qrels={})

    def _take(self, file: File, number: int, total: int) -> None:
        def progress(share: float) -> None:
            self.ctx.progress("reading documents", number + share, total)

        progress(0)
        reading = read(file.path, self.manner, progress)
        script = manuscript(reading)
        passages, short = self.splitter.passages(script, markdown=reading.markdown, shortest=self.shortest)
        if not passages:
            none = f"no passage of min_characters ({self.shortest}) or more letters and digits"
            raise DataError(f"holds {none if script.text else 'no text'}")
        self.corpus.add(file, reading, passages)
        self.counts += reading.counts
        self.counts["unprintable_characters_removed"] += script.unprintable
        self.counts["short_passages_dropped"] += short
        self._remember(file, reading)

    def _remember(self, file: File, reading: DocumentContent) -> None:
        """Keep what the user will be warned of."""
        if reading.counts["files_not_utf8"]:
            self.legacy.append(file.name)
        if empty := reading.empty_pages:
            self.counts["pages_without_text"] += len(empty)
            self.empty.append(f"{file.name}: {_pages(empty)}")
        if reading.undecoded_pages:
            self.undecoded.append(f"{file.name}: {_pages(reading.undecoded_pages)}")
        if reading.run_together:
            self.run_together[file.name] = reading.run_together

    def _stop_or_skip(self, files: Sequence[File]) -> None:
        self.ctx.note("files_read", len(files) - len(self.bad))
        self.ctx.note("files_that_cannot_be_read", len(self.bad))
        if not self.bad:
            return
        if not self.skip_bad or len(self.bad) == len(files):
            lines = [f"{file.path}: {self.bad[file.name]}" for file in files if file.name in self.bad]
            advice = [f"{len(lines)} of {len(files)} files cannot be read; repair them or leave them out"]
            advice[0] += ", or set on_error: skip" if len(lines) < len(files) else ""
            raise DataError("\n".join(lines + (advice if len(files) > 1 else [])))
        named = [f"{name} {reason}" for name, reason in self.bad.items()]
        self.ctx.warn(f"{len(named)} of {len(files)} files cannot be read and are skipped: {_listed(named, '; ')}")

    def _report(self, listing: Listing) -> None:
        corpus, ctx = self.corpus, self.ctx
        ctx.note("documents", len(corpus.documents))
        self._measure()
        ctx.note("short_passages_dropped", self.counts["short_passages_dropped"])
        ctx.note("duplicate_passages_merged", corpus.merged)
        for name in _MENDED:
            ctx.note(name, self.counts[name])
        for split, count in sorted(Counter(d.metadata.get("split") for d in corpus.documents).items(), key=str):
            if split:
                ctx.note(f"{split}_documents", count)
        ctx.note("files_of_other_kinds_skipped", len(listing.skipped))
        if listing.skipped:
            ctx.note("files_of_other_kinds_first", listing.skipped[:_SHOWN])
        self._warn(listing)

    def _measure(self) -> None:
        """Count tokens, and those that the model will not read."""
        documents, ctx = self.corpus.documents, self.ctx
        texts = (document.full_text for document in ctx.track(documents, "counting tokens"))
        counts = list(lengths(self.tokenizer, texts))
        ctx.note("tokens", sum(counts))
        ctx.note("longest_passage", max(counts))
        if self.room is None:
            return
        lost = [count - self.room for count in counts if count > self.room]
        ctx.note("share_of_passages_cut", len(lost) / len(counts))
        ctx.note("share_of_tokens_lost", sum(lost) / sum(counts))
        if lost:
            ctx.warn(
                f"{len(lost):,} of {len(counts):,} passages ({len(lost) / len(counts):.1%}) are longer than the "
                f"{self.room} tokens of a document that the model reads: {sum(lost) / sum(counts):.1%} of all tokens "
                f"are not read; set source.size to {self.room}, or raise model.max_length if the model reads more"
            )

    def _warn(self, listing: Listing) -> None:
        ctx = self.ctx
        if listing.left_out:
            names = _listed(listing.left_out)
            ctx.warn(f"{len(listing.left_out)} files match no pattern of 'splits' and are left out: {names}")
        if self.empty:
            count = self.counts["pages_without_text"]
            ctx.warn(f"pages without text, blank or scanned: {count} ({_listed(self.empty, '; ')})")
        if self.undecoded:
            ctx.warn(
                f"pages whose fonts do not say which letters they show, so that their passages are no text: "
                f"{_listed(self.undecoded, '; ')}; recognise their text anew, for example with ocrmypdf --force-ocr"
            )
        if self.legacy:
            names = _listed(self.legacy)
            ctx.warn(f"not UTF-8, read as Windows-1252; if that is wrong, name the encoding: {names}")
        if self.run_together:
            reader = self.manner.pdf_reader
            other = "pypdfium2" if reader == "pypdf" else "pypdf"
            examples = ", ".join(next(iter(self.run_together.values()))[:3])
            names = _listed(list(self.run_together))
            ctx.warn(
                f"{reader} seems to lose spaces between words (such as {examples}) of {names}; "
                f"set pdf_reader: {other} and compare"
            )


def _pages(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:_PAGES])) + (", …" if len(numbers) > _PAGES else "")


_listed = partial(some, most=_SHOWN)
