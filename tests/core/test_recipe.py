"""A wrong recipe is refused with one message for each problem, each with its place in the file."""

from __future__ import annotations

import json

import pytest

from embedrun import yamlfile
from embedrun.recipe_file import override

GOOD = """\
model: model
plugins: [fakes.py]
source:
  type: fake
loss: fake
trainer:
  type: fake
  epochs: 2
evaluator: fake
"""

# what replaces GOOD (or a part of it), and what the message must say
WRONG = {
    "unknown key on top": (
        ("loss: fake", "los: fake\nloss: fake"),
        "r.yaml:5:1: los: unknown key; did you mean 'loss'?",
    ),
    "unknown key of a stage": (
        ("epochs: 2", "epochz: 2"),
        "r.yaml:8:3: trainer.epochz: unknown key; did you mean 'epochs'?",
    ),
    "unknown key far from any": (
        ("epochs: 2", "qqq: 2"),
        "allowed: delay, epochs, kill_at, metric_for_best_model, type, wait",
    ),
    "unknown key of a list's stage": (
        ("evaluator: fake", "evaluator:\n  - type: fake\n    leest: 1"),
        "r.yaml:11:5: evaluator.0.leest: unknown key; did you mean 'least'?",
    ),
    "unknown key of a single stage where a list may be": (
        ("evaluator: fake", "evaluator: {type: fake, leest: 1}"),
        "r.yaml:9:25: evaluator.0.leest: unknown key; did you mean 'least'?",
    ),
    "unknown key of the model": (
        ("model: model", "model: {id: model, promts: 1}"),
        "r.yaml:1:20: model.promts: unknown key; did you mean 'prompts'?",
    ),
    "wrong type": (("epochs: 2", "epochs: two"), "r.yaml:8:11: trainer.epochs: must be a whole number"),
    "wrong type is quoted": (("epochs: 2", "epochs: two"), "not 'two'"),
    "list for a number": (
        ("epochs: 2", "epochs: [2]"),
        "trainer.epochs: must be a whole number, such as 8, not a list",
    ),
    "seed too small": (("loss: fake", "seed: -1\nloss: fake"), "seed: must be at least 0, not -1"),
    "unknown stage": (("loss: fake", "loss: fak"), "r.yaml:5:7: loss: there is no loss 'fak'; did you mean 'fake'?"),
    "unknown type in a mapping": (("type: fake\nloss", "type: fale\nloss"), "there is no source 'fale'"),
    "stage without a type": (("type: fake\n  epochs: 2", "epochs: 2"), "trainer: needs a 'type'; allowed: fake"),
    "number for a stage": (("loss: fake", "loss: 3"), "loss: must be a mapping with a 'type', or just the type's name"),
    "missing model": (("model: model\n", ""), "model: is missing; every recipe needs it"),
    "missing source": (("source:\n  type: fake\n", ""), "source: is missing"),
    "bad yaml": (("loss: fake", "loss: [fake"), "not YAML"),
    "tab": (("  epochs: 2", "\tepochs: 2"), "not YAML"),
    "duplicate key": (("loss: fake", "loss: fake\nloss: hungry"), "r.yaml:6:1: loss: given twice; first in line 5"),
    "duplicate nested key": (("  epochs: 2", "  epochs: 2\n  epochs: 3"), "r.yaml:9:3: trainer.epochs: given twice"),
    "python tag": (("model: model", "model: !!python/name:os.system"), "is not allowed in a recipe"),
    "a list": (None, "- a\n- b\n", "a recipe is a mapping of keys to values, this is a list"),
    "empty": (None, "", "r.yaml: empty; a recipe is a mapping"),
    "only a comment": (None, "# nothing\n", "r.yaml: empty"),
    "a word": (None, "hello", "this is a single value"),
    "a lock that is none": (None, "lock: 3\n", "is not a lock file of embedrun"),
    "endless": (None, "a: &a [*a]\n", "nested too deeply"),
    "very deep": (None, "a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
    "a plugin listed twice": (("[fakes.py]", "[fakes.py, fakes.py]"), "plugins.1: listed twice"),
    "infinity": (("epochs: 2", "wait: .inf"), "trainer.wait: must be a finite number"),
    "two documents": (None, "model: a\n---\nmodel: b\n", "not YAML"),
    "loss needs negatives": (("loss: fake", "loss: hungry"), "r.yaml:5:7: loss: 'hungry' needs negatives; add a miner"),
    "no positives": (
        ("  type: fake\nloss", "  type: fake\n  holds: []\nloss"),
        "needs queries with relevant documents",
    ),
    "trainer without loss": (("loss: fake\n", ""), "trainer: needs a loss"),
    "loss without trainer": (("trainer:\n  type: fake\n  epochs: 2\n", ""), "loss: needs a trainer"),
    "merge without trainer": (
        ("loss: fake\ntrainer:\n  type: fake\n  epochs: 2\n", "merge: fake\n"),
        "merge: has no effect without a trainer",
    ),
    "best model by an unknown metric": (
        ("epochs: 2", "metric_for_best_model: ndgc@10"),
        "r.yaml:8:26: trainer.metric_for_best_model: no evaluator produces 'ndgc@10'; did you mean 'ndcg@10'?",
    ),
    "best model without evaluator": (
        ("epochs: 2\nevaluator: fake", "metric_for_best_model: ndcg@10"),
        "the recipe has no evaluator",
    ),
    "missing plugin": (("[fakes.py]", "[fake.py]"), "r.yaml:2:11: plugins.0: no such file: fake.py"),
    "plugins is no list": (("[fakes.py]", "{a: 1}"), "plugins: must be a list of Python files"),
    "name with a slash": (("loss: fake", "name: a/b\nloss: fake"), "r.yaml:5:7: name:"),
    "missing input": (("  type: fake\nloss", "  type: fake\n  file: nope.txt\nloss"), "nope.txt: no such file"),
    "missing input with a near name": (("  type: fake\nloss", "  type: fake\n  file: fakes.pi\nloss"), "did you mean"),
    "missing model folder": (("model: model", "model: ./modle"), "no such folder; did you mean 'model'?"),
    "model folder without a model": (("model: model", "model: ."), "no model here"),
    "max_length of zero": (
        ("model: model", "model: {id: model, max_length: 0}"),
        "model.max_length: must be at least 1, not 0",
    ),
    "unknown pooling": (("model: model", "model: {id: model, pooling: maen}"), "model.pooling: 'maen' is not allowed"),
    "empty !!int": (("loss: fake", 'seed: !!int ""\nloss: fake'), "r.yaml:5:7: seed: '' is not a valid int"),
    "empty !!float": (("epochs: 2", 'wait: !!float ""'), "r.yaml:8:9: trainer.wait: '' is not a valid float"),
    "!!bool that is none": (("epochs: 2", "wait: !!bool maybe"), "trainer.wait: 'maybe' is not a valid bool"),
    "!!int of a sign": (("epochs: 2", 'epochs: !!int "-"'), "trainer.epochs: '-' is not a valid int"),
    "!!float of an exponent": (("epochs: 2", "wait: !!float 1e"), "trainer.wait: '1e' is not a valid float"),
    "!!int of a word": (("epochs: 2", "epochs: !!int two"), "'two' is not a valid int"),
    "!!float of base 60": (("epochs: 2", "wait: !!float 1:x"), "'1:x' is not a valid float"),
    "long hexadecimal": (("epochs: 2", f"epochs: 0x{'f' * 6000}"), "r.yaml:8:11: trainer.epochs: '0xfff"),
    "long octal": (("epochs: 2", f"epochs: 0o{'7' * 6000}"), "is not a valid int"),
    "long decimal": (("epochs: 2", f"epochs: {'9' * 6000}"), "is not a valid int"),
    "number above all floats": (("epochs: 2", f"wait: 1{'0' * 400}"), "is not a valid int"),
    "NUL in a text": (("model: model", 'model: "a\\0b"'), "r.yaml:1:8: model: holds a NUL character"),
    "NUL in a key": (("model: model", '"mo\\0del": model'), "holds a NUL character"),
    "half of a character": (("model: model", 'model: "a\\ud83d"'), "r.yaml:1:8: model: holds half of a character"),
    "half of a character in a key": (("model: model", '"\\udc00": model'), "r.yaml:1:1: holds half of a character"),
    "binary": (("model: model", "model: !!binary aGk="), "r.yaml:1:8: model: the tag"),
    "set": (("model: model", "model: !!set {a, b}"), "model.a: unknown key"),
    "path of 300 letters": (
        ("  type: fake\nloss", f"  type: fake\n  file: {'a' * 300}\nloss"),
        f"source.file: '{'a' * 60}' cannot be a path: File name too long",
    ),
    "path of 3000 folders": (
        ("  type: fake\nloss", f"  type: fake\n  file: {'a/' * 3000}x\nloss"),
        "cannot be a path: File name too long",
    ),
    "path of an unknown user": (
        ("  type: fake\nloss", "  type: fake\n  file: ~nosuchuser/x\nloss"),
        "source.file: '~nosuchuser/x' cannot be a path: Could not determine home directory",
    ),
    "model of 300 letters": (("model: model", f"model: {'a' * 300}"), "r.yaml:1:8: model: "),
    "model of an unknown user": (("model: model", "model: ~nosuchuser/x"), "r.yaml:1:8: model: ~nosuchuser/x"),
    "plugin of 300 letters": (("[fakes.py]", f"[{'a' * 300}.py]"), "aaa.py: File name too long"),
    "nothing to do": (None, "model: model\nplugins: [fakes.py]\nsource: fake\n", "nothing to do"),
    "deployer listed twice": (
        ("evaluator: fake", "deployer: [{type: fake, at: a}, {type: fake, at: a}]"),
        "deployer.1: the same 'fake' is listed twice",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_recipe_is_refused_with_its_place_and_what_to_do(project, name):
    change, *texts = WRONG[name]
    recipe = GOOD.replace(*change) if change else texts[0]
    assert recipe != GOOD
    project.write("model/config.json", "{}")
    project.write("r.yaml", recipe)
    before = sorted(project.folder.rglob("*"))
    refused = project.run("run", "r.yaml", "--offline")
    assert refused.code == 2
    assert texts[-1] in refused.err
    assert "Traceback" not in refused.err
    made = set(project.folder.rglob("*")) - set(before) - {project.folder / "__pycache__"}
    assert not [path for path in made if "__pycache__" not in path.parts], "nothing is left behind"


WRONG_WORDS = {
    "no such recipe": (["run", "nope.yaml"], "nope.yaml: no such file"),
    "near recipe": (["run", "r.yml"], "did you mean 'r.yaml'?"),
    "no shipped recipe": (["quickstrat"], "no shipped recipe of that name; did you mean 'quickstart'?"),
    "a folder": (["run", "./model"], "is a folder"),
    "set without value": (["run", "r.yaml", "--set", "epochs"], "must be KEY=VALUE"),
    "set unknown key": (
        ["run", "r.yaml", "--set", "trainer.epochz=1"],
        "--set trainer.epochz: trainer.epochz: unknown key",
    ),
    "set wrong type": (["run", "r.yaml", "--set", "trainer.epochs=x"], "--set trainer.epochs: trainer.epochs: "),
    "set into a value": (["run", "r.yaml", "--set", "seed.x.y=1"], "--set seed.x.y: seed"),
    "set beyond a list": (["run", "r.yaml", "--set", "plugins.7=a.py"], "there is no 'plugins.7'"),
    "set a strange digit": (["run", "r.yaml", "--set", "trainer.²=1"], "unknown key"),
    "set a missing plugin": (["check", "r.yaml", "--set", "plugins=[nothere.py]"], "no such file"),
    "not a torch device": (["run", "r.yaml", "--device", "foo"], "is not a torch device"),
    "set bad yaml": (["run", "r.yaml", "--set", "trainer.epochs=[1"], "--set trainer.epochs: "),
    "no such run": (["show", "nothing"], "no run here"),
    "no such stage": (["plugins", "tripletz"], "no such stage"),
    "no such recipe to copy": (["recipes", "quickstrat"], "did you mean 'quickstart'?"),
    "init over a file": (["init", "r.yaml"], "exists already"),
    "unwritable runs": (["run", "r.yaml", "--runs", "fakes.py/x"], "choose another folder with --runs"),
    "unwritable store": (["run", "r.yaml", "--store", "fakes.py/x"], "choose another folder with --store"),
    "set to bytes that are not UTF-8": (["run", "r.yaml", "--set", "description=caf\udce9"], "not UTF-8"),
    "set a key that is not UTF-8": (["run", "r.yaml", "--set", "caf\udce9=1"], "not UTF-8"),
    "set to a NUL": (["run", "r.yaml", "--set", "source.file=a\0b"], "--set source.file: holds a NUL"),
    "recipe of 300 letters": (["run", "a" * 300], "aaa: File name too long"),
    "recipe file of 300 letters": (["run", "a" * 300 + ".yaml"], "File name too long"),
    "run of 300 letters": (["show", "a" * 300], "File name too long"),
    "runs in 300 letters": (["run", "r.yaml", "--runs", "a" * 300], "File name too long"),
    "store in 300 letters": (["run", "r.yaml", "--store", "a" * 300], "File name too long"),
    "steering characters": (["run", "\x1b[2Jnope.yaml"], "\\x1b[2Jnope.yaml: no such file"),
    "unknown option": (["run", "r.yaml", "--frobnicate"], "unrecognized arguments"),
    "unknown runtime": (["run", "r.yaml", "--on", "moon"], "--set runtime.type: runtime: there is no runtime 'moon'"),
}


@pytest.mark.parametrize("name", WRONG_WORDS)
def test_a_wrong_command_line_is_refused_with_what_to_do(project, name):
    words, message = WRONG_WORDS[name]
    project.write("model/config.json", "{}")
    project.write("r.yaml", GOOD)
    refused = project.run(*words)
    assert refused.code in (1, 2)
    assert message in refused.err
    assert "Traceback" not in refused.err


def test_every_problem_is_reported_at_once(project):
    project.write("r.yaml", GOOD.replace("epochs: 2", "epochz: 2\n  wait: soon").replace("loss: fake", "loss: fak"))
    lines = project.run("check", "r.yaml").err.strip().splitlines()
    assert len(lines) == 3


def test_yaml_is_read_as_1_2(project):
    project.write("model/config.json", "{}")
    project.write("r.yaml", GOOD.replace("loss: fake", "loss: {type: fake, temperature: 2e-5}\ndescription: no"))
    assert project.run("check", "r.yaml").code == 0


def test_changing_a_type_on_the_command_line_drops_the_keys_of_the_old_one(project):
    project.write("model/config.json", "{}")
    project.write("r.yaml", GOOD.replace("loss: fake", "loss: {type: fake, temperature: 1}"))
    assert (
        project.run("check", "r.yaml", "--set", "loss.type=hungry", "--set", "source.holds=[positive, negative]").code
        == 0
    )


def test_a_recipe_of_json_with_an_emoji_is_kept_as_it_is(project):
    """`json.dumps` writes one as two escapes."""
    project.write("model/config.json", "{}")
    recipe = {
        "model": "model",
        "plugins": ["fakes.py"],
        "source": "fake",
        "evaluator": "fake",
        "description": "\U0001f600",
    }
    project.write("r.json", json.dumps(recipe))
    assert project.run("run", "r.json", "--offline", "--until", "source").code == 0
    (lock,) = project.folder.glob("runs/r/*/recipe.lock.json")
    assert "\U0001f600" in lock.read_text("utf-8")


def test_no_words_of_a_recipe_steer_the_terminal(project):
    project.write("r.yaml", 'model: "x\\e]0;hijacked\\a"\nsource: "\\u202egnp"\n')
    refused = project.run("check", "r.yaml")
    assert "\x1b" not in refused.err + refused.out
    assert "\u202e" not in refused.err + refused.out
    assert "there is no source '\\u202egnp'" in refused.err


def test_a_byte_order_mark_does_no_harm(project):
    project.write("model/config.json", "{}")
    project.write("r.yaml", "\ufeff" + GOOD)
    assert project.run("check", "r.yaml").code == 0


def test_a_recipe_that_is_not_utf8_is_refused(project):
    (project.folder / "r.yaml").write_bytes(GOOD.encode() + "description: Größe".encode("latin-1"))
    refused = project.run("check", "r.yaml")
    assert refused.code == 2
    assert "not UTF-8" in refused.err


def test_paths_in_a_recipe_are_meant_from_its_folder_and_on_the_command_line_from_here(project):
    project.write("model/config.json", "{}")
    project.write("deep/r.yaml", GOOD.replace("[fakes.py]", "[../fakes.py]").replace("model: model", "model: ../model"))
    project.write("deep/data.txt", "deep")
    project.write("data.txt", "here")
    text = (
        (project.folder / "deep/r.yaml")
        .read_text()
        .replace("  type: fake\nloss", "  type: fake\n  file: data.txt\nloss")
    )
    project.write("deep/r.yaml", text)

    def extra(*words):
        done = project.run("deep/r.yaml", "--json", *words)
        key = done.json["stages"][0]["key"]
        return (project.folder / "runs/.store" / key[:2] / key / "out/extra.txt").read_text()

    assert extra() == "deep"
    assert extra("--set", "source.file=data.txt") == "here"


def test_the_folds_of_a_folded_text_are_spaces(project):
    path = project.write("r.yaml", GOOD + "description: >-\n  one\n  two\n")
    assert yamlfile.read(path).data["description"] == "one two"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("query: ", "query: "), ("a #b", "a #b"), ('"query: "', "query: "), ("''", ""), ("no", "no"), ("- x", "- x")],
)
def test_text_on_the_command_line_is_kept_as_it_is(given, meant):
    document = yamlfile.parse("model: m", "r.yaml")
    override(document, {"model.prompts.query": given})
    assert document.data == {"model": {"id": "m", "prompts": {"query": meant}}}


@pytest.mark.parametrize(
    ("given", "meant"), [("2e-5", 2e-5), ("3", 3), ("true", True), ("null", None), ("[1, a]", [1, "a"])]
)
def test_values_on_the_command_line_are_read_as_yaml(given, meant):
    document = yamlfile.parse("model: m", "r.yaml")
    override(document, {"seed": given})
    assert document.data["seed"] == meant
