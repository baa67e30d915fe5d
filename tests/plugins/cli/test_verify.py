"""`embedrun verify` proves everything that a run deployed again, and a run whose endpoint is wrong fails."""

import json
import shutil
from pathlib import Path

import pytest

from embedrun.artifacts import Endpoint
from embedrun_plugins.cli import verify
from embedrun_plugins.services.endpoints.deployed import Deployed
from embedrun_plugins.stages.deployers.directory import Directory

RECIPE = """
name: served
model:
  id: sentence-transformers/all-MiniLM-L6-v2
  prompts: {query: "query: "}
source: {type: pairs, path: pairs.jsonl}
deployer: {type: local, port: 0}
"""
FAULTY = '''
from typing import Literal

from embedrun import hookimpl
from embedrun_plugins.stages.deployers.local import LocalServer


class Faulty(LocalServer):
    """Starts the server with other settings than the model's."""

    type: Literal["faulty"] = "faulty"

    def _command(self, ctx, model):
        settings = model.settings.model_copy(update={"prompts": None})
        return super()._command(ctx, type(model)(model.path, settings))


@hookimpl
def embedrun_stages():
    return [Faulty]
'''


@pytest.fixture
def served(project, minilm: Path):
    """A run whose server answers until the test ends."""
    project.write("pairs.jsonl", '{"anchor": "who?", "positive": "She."}\n')
    project.write("served.yaml", RECIPE)
    made = project.run("run", "served.yaml")
    assert made.code == 0, made.err
    yield project
    project.run("delete", "served")


def endpoint_file(project) -> Path:
    return next(project.folder.glob("runs/served/*/deployments/local/endpoint.json"))


def test_what_answers_is_proven_again_and_what_does_not_is_said(served) -> None:
    outcome = served.run("verify", "served", "--json")
    assert outcome.code == 0
    assert "local http://127.0.0.1:" in outcome.out
    assert "answers with the model's vectors (7 texts as queries and as documents, worst cosine 1.0000" in outcome.out
    (found,) = outcome.json["endpoints"]
    assert (found["deployer"], found["holds"], found["causes"]) == ("local", True, [])
    assert found["worst"]["cosine"] > 0.9999

    # Whoever serves other vectors under the same address is found out.
    file = endpoint_file(served)
    written = json.loads(file.read_text())
    kept = json.dumps(written)
    written["endpoint"]["reading"] = {"normalize": True}
    file.write_text(json.dumps(written))
    outcome = served.run("verify", "served", "--json")
    assert outcome.code == 1
    assert "what answers is not the model: it puts no prompt before texts (cosine 0." in outcome.out
    assert outcome.json["endpoints"][0]["causes"] == ["it puts no prompt before texts"]

    file.write_text(kept)
    served.run("delete", "served")
    outcome = served.run("verify", "served")
    assert outcome.code == 2
    assert "nothing to verify: it deployed nothing, or it was deleted" in outcome.err


def test_a_server_that_is_gone_fails(served) -> None:
    written = json.loads(endpoint_file(served).read_text())
    from embedrun.artifacts import Endpoint
    from embedrun_plugins.stages.deployers.local import LocalServer

    LocalServer().delete(Endpoint.model_validate(written["endpoint"]))
    outcome = served.run("verify", "served")
    assert outcome.code == 1
    assert "does not answer: Connection refused; is it running, and is the address right?" in outcome.out


def test_a_run_whose_endpoint_is_not_the_model_fails_names_the_cause_and_leaves_nothing(project, minilm) -> None:
    import psutil

    project.write("pairs.jsonl", '{"anchor": "who?", "positive": "She."}\n')
    project.write("faulty.py", FAULTY)
    project.write("faulty.yaml", RECIPE.replace("type: local", "type: faulty") + "plugins: [faulty.py]\n")
    before = psutil.Process().children()
    outcome = project.run("run", "faulty.yaml")
    assert outcome.code == 1
    assert "what answers is not the model: it puts no prompt before texts" in outcome.err
    assert not list(project.folder.glob("runs/served/*/deployments/*/endpoint.json"))
    begun = [child for child in psutil.Process().children() if child not in before]
    assert not [child for child in begun if "serving" in " ".join(child.cmdline())]


def test_an_exported_folder_is_loaded_and_must_give_the_models_vectors(project, minilm: Path) -> None:
    project.write("pairs.jsonl", '{"anchor": "who?", "positive": "She."}\n')
    deployer = "deployer: {type: directory, path: export}"
    project.write("written.yaml", RECIPE.replace("deployer: {type: local, port: 0}", deployer))
    assert project.run("run", "written.yaml").code == 0
    outcome = project.run("verify", "served")
    assert outcome.code == 0
    assert f"directory {project.folder / 'export'}: answers with the model's vectors" in outcome.out

    pooling = project.folder / "export/1_Pooling/config.json"
    config = json.loads(pooling.read_text()) | {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    pooling.write_text(json.dumps(config))
    outcome = project.run("verify", "served")
    assert outcome.code == 1
    assert "what answers is not the model: it pools by cls, and the model by mean" in outcome.out

    shutil.rmtree(project.folder / "export")
    outcome = project.run("verify", "served")
    assert outcome.code == 1
    assert "no model here" in outcome.out


def test_what_embeds_no_texts_and_an_unknown_run_are_explained(project) -> None:
    project.write("runs/pushed/1/run.json", json.dumps({"stages": [], "store": "."}))
    project.write("runs/pushed/1/recipe.lock.json", json.dumps({"lock": {"recipe": {}}}))
    described = {
        "endpoint": {"deployer": "hub", "url": "https://huggingface.co/a/b"},
        "deployer": {"type": "hub", "repo_id": "a/b"},
    }
    project.write("runs/pushed/1/deployments/hub/endpoint.json", json.dumps(described))
    outcome = project.run("verify", "runs/pushed/1")
    assert (outcome.code, outcome.out) == (2, "")
    assert "nothing to verify: what it deployed embeds no texts (hub)" in outcome.err
    assert project.run("verify", "nowhere").code == 2


@pytest.mark.parametrize("trusted", [True, False])
def test_code_that_comes_with_a_model_is_run_where_the_recipe_trusts_it(trusted) -> None:
    target = Deployed("directory", Endpoint(deployer="directory", path="export"), Directory(path="export"))
    assert verify._transport(target, trusted=trusted).settings.trust_remote_code is trusted
