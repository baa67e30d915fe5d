"""What outside services answered, kept by the hash of the request, so that nothing is asked or paid for twice."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedrun import Context
from embedrun.hashing import value_digest

_BUSY_SECONDS = 60.0


class Answers:
    """A file of answers that any number of threads, runs and processes may share; each is safe once `keep` returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "answers.sqlite"
        with self._open() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, answer TEXT NOT NULL)")

    @classmethod
    def of(cls, ctx: Context) -> Answers:
        """Return the answers that all runs of the store share."""
        return cls(ctx.answers or ctx.state / "answers")

    def get(self, request: Mapping[str, Any]) -> Any | None:
        """Return the answer to an equal request, or None. A request is JSON: service, model, texts and parameters."""
        with self._open() as database:
            found = database.execute(
                "SELECT answer FROM answers WHERE request = ?", (value_digest(request),)
            ).fetchone()
        return None if found is None else json.loads(found[0])

    def keep(self, request: Mapping[str, Any], answer: Any) -> None:
        """Keep an answer (JSON, not None); an earlier one to an equal request is replaced."""
        row = (value_digest(request), json.dumps(answer, ensure_ascii=False))
        with self._open() as database:
            database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", row)

    def _open(self) -> _Closing:
        return _Closing(self.file)


class _Closing:
    """A connection that commits and closes, since sqlite3's own context manager only commits."""

    def __init__(self, file: Path) -> None:
        self.database = sqlite3.connect(file, timeout=_BUSY_SECONDS)

    def __enter__(self) -> sqlite3.Connection:
        return self.database

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.database.commit()
        self.database.close()
