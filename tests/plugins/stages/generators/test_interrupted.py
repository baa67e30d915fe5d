"""A run that is killed while it asks, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_llm
from fake_services import serving

PASSAGES = 40
SOURCE = '''
from typing import Literal
from embedrun import Context, Document, RetrievalSet, Source, hookimpl

class Passages(Source):
    """Passages without questions."""
    type: Literal["passages"] = "passages"
    def columns_given(self):
        return frozenset()
    def run(self, ctx: Context) -> RetrievalSet:
        documents = [Document.of(f"House number {n} has {n + 3} windows and a copper lantern.") for n in range(40)]
        return RetrievalSet.write(ctx.out, documents=documents, queries=[], qrels={})

@hookimpl
def embedrun_stages():
    return [Passages]
'''
RECIPE = """
model: ./model
plugins: [passages.py]
source: {type: passages}
generator: {type: bedrock, concurrency: 4}
loss: multiple_negatives_ranking
trainer: sentence_transformers
"""


def test_after_a_kill_exactly_the_missing_requests_are_sent(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "passages.py").write_text(SOURCE, "utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, "utf-8")
    model = fake_llm.FakeModel(seconds=0.05)
    with serving(*fake_llm.routes(model)) as services:
        first = _run(tmp_path, services.url)
        while model.answered < PASSAGES // 2:
            assert first.poll() is None, first.communicate()
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        time.sleep(0.3)  # for requests that were under way
        sent, kept = len(services.asked), _kept(tmp_path)
        assert kept >= PASSAGES // 2 - 4
        shown = _finished(tmp_path, services.url)
        assert len(services.asked) - sent == PASSAGES - kept
        assert f"answers reused {kept}" in shown
        total = len(services.asked)
        assert "generator [cached]" in _finished(tmp_path, services.url)
        assert len(services.asked) == total


def _run(folder: Path, url: str) -> subprocess.Popen[str]:
    given = {
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "embedrun", "run", "recipe.yaml", "--until", "generator"]
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, **given}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _finished(folder: Path, url: str) -> str:
    process = _run(folder, url)
    _, shown = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    return shown


def _kept(folder: Path) -> int:
    import sqlite3

    with sqlite3.connect(folder / "runs" / ".store" / "answers" / "answers.sqlite") as database:
        (count,) = database.execute("SELECT COUNT(*) FROM answers").fetchone()
    database.close()
    return int(count)
