"""A model on a hub: what is pushed, with which card, and where the token goes. The hub is a stand-in on loopback."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from huggingface_hub import ModelCard
from pydantic import ValidationError
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, RunRef
from embedrun.errors import StageError, UserError
from embedrun.model_settings import ModelSettings, Prompts
from embedrun_plugins.stages.deployers.hub import HubDeployer
from embedrun_plugins.stages.deployers.hub_card import Card

TOKEN = "hf_" + "s3cr3t" * 6
COMMIT = "c0ffee" * 6 + "c0ff"
FIRST = "0" * 40
REPO = "someone/tuned"


@dataclass
class FakeHub:
    """What was asked of it, and what it holds."""

    url: str = ""
    storage: str = ""
    token: str = TOKEN
    repositories: dict[str, bool] = field(default_factory=dict)
    """Private or not, by id."""
    files: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=lambda: {"main": FIRST, "v1": COMMIT})
    """Branches' last commits."""
    branches: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    calls: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Address, method and path, and the Authorization header of each request."""
    broken: bool = False
    """Whether commits fail."""


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    place = "hub"

    def log_message(self, *_args: object) -> None:
        pass

    def handle_any(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.calls.append((self.place, f"{self.command} {path}", self.headers.get("Authorization")))
        if self.place == "storage":
            self.hub.stored[path.strip("/")] = body
            self.answer(200, {})
        elif self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.answer(401, {"error": "Invalid credentials"})
        else:
            self.answer(*self.reply(path, body))

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815  # the names that http.server asks for

    def reply(self, path: str, body: bytes) -> tuple[int, object]:  # noqa: C901, PLR0911  # one for each thing to ask
        hub, repositories = self.hub, self.hub.repositories
        match path.split("/")[1:]:
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                if name in repositories:
                    return 409, {"error": "You already created this model repo"}
                repositories[name] = asked.get("visibility") == "private"
                return 200, {"url": f"{hub.url}/{name}", "name": name}
            case ["api", "repos", "delete"]:
                asked = json.loads(body)
                return 200, repositories.pop(f"{asked['organization']}/{asked['name']}")
            case ["api", "models", owner, name] if f"{owner}/{name}" in repositories:
                return 200, {"id": f"{owner}/{name}", "private": repositories[f"{owner}/{name}"], "sha": COMMIT}
            case ["api", "models", _, _, "refs"]:
                heads = [{"name": b, "ref": f"refs/heads/{b}", "targetCommit": c} for b, c in hub.heads.items()]
                return 200, {"branches": heads, "converts": [], "tags": []}
            case ["api", "models", _, _, "commits", _]:
                commit = {"id": COMMIT, "title": "", "message": "", "date": "2026-01-01T00:00:00Z", "authors": []}
                return 200, [commit, {**commit, "id": FIRST}]
            case ["api", "validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case ["api", "models", _, _, "branch", branch]:
                hub.branches.append(branch)
                return 200, {}
            case ["api", "models", _, _, "preupload", _]:
                return 200, {"files": [self.mode(file["path"]) for file in json.loads(body)["files"]]}
            case [_, _, "info", "lfs", "objects", "batch"]:
                return 200, {"transfer": "basic", "objects": [self.slot(o) for o in json.loads(body)["objects"]]}
            case ["api", "models", _, _, "commit", _]:
                return self.commit(body)
        return 404, {"error": f"what is {path}?"}

    def mode(self, path: str) -> dict[str, object]:
        mode = "lfs" if path.endswith(".safetensors") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None}

    def slot(self, asked: dict[str, object]) -> dict[str, object]:
        return {**asked, "actions": {"upload": {"href": f"{self.hub.storage}/{asked['oid']}"}}}

    def commit(self, body: bytes) -> tuple[int, object]:
        if self.hub.broken:
            return 400, {"error": "the commit is refused"}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.hub.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.hub.files[value["path"]] = self.hub.stored[value["oid"]]
            else:
                self.hub.messages.append(value["summary"])
        url = f"{self.hub.url}/{REPO}/commit/{COMMIT}"
        return 200, {"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""}

    def answer(self, status: int, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(hub: FakeHub, place: str) -> Iterator[str]:
    handler = type("Handler", (Handler,), {"hub": hub, "place": place})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[FakeHub]:
    """A hub, and the storage of large files that it points to, which is another host."""
    fake = FakeHub()
    with ExitStack() as servers:
        fake.url = servers.enter_context(serving(fake, "hub"))
        fake.storage = servers.enter_context(serving(fake, "storage"))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", fake.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield fake


METRICS = {"ndcg@10": 0.8711, "dim_16_ndcg@10": 0.8344}
BASES = {"ndcg@10": 0.8110, "dim_16_ndcg@10": 0.7619}


def a_run(tmp_path: Path) -> Path:
    """Write a run's folder as far as a deployer finds it; returns the deployment's `ctx.out`."""
    folder = tmp_path / "runs" / "demo" / "2026"
    out = folder / "deployments" / "hub" / "out"
    out.mkdir(parents=True)
    rows = [
        {
            "metric": metric,
            "role": "tuned",
            "base": BASES[metric],
            "model": value,
            "difference": value - BASES[metric],
            "low": 0.03,
            "high": 0.1,
            "verdict": "better",
            "queries": 87,
            "detectable": 0.05,
            "won": 17,
            "lost": 1,
            "tied": 69,
        }
        for metric, value in METRICS.items()
    ]
    record = {
        "name": "demo",
        "started": "2026-01-01T00:00:00+00:00",
        "status": "running",
        "store": "../../.store",
        "stages": [],
        "scores": {"information_retrieval": {"base": BASES, "tuned": METRICS}},
        "headlines": {"information_retrieval": list(METRICS)},
        "comparisons": {"information_retrieval": rows},
    }
    lock = {
        "model": {"id": "BAAI/bge-base-en-v1.5", "dimensions": None},
        "source": {"type": "hub", "dataset": "someone/questions"},
        "loss": {"type": "matryoshka", "inner": {"type": "multiple_negatives_ranking"}},
        "evaluator": [{"type": "information_retrieval", "split": "test"}],
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "recipe.lock.json").write_text(json.dumps({"lock": {"recipe": lock}}))
    (folder / "recipe.yaml").write_text("name: demo  # ``` a fence\n")
    (folder / "log.jsonl").write_text('{"event": "log", "loss": 1.0}\n')
    return out


@pytest.fixture
def model(small: Callable[..., Path]) -> Model:
    return Model(small(Pooling(32, "cls"), Normalize()), ModelSettings(prompts=Prompts(query="query: ")))


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    out = a_run(tmp_path)
    return Context(out=out, state=out, run=RunRef(out.parents[2]))


def test_a_push_holds_model_card_and_logs_and_leaves_the_token_with_the_hub(hub, model, ctx, tmp_path):
    (model.path / "training_history.json").write_text('{"log": []}')
    deployer = HubDeployer(repo_id=REPO, license="apache-2.0", language="en", revision="v1")
    endpoint = deployer.run(ctx, model)

    assert endpoint.url == f"{hub.url}/{REPO}"
    assert endpoint.details == {"repo_id": REPO, "commit": COMMIT, "created": True}
    assert hub.repositories == {REPO: True}
    assert hub.branches == ["v1"]
    assert hub.messages == ["embedrun: demo"]
    assert {"embedrun/recipe.yaml", "embedrun/log.jsonl", "embedrun/training_history.json"} < hub.files.keys()
    for name, content in hub.files.items():
        file = tmp_path / "pulled" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    pulled = SentenceTransformer(str(tmp_path / "pulled"), device="cpu")
    assert pulled.prompts["query"] == "query: "
    own = model.load("cpu").encode_query(["a question"])
    assert (pulled.encode_query(["a question"]) - own).max() < 1e-6

    told = {(place, header) for place, _, header in hub.calls if header is not None}
    assert told == {("hub", f"Bearer {TOKEN}")}
    assert [place for place, _, _ in hub.calls].count("storage") == 1
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert TOKEN.encode() not in kept + endpoint.model_dump_json().encode() + b"".join(hub.files.values())
    assert list(ctx.out.iterdir()) == []

    deployer.delete(endpoint)
    assert hub.repositories == {}


def test_the_card_shows_scores_prompts_and_recipe_and_its_metadata_can_be_read(hub, model, ctx):
    HubDeployer(repo_id=REPO, license="apache-2.0").run(ctx, model)
    text = hub.files["README.md"].decode()
    card = ModelCard(text)
    assert card.data.base_model is None  # the stand-in run trained nothing
    assert card.data.datasets == "someone/questions"
    assert {"sentence-transformers", "embedrun"} <= set(card.data.tags)
    results = {(result.dataset_name, result.metric_type): result.metric_value for result in card.data.eval_results}
    assert results["demo (test split)", "ndcg@10"] == 0.8711
    assert results["demo (test split), 16 dimensions", "ndcg@10"] == 0.8344
    assert "Tuned is better than base: nDCG@10 at full size is 0.871 against 0.811" in text
    assert "| nDCG@10 at 16 | 0.7619 | 0.8344 | +0.0725 | +0.030 to +0.100 | better |" in text
    assert 'before each query: ` "query: " `' in text
    assert f'SentenceTransformer("{REPO}", truncate_dim=16)' in text
    assert "````yaml\nname: demo  # ``` a fence\n````" in text


def test_a_card_can_be_written_of_a_model_that_was_not_scored_at_several_sizes(tmp_path):
    written = Card(REPO, tmp_path, None, None, ()).text()
    assert f'SentenceTransformer("{REPO}")' in written
    assert "truncate_dim" not in written


def test_a_repository_that_was_there_is_kept_and_a_public_one_is_not_pushed_to_by_accident(hub, model, ctx):
    hub.repositories[REPO] = False
    with pytest.raises(UserError, match=r"is there already, and public; set deployer\.private to false"):
        HubDeployer(repo_id=REPO).run(ctx, model)
    assert hub.files == {}

    deployer = HubDeployer(repo_id=REPO, private=False, card=False, commit_message="Second try")
    endpoint = deployer.run(ctx, model)
    assert hub.messages == ["Second try"]
    assert "README.md" not in hub.files
    deployer.delete(endpoint)
    assert hub.repositories == {REPO: False}


def test_a_push_that_fails_leaves_no_repository(hub, model, ctx):
    hub.broken = True
    with pytest.raises(StageError, match="the commit is refused"):
        HubDeployer(repo_id=REPO).run(ctx, model)
    assert hub.repositories == {}
    assert list(ctx.out.iterdir()) == []


def test_a_refused_token_is_told_without_showing_it(hub, model, ctx):
    hub.token = "another"
    with pytest.raises(UserError, match="the hub refuses the token") as told:
        HubDeployer(repo_id=REPO).run(ctx, model)
    assert TOKEN not in str(told.value)


@pytest.mark.parametrize("branch", ["main", "v1", "other"])
def test_a_repository_that_was_pushed_to_since_is_left_alone(hub, branch):
    hub.repositories[REPO] = True
    made = Endpoint(deployer="hub", details={"repo_id": REPO, "commit": COMMIT, "created": True})
    hub.heads[branch] = "b" * 40
    with pytest.raises(UserError, match="was pushed to after this run, so it is not deleted"):
        HubDeployer(repo_id=REPO).delete(made)
    assert hub.repositories == {REPO: True}
    hub.repositories.clear()
    HubDeployer(repo_id=REPO).delete(made)


def test_deleting_asks_nothing_of_the_hub_where_the_run_made_nothing(hub):
    HubDeployer(repo_id=REPO).delete(Endpoint(deployer="hub", details={"repo_id": REPO, "created": False}))
    assert hub.calls == []


def test_a_missing_token_is_missed_before_training(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_TOKEN_PATH", raising=False)
    (fault,) = HubDeployer(repo_id=REPO).faults()
    assert "HF_TOKEN is not set" in fault
    with pytest.raises(UserError, match="HF_TOKEN is not set"):
        HubDeployer(repo_id=REPO).delete(Endpoint(deployer="hub", details={"created": True}))

    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert list(HubDeployer(repo_id=REPO).faults()) == []
    (fault,) = HubDeployer(repo_id=REPO, token_env="WORK_TOKEN").faults()
    assert "WORK_TOKEN" in fault


def test_a_token_in_the_recipe_is_refused_without_showing_it():
    with pytest.raises(ValidationError, match="not the token itself"):
        HubDeployer(repo_id=REPO, token_env=TOKEN)


def test_the_fake_hub_keeps_large_files_by_their_digest(hub, model, ctx):
    HubDeployer(repo_id=REPO).run(ctx, model)
    assert all(hashlib.sha256(content).hexdigest() == oid for oid, content in hub.stored.items())
    assert hub.stored
