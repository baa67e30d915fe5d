"""What is sent to a job is found there by what the recipe calls it; what is not sent is told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from embedrun.console import Console
from embedrun.execution import Execution, Loaded, Settings
from embedrun.plan import Plan
from embedrun.record import RunRecord
from embedrun.store import Store
from embedrun.testing import small_set
from embedrun_plugins.services.sagemaker.container.channels import choose
from embedrun_plugins.services.sagemaker.container.contract import JobConfiguration, Resources
from embedrun_plugins.stages.runtimes.sagemaker_job.job_inputs import JobInputs

RECIPE = """
name: shop
model: model
plugins: [fakes.py]
source: {type: beir, path: data}
filters: [copy]
loss: fake
trainer: {type: fake}
evaluator: fake
"""


@pytest.fixture
def shop(project) -> Any:
    small_set(project.folder / "data")
    project.write("model/config.json", "{}")
    project.write("shop.yaml", RECIPE)
    return project


def begun(**overrides: Any) -> tuple[JobInputs, Plan]:
    """Return the work of a run that begins now, and its plan."""
    loaded = Loaded.read("shop.yaml", overrides)
    settings = Settings()
    plan = loaded.plan(settings)
    plugins = [loaded.path.parent / name for name in plan.recipe.plugins]
    record = RunRecord.begin(settings.runs, plan.recipe.dump(), loaded.written, settings.store_folder, {}, plugins)
    store = Store(settings.store_folder)
    return JobInputs(Execution(loaded, plan, store, record.folder, settings, Console()).job()), plan


def laid_out(work: JobInputs, folder: Path) -> JobConfiguration:
    """Lay the channels out as SageMaker does."""
    channels = work.channels()
    for name, files in channels.items():
        for inner, what in files.items():
            file = folder / name / inner
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(what if isinstance(what, bytes) else what.read_bytes())
    resources = Resources(current_host="algo-1", hosts=("algo-1",))
    return JobConfiguration(resources, work.hyperparameters(1), {name: folder / name for name in channels})


def keys(plan: Any) -> list[str | None]:
    """Return the keys of what is made from the data and the model alone."""
    digests = {"model": plan.base.digest}
    return [plan.key(step, digests) for step in plan.steps if set(step.needs.values()) <= set(digests)]


DOCUMENTS = {
    "a folder": "docs",
    "a pattern": "docs/**/*.md",
    "folders by a pattern": "doc?/a",
    "a link to a folder": "linked",
    "files of one name": "[docs/a/notes.md, docs/b/notes.md]",
    "a way over another folder": "model/../docs",
}
SOURCES = {
    "a folder of which files are read": "{type: beir, path: data}",
    **{
        f"documents, {what}": f"{{type: documents, path: {path}, holdout: 0.5}}\ngenerator: crop"
        for what, path in DOCUMENTS.items()
    },
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_job_finds_what_the_recipe_names_and_makes_what_is_asked_for_here(shop, tmp_path_factory, source):
    for name in ("a", "b"):
        shop.write(f"docs/{name}/notes.md", f"Notes of {name}.")
    shop.write("docs/a/.secret", "of nobody's business")
    (shop.folder / "linked").symlink_to(shop.folder / "docs")
    shop.write("shop.yaml", RECIPE.replace("{type: beir, path: data}", SOURCES[source]))
    (work, plan), there = begun(), tmp_path_factory.mktemp("job")
    wanted = keys(plan)
    chosen = choose(laid_out(work, there / "data"), there)
    gone = shop.folder.rename(shop.folder.with_name("elsewhere"))
    try:
        plan = Loaded.read(chosen.file).plan(Settings(runs=there / "runs"))
        assert keys(plan) == wanted
        assert f'"{shop.folder}' not in json.dumps(plan.recipe.dump())
        assert chosen.record == there / "data" / "recipe"
        assert not list(there.rglob(".secret"))
    finally:
        gone.rename(shop.folder)


def test_variables_that_stages_read_and_the_job_does_not_get_are_named(shop, monkeypatch):
    shop.write(
        "reader.py",
        "from typing import Literal\n"
        "from embedrun import Filter, hookimpl\n"
        "class Reader(Filter):\n"
        '    """Reads."""\n'
        '    type: Literal["reader"] = "reader"\n'
        "    def variables(self):\n"
        '        return ("SHOP_KEY", "SHOP_URL", "SHOP_UNSET", "AWS_PROFILE")\n'
        "    def run(self, ctx, data):\n"
        "        return data\n"
        "@hookimpl\n"
        "def embedrun_stages():\n"
        "    return [Reader]\n",
    )
    for name in ("SHOP_KEY", "SHOP_URL", "AWS_PROFILE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("SHOP_UNSET", raising=False)
    work, _ = begun(plugins=["fakes.py", "reader.py"], filters=["reader"])
    assert work.unset(()) == ["SHOP_KEY", "SHOP_URL"]
    assert work.unset(("SHOP_KEY",)) == ["SHOP_URL"]
    assert begun()[0].unset(()) == []
