"""The workflows are valid, may do little, and run what is there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from embedrun.cli import main
from embedrun.yamlfile import read
from embedrun_plugins.services.shipped_recipes import recipes

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+(/[\w.-]+)+@(v\d+|release/v\d+|[0-9a-f]{40})")
PATH = re.compile(r"[\w.-]*[\w-]/?[\w.-]+\.(?:txt|toml|ya?ml|py|sh|json)\b")

every_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)


def jobs(file: Path) -> dict:
    return read(file).data["jobs"]


def steps(file: Path) -> list[dict]:
    return [step for job in jobs(file).values() for step in job.get("steps", ())]


def commands(file: Path) -> str:
    return "\n".join(step["run"] for step in steps(file) if "run" in step)


def test_there_are_workflows_for_changes_and_for_releases():
    assert {file.stem for file in WORKFLOWS} == {"ci", "release"}


@every_workflow
def test_a_workflow_is_valid_by_its_schema(file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@every_workflow
def test_a_workflow_may_read_unless_a_job_says_more(file):
    workflow = read(file).data
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"].startswith(f"{file.stem}-"), "one that calls another would wait for itself"
    written = {
        name for job in workflow["jobs"].values() for name, may in job.get("permissions", {}).items() if may == "write"
    }
    assert written <= {"id-token", "attestations", "packages"}


@every_workflow
def test_no_job_runs_for_hours_and_no_action_floats(file):
    for name, job in jobs(file).items():
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file(), name
        else:
            assert job["timeout-minutes"] <= 120, name
    used = [step["uses"] for step in steps(file) if "uses" in step]
    assert [action for action in used if not PINNED.fullmatch(action)] == []


@every_workflow
def test_no_credentials_stay_in_a_checkout_and_no_text_becomes_a_command(file):
    checkouts = [step for step in steps(file) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert "${{" not in commands(file)


@every_workflow
def test_what_a_step_runs_is_there(file, capsys):
    text = commands(file)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([\w-]+)", text)) <= targets
    with pytest.raises(SystemExit):
        main(["--help"])
    known = {*re.findall(r"^    ([\w-]+)(?: {2,}\S|$)", capsys.readouterr().out, re.MULTILINE), *recipes()}
    assert set(re.findall(r"(?:^|/|\s)embedrun ([\w-]+)", text, re.MULTILINE)) <= known
    assert [name for name in PATH.findall(text) if not (ROOT / name).exists()] == []


def test_what_is_cached_and_tested_follows_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    said = [name.rpartition(" ")[2] for name in project["classifiers"] if re.search(r":: 3\.\d+$", name)]
    ci = ROOT / ".github/workflows/ci.yml"
    assert jobs(ci)["test"]["strategy"]["matrix"]["python"] == said
    given = [step["with"] for step in steps(ci) if "with" in step]
    files = {value["cache-dependency-path"] for value in given if "cache-dependency-path" in value}
    assert all((ROOT / name).exists() for name in files)
    hashed = re.findall(r"hashFiles\('([^']+)'\)", ci.read_text("utf-8"))
    assert all((ROOT / name).exists() for name in hashed)
