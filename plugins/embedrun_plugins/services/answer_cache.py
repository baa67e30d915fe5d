"""What outside services answered, kept by the hash of the request, so that nothing is asked or paid for twice."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from embedrun import Context
from embedrun.hashing import value_digest

BUSY_SECONDS = 60.0
"""How long one waits for another process to write."""


class Answers:
    """A file of answers that any number of threads, runs and processes may share; each is safe once `keep` returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "answers.sqlite"
        # sqlite does not wait its turn to change the journal's mode, as it does for everything else.
        with FileLock(folder / "answers.lock"), self._open() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, answer TEXT NOT NULL)")

    @classmethod
    def of(cls, ctx: Context) -> Answers:
        """Return the answers that all runs of the store share."""
        return cls(ctx.answers or ctx.state / "answers")

    def get(self, request: Mapping[str, Any]) -> Any | None:
        """Return the answer to an equal request, or None. A request is JSON: service, model, texts and parameters."""
        return self.get_all([request])[0]

    def get_all(self, requests: Iterable[Mapping[str, Any]]) -> list[Any | None]:
        """Return the answers to many requests in their order, None where there is none."""
        wanted = "SELECT answer FROM answers WHERE request = ?"
        with self._open() as database:
            rows = [database.execute(wanted, (value_digest(request),)).fetchone() for request in requests]
        return [None if row is None else json.loads(row[0]) for row in rows]

    def keep(self, request: Mapping[str, Any], answer: Any) -> None:
        """Keep an answer (JSON, not None); an earlier one to an equal request is replaced."""
        self.keep_all([(request, answer)])

    def keep_all(self, answered: Iterable[tuple[Mapping[str, Any], Any]]) -> None:
        """Keep many answers, all or none."""
        rows = [(value_digest(request), json.dumps(answer, ensure_ascii=False)) for request, answer in answered]
        with self._open() as database:
            database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)

    def _open(self) -> _Closing:
        return _Closing(self.file)


class _Closing:
    """A connection that commits and closes, since sqlite3's own context manager only commits."""

    def __init__(self, file: Path) -> None:
        self.database = sqlite3.connect(file, timeout=BUSY_SECONDS)

    def __enter__(self) -> sqlite3.Connection:
        return self.database

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.database.commit()
        self.database.close()
