"""Wrong data and a hostile machine, through the command line: one message, no traceback, nothing half-made."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from embedrun.hashing import file_digest
from embedrun.testing import small_set, tiny_model

RECIPE = """\
model: tiny
source: {type: pairs, path: %s, holdout: 0.3}
loss: multiple_negatives_ranking
trainer: {type: sentence_transformers, epochs: 1, batch_size: 4}
evaluator: information_retrieval
"""


def rows(*changed, count=12):
    plain = [{"anchor": f"where is item {n}?", "positive": f"Item {n} is in room {n}."} for n in range(count)]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*plain, *changed])


# file name, its content, what the message must say
DATA = {
    "empty file": ("pairs.jsonl", "", "pairs.jsonl: holds no rows"),
    "only white space": ("pairs.jsonl", "\n \n", "pairs.jsonl"),
    "no usable row": ("pairs.jsonl", '{"anchor": "", "positive": "x"}\n', "pairs.jsonl"),
    "broken json line": ("pairs.jsonl", rows() + '{"anchor": \n', "pairs.jsonl:13:"),
    "a list in a json line": ("pairs.jsonl", rows() + "[1, 2]\n", "pairs.jsonl:13"),
    "invalid utf-8": ("pairs.jsonl", rows().encode() + b'{"anchor": "\xff", "positive": "x"}\n', "UTF-8"),
    "a lone surrogate": ("pairs.jsonl", rows() + '{"anchor": "\\ud800", "positive": "x"}\n', "pairs.jsonl:13"),
    "a number for a text": ("pairs.jsonl", rows() + '{"anchor": 3, "positive": "x"}\n', "pairs.jsonl:13"),
    "columns of other names": ("pairs.jsonl", '{"left": "a", "right": "b"}\n', "left, right"),
    "a score that is no number": ("pairs.csv", "anchor,positive,score\na,b,0.5\nc,d,nan\n", "pairs.csv:3"),
    "a ragged csv": ("pairs.csv", "anchor,positive\na,b\nc,d,e\n", "pairs.csv:3"),
    "a csv with a header only": ("pairs.csv", "anchor,positive\n", "pairs.csv"),
    "an unknown kind of file": ("pairs.xyz", "anchor", "pairs.xyz"),
    "a broken parquet file": ("pairs.parquet", "PAR1 nonsense", "pairs.parquet"),
    "one row": ("pairs.jsonl", rows(count=1), "holdout"),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny").path


@pytest.fixture
def ready(project, tiny):
    shutil.copytree(tiny, project.folder / "tiny")
    project.write("r.yaml", RECIPE % "pairs.jsonl")
    project.write("pairs.jsonl", rows())
    return project


def refused(project, *words):
    outcome = project.run(*words)
    assert outcome.code in (1, 2), outcome.out
    assert "Traceback" not in outcome.err
    assert not list(project.folder.glob("runs/.store/??/*")), "nothing half-made is published"
    return outcome


@pytest.mark.parametrize("name", DATA)
def test_wrong_data_is_refused_with_its_place(ready, name):
    file, content, message = DATA[name]
    ready.write("r.yaml", RECIPE % file)
    (ready.folder / "pairs.jsonl").unlink()
    (ready.folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    outcome = refused(ready, "r.yaml")
    assert outcome.code == 2
    assert message in outcome.err
    assert "source" in outcome.err


def test_a_folder_for_a_file_is_refused(ready):
    (ready.folder / "pairs.jsonl").unlink()
    (ready.folder / "pairs.jsonl").mkdir()
    assert "folder" in refused(ready, "r.yaml").err


def test_ids_that_collide_are_refused(ready):
    small_set(ready.folder / "beir")
    with (ready.folder / "beir/corpus.jsonl").open("a") as corpus:
        first = json.loads((ready.folder / "beir/corpus.jsonl").read_text().splitlines()[0])
        corpus.write(json.dumps({**first, "text": "Something else."}) + "\n")
    ready.write("r.yaml", "model: tiny\nsource: {type: beir, path: beir}\nevaluator: information_retrieval\n")
    assert first["_id"] in refused(ready, "r.yaml").err


def test_long_rows_emoji_and_right_to_left_text_pass_unharmed(ready):
    odd = [
        {"anchor": "where is the long one?", "positive": "word " * 20_000 + "end"},
        {"anchor": "👩‍🚀 where?", "positive": "🚀 über den Wolken — “quoted”\u2028next line"},
        {"anchor": "أين الكتاب؟", "positive": "הספר על השולחן"},
    ]
    ready.write("pairs.jsonl", rows(*odd))
    done = ready.run("r.yaml", "--json", "--until", "source")
    assert done.code == 0, done.err
    key = done.json["stages"][0]["key"]
    folder = ready.folder / "runs/.store" / key[:2] / key / "out"
    texts = {json.loads(line)["text"] for line in (folder / "corpus.jsonl").read_text("utf-8").split("\n") if line}
    assert {row["positive"] for row in odd} <= texts


def test_a_damaged_model_is_refused(ready):
    (ready.folder / "tiny/model.safetensors").write_bytes(b"not weights")
    outcome = ready.run("r.yaml")
    assert outcome.code in (1, 2)
    assert "cannot be loaded" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_taken_port_is_named(ready):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ["--set", "deployer.type=local", "--set", f"deployer.port={port}"]
        outcome = ready.run("r.yaml", *words)
    assert outcome.code in (1, 2)
    assert str(port) in outcome.err
    assert "Traceback" not in outcome.err


def test_metrics_that_do_not_exist_are_refused_before_anything_runs(ready):
    words = ["trainer.eval_strategy=epoch", "trainer.load_best_model_at_end=true", "source.holdout.dev=0.2"]
    words += ["source.holdout.test=0.2", "trainer.metric_for_best_model=nDCG@11"]
    ready.write("r.yaml", (RECIPE % "pairs.jsonl").replace(", holdout: 0.3", ""))
    outcome = refused(ready, "r.yaml", *(word for setting in words for word in ("--set", setting)))
    assert outcome.code == 2
    assert "no evaluator produces 'nDCG@11'; did you mean 'ndcg@10'?" in outcome.err
    assert not (ready.folder / "runs").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_says_so_and_the_next_run_is_whole(ready):
    disk = ready.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        words = [sys.executable, "-m", "embedrun", "r.yaml", "--store", str(disk / "store")]
        full = subprocess.run(words, capture_output=True, text=True, check=False)
        assert full.returncode == 1
        assert "the disk is full" in full.stderr or "free some space" in full.stderr
        assert "Traceback" not in full.stderr
        for entry in disk.glob("store/??/*/"):
            listed = json.loads((entry / "manifest.json").read_text())["files"]
            assert {name: file_digest(entry / "out" / name) for name in listed} == {
                name: file["sha256"] for name, file in listed.items()
            }
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert ready.run("r.yaml").code == 0


def test_the_same_command_again_loads_no_torch(ready):
    assert ready.run("r.yaml").code == 0
    program = (
        "import sys; from embedrun.cli import main; code = main(['r.yaml']); "
        "sys.exit(code or bool({'torch', 'transformers', 'sentence_transformers', 'datasets'} & set(sys.modules)))"
    )
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("[cached]") == 5
