"""Passages of documents: PDF, Word, HTML, Markdown and plain text files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from embedrun.artifacts import SPLITS, RetrievalSet, Split
from embedrun.context import Context, Resolver, Unkeyed
from embedrun.errors import DataError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Column, Source
from embedrun_plugins.stages.rehearsal.stand_ins import changed
from embedrun_plugins.stages.sources.file_patterns import Listing, Location, listed
from embedrun_plugins.stages.sources.holdout import HoldoutField, held_out_splits
from embedrun_plugins.stages.sources.readers import MODULES, PdfReader, ReadingOptions, beginnings, kind_of
from embedrun_plugins.stages.sources.readers.text_encoding import is_known
from embedrun_plugins.stages.sources.rehearsal_rows import held_out_of


class Documents(Source):
    """Documents, read and split into passages: PDF, Word (.docx), HTML, Markdown and plain text.

    The set has no questions yet; a generator adds them. Folders are read in the order of their files' names, hidden
    files left out, and files of other kinds skipped and counted. Where files belong to a split, its questions are asked
    about, and search, those files only; a passage that stands in files of two splits, equal or nearly so, stays in the
    test's. Equal passages are one document. Each passage's metadata says where it is from: `source` (the file's name),
    `pages` of a PDF, `title` of the document and `section` (the heading, or bookmark of a PDF, that it stands under).
    """

    version: ClassVar[int] = 2

    type: Literal["documents"] = "documents"
    path: Annotated[Location | tuple[Location, ...] | dict[Split, Location | tuple[Location, ...]], Unkeyed] = Field()
    """A file, a folder, a pattern (filings/*.pdf, handbook/**/*.md), a list of these, or these by split:
    {train: reports/2020, test: [reports/2021, extra.docx]}."""
    splits: Annotated[dict[Split, tuple[str, ...]] | None, Unkeyed] = Field(None, min_length=1)
    """Which of the files belong to which split: {train: [lyft], test: ["uber*"]}.

    Each is the name of a file, with or without its ending, or of a folder, or a pattern; what nothing is called is
    taken as the beginning of files' names. Files that none matches are left out. By default all belong together."""
    files: dict[str, Split | None] | None = None
    """Filled in when a run begins: the files found, and the split of each."""
    pdf_reader: PdfReader = "pypdf"
    """What reads PDFs. pypdfium2 is many times as fast, and keeps words apart where pypdf may not."""
    encoding: str | None = None
    """Encoding of text, Markdown and HTML files; by default what a byte order mark or an HTML page says, else UTF-8.
    What is invalid in it is replaced and counted."""
    size: int | None = Field(1024, ge=1)
    """Most tokens of a passage, special tokens not counted, by the model's own tokenizer. Passages end with sentences,
    paragraphs or sections as far as that can be. null makes each document one passage."""
    overlap: int = Field(20, ge=0)
    """Most tokens that a passage repeats of the one before; whole words or sentences only, so it is often none."""
    min_characters: int = Field(20, ge=1)
    """Passages with fewer letters and digits are dropped."""
    boilerplate: bool = True
    """Remove what is repeated at the top or bottom of most pages of a PDF: running heads and feet, page numbers."""
    titles: bool = False
    """Put the document's title and the section in front of each passage, to be encoded with it."""
    holdout: HoldoutField = None
    """Passages of the train split whose questions are held out: a share (0.1) or a number (50) for the test split, or a
    mapping with `test`, `dev` and `by`. Nearly equal passages stay together, unless `by` is row. Questions held out
    search all passages. By default none."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do about files that cannot be read: stop, naming all of them, or go on without them, with a warning."""

    @field_validator("path", mode="before")
    @classmethod
    def _must_name_files(cls, path: Any) -> Any:
        by_split = path if isinstance(path, Mapping) else {"train": path}
        if unknown := [key for key in by_split if key not in SPLITS]:
            raise ValueError(f"there is no split '{unknown[0]}'; allowed: {', '.join(SPLITS)}")
        for value in by_split.values():
            paths = value if isinstance(value, (list, tuple)) else [value]
            if not paths or not all(isinstance(path, (str, Path)) and str(path) for path in paths):
                raise ValueError("must be a file, a folder or a pattern, a list of these, or these by split")
        if not by_split:
            raise ValueError("names no files; give a file, a folder or a pattern")
        return path

    @field_validator("splits", mode="before")
    @classmethod
    def _one_is_a_list(cls, splits: Any) -> Any:
        if not isinstance(splits, Mapping):
            return splits
        return {split: [words] if isinstance(words, str) else words for split, words in splits.items()}

    @field_validator("encoding")
    @classmethod
    def _must_be_known(cls, encoding: str | None) -> str | None:
        if encoding is not None and not is_known(encoding):
            raise ValueError(f"Python knows no encoding '{encoding}'; examples: utf-8, windows-1252, shift_jis")
        return encoding

    @model_validator(mode="after")
    def _splits_once(self) -> Self:
        if isinstance(self.path, dict) and self.splits:
            raise ValueError("'path' gives files by split already; leave 'splits' out")
        return self

    @cached_property
    def _listing(self) -> Listing:
        """The files that `path` means now; once a run has begun, only those that it meant then."""
        listing = listed(list(self._paths()), self.splits)
        if self.files is not None and not listing.missing:
            present = {file.name: file for file in listing.files}
            gone = sorted(set(self.files) - set(present))
            listing.faults += [f"files: {name} is no longer among the files of 'path'" for name in gone]
            listing.files = [file for name, file in present.items() if name in self.files]
        return listing

    def _paths(self) -> Iterator[tuple[Split | None, Path]]:
        by_split: Mapping[Any, Any] = self.path if isinstance(self.path, dict) else {None: self.path}
        for split in sorted(by_split, key=lambda name: SPLITS.index(name) if name else 0):
            paths = by_split[split]
            yield from ((split, path) for path in (paths if isinstance(paths, tuple) else (paths,)))

    def inputs(self) -> Iterable[Path]:
        return [*(file.path for file in self._listing.files), *self._listing.missing]

    def uses_model(self) -> bool:
        return True

    def needs(self) -> Mapping[str, str]:
        kinds = {kind for file in self._listing.files if (kind := kind_of(file.path))}
        modules = [module for kind in sorted(kinds) for module in MODULES.get(kind, ())]
        modules += [self.pdf_reader] if "pdf" in kinds else []
        modules += ["semantic_text_splitter"] if self.size is not None else []
        return dict.fromkeys(modules, "documents")

    def resolve(self, resolver: Resolver) -> Self:  # noqa: ARG002  # the contract gives it
        """Fix which files are read, since a passage's metadata names its file."""
        return self.model_copy(update={"files": {file.name: file.split for file in self._listing.files}})

    def faults(self) -> Iterable[str]:
        if self.size is not None and self.overlap >= self.size:
            yield f"overlap: {self.overlap} tokens must be fewer than 'size', which is {self.size}"
        if self.holdout:
            yield from self.holdout.faults(self._file_splits())
        yield from self._listing.faults

    def _file_splits(self) -> frozenset[Split]:
        named = self.splits or (self.path if isinstance(self.path, dict) else {})
        return frozenset(named) or frozenset({"train"})

    def splits_given(self) -> frozenset[Split]:
        return self._file_splits() | held_out_splits(self.holdout)

    def columns_given(self) -> frozenset[Column]:
        return frozenset()

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:  # noqa: ARG002  # the contract gives it
        files = self._listing.files
        size = sum(file.path.stat().st_size for file in files)
        return {"files": len(files), "megabytes": round(size / 1e6, 1)}

    def rehearsal(self, rehearsal: Rehearsal) -> Documents:
        for path in self._listing.missing:
            rehearsal.note(f"{path} is not here: made-up passages are used instead", unsure=True)
        by_split = bool(self.splits) or isinstance(self.path, dict)
        folders = {split: rehearsal.folder / split for split in SPLITS if split in self._file_splits()}
        for split, folder in folders.items():
            folder.mkdir()
            files = [file for file in self._listing.files if not by_split or file.split == split]
            if files:
                count = beginnings.copy(files, folder, split, self.size, self.pdf_reader)
                rehearsal.note(f"the beginning of {count} of {len(files)} files ({split})")
            else:
                beginnings.make_up(folder, split, self.size)
        holdout = held_out_of(beginnings.PASSAGES["train"], self.holdout)
        return changed(self, path=folders if by_split else folders["train"], splits=None, files=None, holdout=holdout)

    def run(self, ctx: Context) -> RetrievalSet:
        from embedrun_plugins.models.tokenizer import document_room, tokenizer_of
        from embedrun_plugins.stages.sources.corpus import Corpus
        from embedrun_plugins.stages.sources.documents_run import DocumentReader
        from embedrun_plugins.stages.sources.splitter import Splitter

        if ctx.model is None:
            raise DataError("the documents source counts tokens by the model's tokenizer, but was given no model")
        listing = self._listing
        wrong = [*listing.faults, *(f"{path}: no such file" for path in listing.missing)]
        if wrong:
            raise DataError("\n".join(wrong))
        tokenizer = tokenizer_of(ctx.model)
        reader = DocumentReader(
            ctx,
            tokenizer,
            Splitter(tokenizer, self.size, self.overlap),
            ReadingOptions(self.pdf_reader, self.encoding, self.boilerplate),
            Corpus(self.titles),
            room=document_room(ctx.model, tokenizer),
            shortest=self.min_characters,
            skip_bad=self.on_error == "skip",
        )
        return reader.read(listing, self.holdout)
