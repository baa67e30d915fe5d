"""The wheel holds the engine, the built-in stages, the recipes and the container files, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    program = "from hatchling.build import build_wheel; import sys; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_both_source_roots_and_the_shipped_files(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "embedrun/cli.py",
        "embedrun/py.typed",
        "embedrun/langchain.py",
        "embedrun/llama_index.pyi",
        "embedrun_plugins/__init__.py",
        "embedrun/_data/recipes/quickstart.yaml",
        "embedrun/_data/recipes/data/handbook.jsonl",
        "embedrun/_data/docker/Dockerfile",
        "embedrun_plugins/stages/sources/everyday_set/corpus.jsonl",
        "embedrun_plugins/stages/sources/everyday_set/qrels/test.tsv",
        "embedrun/_data/docker/constraints.txt",
        "embedrun/_data/SKILL.md",
    } <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"embedrun", "embedrun_plugins"}


def test_a_recipe_runs_from_the_wheel_alone(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = (
        "import sys, embedrun; assert embedrun.__file__.startswith(sys.path[0]), embedrun.__file__\n"
        "from embedrun.cli import main; sys.exit(main(['check', 'quickstart']))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{program}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "_data/recipes/quickstart.yaml: ok" in done.stdout


def test_every_requirement_is_pinned_and_no_index_is_named():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [need for needs in project["optional-dependencies"].values() for need in needs]
    for need in [*project["dependencies"], *extras]:
        name = need.split("[")[0].split(">")[0].split("=")[0].split("<")[0].lower().replace(".", "-").replace("_", "-")
        assert name in pins or name == "embedrun", need
    assert pins["torch"] == "2.13.0"
    assert not [line for line in lines if "://" in line or line.startswith("-")]


@pytest.mark.parametrize(
    ("client", "needed"),
    [("fastembed 0.9.1", ">=0.20,<2.0"), ("langchain-huggingface 1.2.3", ">=0.33.4,<2.0.0"), ("ours", "==2.4.0")],
)
def test_clients_of_the_hub_can_be_installed_beside_it(client, needed):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = next(Requirement(need) for need in project["dependencies"] if need.startswith("huggingface-hub"))
    beside = next(Requirement(need) for need in requires("transformers") or () if need.startswith("huggingface-hub"))
    needs = {client: SpecifierSet(needed), "transformers": beside.specifier, "embedrun": ours.specifier}
    assert [version for version in ("1.33.0", "2.4.0") if all(version in allowed for allowed in needs.values())]
