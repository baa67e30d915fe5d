"""Whatever a file holds, it ends in an answer or an explained refusal: files of every kind, changed at random.

Hypothesis chooses the changes, the same ones in every run; `benchmarks/fuzz.py` goes on for as long as one likes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mutation_samples
from embedrun import Context, EmbedrunError, Model
from embedrun.file_digests import FileDigests
from embedrun.store import Store
from embedrun_plugins.models import model_faults
from embedrun_plugins.stages.sources.pairs import Pairs
from embedrun_plugins.stages.sources.readers import ReadingOptions
from embedrun_plugins.stages.sources.readers.open_document import read
from mutations import mutated
from wrong_models import MODEL

SEEDS = st.integers(0, 2**32 - 1)
RECIPE = "model: model\nplugins: [fakes.py]\nsource: fake\nevaluator: fake\ndeployer: {type: fake, at: deployed}\n"


def often(examples: int):
    """Return how many changes are tried, the same ones in every run."""
    return settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )


def explained(action: Callable[[], object]) -> list[str]:
    """Return what an action is refused with, if it is."""
    try:
        action()
    except EmbedrunError as error:
        return [str(error)]
    return []


ROWS = mutation_samples.rows()
DOCUMENTS = mutation_samples.documents()
RECIPES = mutation_samples.recipe_files()


@pytest.mark.parametrize("name", RECIPES)
def test_a_changed_recipe(project, name):
    @often(20)
    @given(SEEDS)
    def check(seed):
        (project.folder / "r.yaml").write_bytes(mutated(RECIPES[name], seed))
        outcome = project.run("check", "r.yaml")
        assert outcome.code in (0, 2)
        assert outcome.code == 0 or outcome.err.strip()

    check()


@pytest.mark.parametrize("name", ROWS)
def test_a_changed_file_of_rows(tmp_path, name):
    @often(60)
    @given(SEEDS)
    def check(seed):
        file, out = tmp_path / name, tmp_path / "out"
        file.write_bytes(mutated(ROWS[name], seed))
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        source = Pairs(path=file)
        refusals = explained(lambda: list(source.faults()) or source.run(Context(out, tmp_path)).documents)
        assert all(name in refusal for refusal in refusals)

    check()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_changed_document(tmp_path, name):
    @often(60)
    @given(SEEDS)
    def check(seed):
        (tmp_path / name).write_bytes(mutated(DOCUMENTS[name], seed))
        assert all(explained(lambda: read(tmp_path / name, ReadingOptions(), lambda _: None)))

    check()


@pytest.mark.parametrize("name", [name for name in MODEL if name.endswith(".json")])
def test_a_changed_file_of_a_model(tmp_path, name):
    for other, content in MODEL.items():
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_bytes(content)

    @often(60)
    @given(SEEDS)
    def check(seed):
        (tmp_path / name).write_bytes(mutated(MODEL[name], seed))
        assert all(isinstance(fault, str) for fault in model_faults.faults(Model(tmp_path)))

    check()


@pytest.fixture
def finished(project):
    """A project with a finished run."""
    project.write("model/config.json", "{}")
    project.write("r.yaml", RECIPE)
    assert project.run("r.yaml", "--offline").code == 0
    shutil.copytree("runs", "kept")
    return project


def _files_of_a_run() -> list[str]:
    return ["run.json", "recipe.lock.json", "log.jsonl", "deployments/fake/endpoint.json"]


@pytest.mark.parametrize("name", _files_of_a_run())
def test_a_changed_file_of_a_run(finished, name):
    (run,) = Path("kept/r").iterdir()
    content = (run / name).read_bytes()

    @often(12)
    @given(SEEDS)
    def check(seed):
        shutil.rmtree("runs")
        shutil.copytree("kept", "runs")
        (Path("runs/r") / run.name / name).write_bytes(mutated(content, seed))
        for words in (["show", "r"], ["compare", "r", "r"], ["delete", "r"], ["gc"], ["verify", "r"]):
            assert finished.run(*words).code in (0, 1, 2)

    check()


@pytest.mark.parametrize("pattern", ["??/*/manifest.json", "files.json", "runs/*"])
def test_a_changed_file_of_the_store(finished, pattern):
    file = next(Path("runs/.store").glob(pattern))
    content = file.read_bytes()

    @often(60)
    @given(SEEDS)
    def check(seed):
        file.write_bytes(mutated(content, seed))
        store = Store(Path("runs/.store"))
        stored = store.get(file.parent.name)
        assert stored is None or isinstance(stored.notes, dict)
        FileDigests(file).of(Path("r.yaml"))
        assert all("is damaged" in refusal for refusal in explained(lambda: list(store.referring())))

    check()
