"""What a container is asked for is read exactly, and what is wrong with it is said where SageMaker shows it."""

from __future__ import annotations

import json
import shutil

import pytest

from embedrun.errors import StoreError, UserError
from embedrun.store import Store
from embedrun_plugins.services.sagemaker.container.channels import choose, import_results, relocated
from embedrun_plugins.services.sagemaker.container.contract import Container, JobConfiguration
from embedrun_plugins.services.sagemaker.container.main import train
from embedrun_plugins.services.sagemaker.container.metrics import METRICS, definition, event_line
from embedrun_plugins.services.sagemaker.container.run_recipe import load


def order(machine) -> JobConfiguration:
    return JobConfiguration.read(Container(machine.prefix))


def failed(machine) -> str:
    """Run the command in this process, and return what it leaves as the reason."""
    code, reason = train(Container(machine.prefix), 7777)
    assert code == 1
    assert machine.failure == reason[:1024]
    return machine.failure


@pytest.mark.parametrize("name", ["resourceconfig", "hyperparameters", "inputdataconfig"])
def test_a_missing_configuration_is_named(name, faked):
    machine = faked()
    (machine.prefix / f"input/config/{name}.json").unlink()
    assert f"{name}.json: no such file; this command runs in a SageMaker training container" in failed(machine)


def test_a_configuration_that_sagemaker_did_not_write_is_refused(faked):
    machine = faked()
    (machine.prefix / "input/config/hyperparameters.json").write_text("[1]", "utf-8")
    assert "must be a JSON object" in failed(machine)
    machine.configure("resourceconfig", {"current_host": "algo-3", "hosts": ["algo-1", "algo-2"]})
    assert "current_host 'algo-3' is none of the hosts: algo-1, algo-2" in failed(machine)
    machine.configure("resourceconfig", {"hosts": ["algo-1"]})
    assert "resourceconfig.json: current_host: field required" in failed(machine)


def test_a_channel_that_is_not_there_is_named(faked):
    machine = faked()
    shutil.rmtree(machine.prefix / "input/data/recipe")
    assert failed(machine).startswith("channel 'recipe': ")


def test_hyperparameters_are_changes_of_the_recipe_and_sagemakers_own_are_not(faked):
    given = {
        "recipe": '"recipe.yaml"',
        "until": '"trainer"',
        "trainer.epochs": "2",
        "source.size": '"7"',
        "sagemaker_program": "x",
        "nproc_per_node": "3",
    }
    machine = faked()
    machine.configure("hyperparameters", given)
    found = order(machine)
    assert found.overrides == {"trainer.epochs": "2", "source.size": "7"}
    assert found.processes == 3
    assert found.hyperparameters["until"] == "trainer"
    loaded = load(choose(found, machine.prefix).file, found)
    assert loaded.recipe.trainer.epochs == 2


@pytest.mark.parametrize("value", ["0", "two", "-1"])
def test_processes_are_counted_from_one(value, faked):
    with pytest.raises(UserError, match=f"nproc_per_node: '{value}' is not a number of processes"):
        _ = order(faked(nproc_per_node=value)).processes


def test_hosts_are_ranked_by_name(faked):
    machine = faked()
    hosts = {"hosts": ["algo-2", "algo-1"], "num_gpus": 4}
    machine.configure("resourceconfig", {"current_host": "algo-2", **hosts})
    found = order(machine)
    assert (found.resources.first, found.resources.rank, found.processes) == ("algo-1", 1, 4)


def test_an_unknown_recipe_is_told_with_what_there_is(faked):
    machine = faked(recipe="quickstrat")
    with pytest.raises(UserError, match=r"neither a file of a channel \(channels: recipe\).*did you mean 'quickstart'"):
        choose(order(machine), machine.prefix)
    assert choose(order(faked("shipped", recipe="quickstart")), machine.prefix).file.name == "quickstart.yaml"
    named = choose(order(faked("named", recipe="recipe/recipe.yaml")), machine.prefix)
    assert named.file.parent.name == "recipe"
    with pytest.raises(UserError, match="neither a file of a channel"):
        choose(order(faked("outside", recipe="recipe/../../config/hyperparameters.json")), machine.prefix)


def test_the_only_recipe_needs_no_name(faked):
    machine = faked()
    assert choose(order(machine), machine.prefix).file.name == "recipe.yaml"
    (machine.prefix / "input/data/recipe/other.yaml").write_text("", "utf-8")
    with pytest.raises(UserError, match=r"\(other.yaml, recipe.yaml\); name one as 'recipe'"):
        choose(order(machine), machine.prefix)
    machine.configure("inputdataconfig", {})
    with pytest.raises(UserError, match="send one in a channel 'recipe', or name a shipped one"):
        choose(order(machine), machine.prefix)


def test_only_whole_paths_and_those_below_a_folder_are_moved(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "a.jsonl").write_text("", "utf-8")
    places = {"/home/me/a.jsonl": tmp_path / "a.jsonl", "/home/me/docs": tmp_path / "docs"}
    value = {
        "/home/me/docs": "/home/me/docs",
        "kept": ["see /home/me/docs", "/home/me/docs2/x", "/home/me/a.jsonl/x", "home/me/docs", 3, None, True],
        "moved": ["/home/me/a.jsonl", "/home/me/docs/in/it.pdf"],
    }
    assert relocated(value, places) == {
        "/home/me/docs": str(tmp_path / "docs"),
        "kept": value["kept"],
        "moved": [str(tmp_path / "a.jsonl"), str(tmp_path / "docs/in/it.pdf")],
    }


@pytest.mark.parametrize("place", ["gone.jsonl", "../recipe/recipe.yaml"])
def test_inputs_that_are_not_in_their_channel_are_refused(place, faked, tmp_path):
    machine = faked()
    lock = machine.prefix / "input/data/recipe/recipe.lock.json"
    lock.write_text(json.dumps({"lock": {"schema": 1, "recipe": {}}}), "utf-8")
    (machine.channel("inputs") / "inputs.json").write_text(json.dumps({"/home/me/a.jsonl": place}), "utf-8")
    with pytest.raises(UserError, match=f"names '{place}' for /home/me/a.jsonl; it is not there"):
        choose(order(machine), tmp_path)


def test_a_job_has_the_processes_that_its_recipe_asks_for_or_says_why_not(trained_by):
    def processes(hosts, **given):
        machine, *_ = trained_by(f"{len(hosts)} {sorted(given.items())}", hosts, **given)
        found = order(machine)
        return load(choose(found, machine.prefix).file, found).recipe.trainer.processes

    two = ("algo-1", "algo-2")
    assert processes(("algo-1",)) == 1
    assert processes(two, nproc_per_node=2) == 4
    assert processes(two, **{"trainer.processes": 4}) == 4
    with pytest.raises(UserError, match=r"asks for 8 processes, and 2 instance\(s\) with 2 each are 4"):
        processes(two, **{"trainer.processes": 8, "nproc_per_node": 2})
    with pytest.raises(UserError, match=r"asks for 3 processes, and 2 instance\(s\) with 1 each are 2"):
        processes(two, **{"trainer.processes": 3})


def test_a_trainer_of_one_process_is_not_paid_for_on_two_machines(faked):
    machine = faked()
    machine.configure("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]})
    with pytest.raises(UserError, match="'fake' trains on one machine only, and this job has 2"):
        load(machine.prefix / "input/data/recipe/recipe.yaml", order(machine))


@pytest.fixture
def sent(tmp_path) -> Store:
    """A store with one result."""
    store = Store(tmp_path / "sent")
    with store.building("ab12") as build:
        (build.out / "a.txt").write_text("a", "utf-8")
        store.publish("ab12", build, {"notes": {"rows": 1}})
    return store


def test_results_and_answers_of_a_channel_come_into_the_store(sent, tmp_path):
    store = Store(tmp_path / "store")
    (sent.answers / "llm").mkdir(parents=True)
    (sent.answers / "llm/1.jsonl").write_text("new", "utf-8")
    (store.answers / "llm").mkdir(parents=True)
    (store.answers / "llm/2.jsonl").write_text("kept", "utf-8")
    for _ in range(2):
        import_results(sent.root, store.root)
    assert store.get("ab12").manifest == sent.get("ab12").manifest
    assert sorted(path.name for path in (store.answers / "llm").iterdir()) == ["1.jsonl", "2.jsonl"]


def test_a_damaged_result_is_replaced_and_none_is_taken_over(sent, tmp_path):
    store = Store(tmp_path / "store")
    import_results(sent.root, store.root)
    (store.folder("ab12") / "out/a.txt").unlink()
    (store.folder("ab12") / "out/a.txt").write_text("b", "utf-8")
    import_results(sent.root, store.root)
    assert (store.folder("ab12") / "out/a.txt").read_text("utf-8") == "a"
    (sent.folder("ab12") / "out/a.txt").write_text("c", "utf-8")
    with pytest.raises(StoreError, match="was damaged on its way"):
        import_results(sent.root, tmp_path / "new")
    assert Store(tmp_path / "new").get("ab12") is None


def test_metrics_are_found_by_their_definitions():
    import re

    assert len(METRICS) <= 40
    line = event_line("log", {"step": 10, "loss": 0.5, "learning_rate": 2e-05, "epoch": 0.4})
    assert line == "train:loss=0.5 train:learning_rate=2e-05 train:epoch=0.4 train:step=10"
    assert re.findall(definition("train:learning_rate")["Regex"], line) == ["2e-05"]
    judged = event_line("evaluation", {"step": 10, "eval_dim_64_ndcg@10": 0.25, "eval_ndcg@10": 0.5})
    assert judged == "dev:dim_64_ndcg@10=0.25 dev:ndcg@10=0.5 dev:step=10"
    assert re.findall(definition("dev:ndcg@10")["Regex"], judged) == ["0.5"]
    assert event_line("stopped", {"seconds": 3.0}) == ""
    assert all(len(metric["Regex"]) <= 500 for metric in METRICS)
