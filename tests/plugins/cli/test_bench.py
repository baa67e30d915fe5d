"""`embedrun bench` measures what a run deployed, or a server by its address, and hides no error."""

import json
from pathlib import Path

import pytest

from embedrun.artifacts import Model
from embedrun_plugins.models.serving.limits import ServerLimits
from loopback import recording, serving

RECIPE = """
name: measured
model: sentence-transformers/all-MiniLM-L6-v2
source: {type: pairs, path: pairs.jsonl}
deployer:
  type: local
  port: 0
  latency: {concurrency: [1, 4], seconds: 0.5, warm_up: 0.1}
"""
QUICK = ("--seconds", "0.4", "--warm-up", "0.1")


def test_a_run_is_measured_when_it_deploys_and_again_by_its_name(project, minilm: Path) -> None:
    project.write(
        "pairs.jsonl", '{"anchor": "who is she?", "positive": "She."}\n{"anchor": "he?", "positive": "He."}\n'
    )
    project.write("measured.yaml", RECIPE)
    made = project.run("run", "measured.yaml")
    assert made.code == 0, made.err
    try:
        folder = next(project.folder.glob("runs/measured/*"))
        (stage,) = (s for s in json.loads((folder / "run.json").read_text())["stages"] if s["slot"] == "deployer.local")
        levels = stage["notes"]["latency"]
        assert [level["concurrency"] for level in levels] == [1, 4]
        for level in levels:
            assert level["requests"] > 0
            assert level["errors"] == {}
            assert 0 < level["p50_ms"] <= level["p95_ms"] <= level["p99_ms"]
            assert level["tokens_per_second"] > level["requests_per_second"] > 0
        page = (folder / "report.html").read_text()
        assert "Latency and throughput" in page
        assert "No request failed." in page
        outcome = project.run("bench", "measured", "--concurrency", "1,2", *QUICK, "--json")
        assert outcome.code == 0
        (endpoint,) = outcome.json["endpoints"]
        assert endpoint["name"].startswith("local http://127.0.0.1:")
        assert [level["concurrency"] for level in endpoint["levels"]] == [1, 2]
        assert "p99 ms" in outcome.out
        assert project.run("bench", "measured", "--prompt-name", "query").code == 2
    finally:
        project.run("delete", "measured")
    outcome = project.run("bench", "measured")
    assert outcome.code == 2
    assert "deployed nothing that answers, or it was deleted; start a server with `embedrun serve" in outcome.err


def test_a_server_is_measured_by_its_address_with_its_key_and_its_tokens(project, minilm: Path, monkeypatch) -> None:
    monkeypatch.setenv("KEY_OF_THE_SERVER", "k3y")
    project.write("texts.txt", "one two three\n\nfour five six\n")
    with serving(Model(minilm), api_key="k3y") as url:
        options = ("--concurrency", "2", *QUICK, "--texts", "texts.txt", "--batch", "2", "--json")
        outcome = project.run("bench", url, "--api-key-env", "KEY_OF_THE_SERVER", *options)
        assert outcome.code == 0, outcome.err
        (level,) = outcome.json["endpoints"][0]["levels"]
        assert level["texts_per_second"] == pytest.approx(2 * level["requests_per_second"], rel=0.01)
        assert level["tokens_per_second"] == pytest.approx(10 * level["requests_per_second"], rel=0.01)
        refused = project.run("bench", url, *QUICK)
        assert refused.code == 2
        assert "does not accept the key, or requires one" in refused.err
        assert "k3y" not in outcome.out + outcome.err + refused.err


def test_errors_are_counted_by_kind_and_told(project) -> None:
    with recording() as recorder:
        recorder.statuses += [200] + [429] * 3 + [500]
        outcome = project.run("bench", recorder.url, "--concurrency", "2", "--seconds", "1", "--warm-up", "0", "--json")
        (level,) = outcome.json["endpoints"][0]["levels"]
        assert outcome.code == 0
        assert level["errors"] == {"429": 3, "500": 1}
        assert level["said"] == "429: said so"
        assert level["requests"] == len([path for path in recorder.paths if path == "/embed"]) - 5
        assert "3 x 429, 1 x 500" in outcome.out
        assert "error: 429: said so" in outcome.out


def test_an_overloaded_server_is_not_retried_into_looking_healthy(project, minilm: Path) -> None:
    with serving(Model(minilm), limits=ServerLimits(max_concurrent_requests=1)) as url:
        outcome = project.run("bench", url, "--concurrency", "8", *QUICK, "--json")
        (level,) = outcome.json["endpoints"][0]["levels"]
        assert level["errors"]["429"] > 0
        assert level["requests"] > 0


def test_nothing_that_answers_is_a_failure(project) -> None:
    outcome = project.run("bench", "http://127.0.0.1:9")
    assert outcome.code == 1
    assert "http://127.0.0.1:9: does not answer" in outcome.err
    with recording() as recorder:
        recorder.statuses += [200] + [503] * 10_000
        outcome = project.run("bench", recorder.url, "--concurrency", "1", *QUICK, "--json")
        assert outcome.code == 1
        assert outcome.json["endpoints"][0]["levels"][0]["requests"] == 0
        assert " -  " in outcome.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--concurrency", "1,x"), "'1,x' is not a list of numbers such as 1,8,64"),
        (("--concurrency", "0"), "--concurrency: must be at least 1"),
        (("--seconds", "0"), "--seconds: must be greater than 0"),
        (("--api-key-env", "sk-" + "s3cr3t"), "must be the name of an environment variable"),
    ],
)
def test_a_wrong_option_is_named(project, options: tuple[str, ...], said: str) -> None:
    outcome = project.run("bench", "http://127.0.0.1:9", *options)
    assert outcome.code == 2
    assert said in outcome.err
    assert "s3cr3t" not in outcome.err


def test_a_rehearsal_measures_for_a_moment_only(project, minilm: Path) -> None:
    rows = "".join(f'{{"anchor": "who is number {n}?", "positive": "She is number {n}."}}\n' for n in range(12))
    project.write("pairs.jsonl", rows)
    project.write("measured.yaml", RECIPE.replace("seconds: 0.5, warm_up: 0.1", "seconds: 600"))
    outcome = project.run("run", "measured.yaml", "--rehearse")
    assert outcome.code == 0, outcome.err
