"""Attempts at requests that no answer was kept of, beside the answers: they may have been charged, too."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from embedrun_plugins.services.answer_cache import BUSY_SECONDS, Answers


class FailedAttempts:
    """How many attempts at each request came to nothing; threads, runs and processes may share it, as the answers."""

    def __init__(self, answers: Answers) -> None:
        self.file = answers.file
        with closing(self._open()) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS failed_attempts "
                "(request TEXT PRIMARY KEY, attempts INTEGER NOT NULL, charged INTEGER NOT NULL)"
            )

    def add(self, digest: str, attempts: int, charged: int) -> None:
        """Count so many more attempts at a request, and so many of them that may be charged; fewer where negative."""
        with closing(self._open()) as database, database:
            database.execute(
                "INSERT INTO failed_attempts VALUES (?, ?, ?) ON CONFLICT (request) DO UPDATE "
                "SET attempts = attempts + excluded.attempts, charged = charged + excluded.charged",
                (digest, attempts, charged),
            )

    def get_all(self, digests: Sequence[str]) -> list[tuple[int, int]]:
        """Return the attempts at requests, and how many of them may be charged, in their order."""
        wanted = "SELECT attempts, charged FROM failed_attempts WHERE request = ?"
        with closing(self._open()) as database:
            return [database.execute(wanted, (digest,)).fetchone() or (0, 0) for digest in digests]

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.file, timeout=BUSY_SECONDS)
        database.execute("PRAGMA synchronous=NORMAL")  # outlives a kill of this process, which is what it is for
        return database
