"""What is imported when: core knows no plugin, and checking a recipe loads nothing heavy."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import tokenize
from importlib import import_module
from pathlib import Path

import pytest

import embedrun
from embedrun.registry import HEAVY

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "core/embedrun").glob("*.py"))


def every_imported_module(*words: str) -> set[str]:
    """Run a command in a fresh process and return the modules that it imported."""
    program = f"""
import sys
from embedrun.cli import main
try:
    main({list(words)!r})
except SystemExit:
    pass
print("MODULES", *sorted(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.splitlines()[-1].split()[1:])


def imported_modules(*words: str) -> set[str]:
    return {name.split(".")[0] for name in every_imported_module(*words)}


PYDANTIC = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}
HELP = {
    *("embedrun", "embedrun.cli", "embedrun.errors", "embedrun.hashing", "embedrun.hookspecs", "embedrun.installed"),
    *("embedrun.plugins", "embedrun_plugins", "embedrun_plugins.cli", "embedrun_plugins.stages"),
}
"""What `--help` loads: no stage, no command, no pydantic."""
CHECK = {
    *("cli", "stages.rules", "results.roles", "services.aws", "services.credentials", "services.openai"),
    *("models.model_faults", "models.model_files", "models.export", "models.local_copies", "models.publishers_prompts"),
    *("models.base_models", "models.hub_models", "services.shipped_recipes"),
} | {f"stages.{folder}" for folder in ("sources", "losses", "trainers", "evaluators", "texts", "rehearsal")}
"""Folders and modules of plugins that the quickstart's stages need, and what its commands need beside them."""
RUN = CHECK | {
    "models.cores",
    "models.local_copies",
    "services.pace",
    "services.plain_console",
    "services.machine",
    "results",
}
COMMANDS = {"check": {"arguments", "check"}, "run": {"arguments", "run", "console", "score_tables"}}


def surplus(loaded: set[str], command: str, allowed: set[str]) -> set[str]:
    """Return what was imported beyond what may be."""
    above = {name.rpartition(".")[0] for name in allowed}
    modules = {name.removeprefix("embedrun_plugins.") for name in loaded if name.startswith("embedrun_plugins.")}
    within = {name for name in modules if any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)}
    commands = {name.removeprefix("cli.") for name in modules if name.startswith("cli.")}
    outside = {name.split(".")[0] for name in loaded if not name.startswith("_")} - sys.stdlib_module_names
    return (
        (modules - within - above)
        | (commands - COMMANDS[command])
        | (outside - PYDANTIC - {"embedrun", "embedrun_plugins", "pluggy", "ruamel"})
    )


def test_help_imports_no_command_and_no_stage():
    loaded = every_imported_module("--help")
    assert {name for name in loaded if name.startswith("embedrun")} == HELP
    assert not {name.split(".")[0] for name in loaded} & (PYDANTIC | {"ruamel", "rich"})


def test_check_imports_the_stages_that_the_recipe_names_alone_and_the_tokenizer_that_counts_their_texts():
    counting = {"models.cut_texts", "models.tokenizer"}
    loaded = every_imported_module("check", "recipes/quickstart.yaml")
    assert surplus(loaded, "check", CHECK | counting) == {"tokenizers"}


def test_a_run_that_reuses_every_result_imports_what_check_does_and_the_report(tmp_path):
    words = ("run", "recipes/quickstart.yaml", "--until", "source", "--offline", "--runs", str(tmp_path))
    every_imported_module(*words)
    assert not surplus(every_imported_module(*words), "run", RUN)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["check", "recipes/quickstart.yaml"], ["schema"], ["plugins"], ["plugins", "matryoshka"], ["recipes"]],
    ids=" ".join,
)
def test_a_command_that_runs_no_stage_imports_nothing_heavy(words):
    loaded = imported_modules(*words)
    assert not loaded & (HEAVY | {"numpy", "pyarrow", "pandas", "huggingface_hub"})


def test_planning_imports_nothing_heavy(tmp_path):
    loaded = imported_modules("plan", "recipes/quickstart.yaml", "--runs", str(tmp_path), "--offline")
    assert not loaded & HEAVY


@pytest.fixture(scope="module")
def loaded_by() -> dict[str, set[str]]:
    """What importing each module of core loads, as if it were the first: its modules are forgotten before each."""
    names = ["embedrun" if path.stem == "__init__" else f"embedrun.{path.stem}" for path in CORE]
    names.remove("embedrun.__main__")
    program = f"""
import importlib, json, sys
loaded = {{}}
for name in {names!r}:
    for earlier in [module for module in sys.modules if module.split(".")[0] == "embedrun"]:
        del sys.modules[earlier]
    before = set(sys.modules)
    importlib.import_module(name)
    loaded[name] = sorted(set(sys.modules) - before)
print(json.dumps(loaded))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name: set(modules) for name, modules in json.loads(done.stdout).items()}


@pytest.mark.parametrize("module", CORE, ids=lambda path: path.stem)
def test_core_knows_no_plugin_and_loads_nothing_heavy_at_import(module, loaded_by):
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [name for name in names if name.split(".")[0] == "embedrun_plugins"]
    loaded = loaded_by.get(f"embedrun.{module.stem}", loaded_by["embedrun"])
    assert "embedrun" in loaded, "it was imported anew"
    assert not loaded & (HEAVY | {"numpy"})


def code_lines(source: str) -> int:
    """Count the lines that hold code: no blank lines, comments or docstrings."""
    prose: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for child in body if isinstance(body, list) else ():
            if (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            ):
                prose.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - prose)


def test_core_has_fewer_than_2500_lines_of_code():
    """Docstrings, comments and blank lines are not counted; with them it is half as long again."""
    assert sum(code_lines(path.read_text("utf-8")) for path in CORE) < 2500


def test_the_public_names_are_those_that_a_type_checker_sees():
    tree = ast.parse((ROOT / "core/embedrun/__init__.pyi").read_text("utf-8"))
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("embedrun.")
        for alias in node.names
    }
    (listed,) = (node for node in tree.body if isinstance(node, ast.Assign))
    assert embedrun.__all__ == sorted(seen) == ast.literal_eval(listed.value)
    for name, module in seen.items():
        assert getattr(embedrun, name) is getattr(import_module(module), name)
