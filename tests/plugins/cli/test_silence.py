"""No stage is silent, however slow the model is."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

from embedrun.testing import small_set, tiny_model

SLOW = """
import time

from embedrun import hookimpl


@hookimpl
def embedrun_run_started(run):
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer.forward

    def forward(self, features, **options):
        output = plain(self, features, **options)
        time.sleep(len(output["sentence_embedding"]))
        return output

    SentenceTransformer.forward = forward
"""
RECIPE = """
model: model
plugins: [slow.py]
source: {type: beir, path: data}
evaluator: {type: information_retrieval, batch_size: 8}
"""


def test_a_model_that_takes_a_second_for_each_text_is_heard_of_every_five_seconds(project):
    tiny_model(project.folder / "model")
    small_set(project.folder / "data")
    project.write("slow.py", SLOW)
    project.write("r.yaml", RECIPE)
    words = [sys.executable, "-m", "embedrun", "run", "r.yaml", "--offline"]
    with subprocess.Popen(
        words, cwd=project.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stderr
        lines = [(time.monotonic(), line) for line in run.stderr]
    assert run.returncode == 0, lines
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(lines)]
    assert max(gaps) < 6, lines  # a second for a busy machine
    assert any("encode documents 0 of 16" in line for _, line in lines), lines
