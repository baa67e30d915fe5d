"""The deployer `directory` writes a folder, and touches none that it did not make."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from sentence_transformers.sentence_transformer.modules import Pooling

from embedrun.artifacts import Model
from embedrun.context import Context, RunRef
from embedrun.errors import UserError
from embedrun_plugins.stages.deployers.directory import Directory


@pytest.fixture
def model(small: Callable[..., Path]) -> Model:
    return Model(small(Pooling(32, "mean")))


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Context(out=tmp_path / "out", state=tmp_path / "state")


def test_a_path_is_relative_to_the_current_directory_and_may_be_deep(ctx: Context, model: Model) -> None:
    endpoint = Directory(path=Path("deep/er/model")).run(ctx, model)
    assert endpoint.path == str(Path.cwd() / "deep/er/model")
    assert Model(Path("deep/er/model")).load("cpu").encode(["hello"]).shape == (1, 32)
    assert [file.name for file in Path("deep/er").iterdir()] == ["model"]


def test_an_earlier_export_is_replaced_and_deleted(ctx: Context, model: Model) -> None:
    deployer = Directory(path=Path("model"))
    deployer.run(ctx, model)
    Path("model/left.txt").write_text("from before")
    endpoint = deployer.run(ctx, model)
    assert not Path("model/left.txt").exists()
    deployer.delete(endpoint)
    assert list(Path.cwd().iterdir()) == []
    deployer.delete(endpoint)


def test_a_folder_that_is_not_an_export_is_left_alone(ctx: Context, model: Model) -> None:
    deployer = Directory(path=Path("mine"))
    endpoint = deployer.run(ctx, model)
    Path("mine/.embedrun-export.json").unlink()
    with pytest.raises(UserError, match="was not made by this deployer"):
        deployer.run(ctx, model)
    with pytest.raises(UserError, match="was not made by this deployer"):
        deployer.delete(endpoint)
    assert Path("mine/model.safetensors").exists()


def test_a_file_in_the_way_is_left_alone(ctx: Context, model: Model) -> None:
    Path("model").write_text("mine")
    with pytest.raises(UserError, match="was not made by this deployer"):
        Directory(path=Path("model")).run(ctx, model)
    with pytest.raises(UserError, match="cannot be written"):
        Directory(path=Path("model/below")).run(ctx, model)
    assert Path("model").read_text() == "mine"


def test_a_model_that_the_target_cannot_serve_leaves_nothing_behind(ctx: Context, small: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="cannot be exported for TEI"):
        Directory(path=Path("model"), target="tei").run(ctx, Model(small(Pooling(32, "max"))))
    assert list(Path.cwd().iterdir()) == []


def of_run(ctx: Context, name: str) -> Context:
    """Return a context in a run's folder."""
    folder = ctx.out.parent / "runs" / "demo" / name
    out = folder / "deployments" / "directory" / "out"
    out.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    return dataclasses.replace(ctx, out=out, run=RunRef(folder))


def test_an_export_that_a_later_run_replaced_is_that_runs(
    ctx: Context, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    deployer = Directory(path=Path("model"))
    old = deployer.run(of_run(ctx, "1"), model)
    new = deployer.run(of_run(ctx, "2"), model)
    deployer.delete(old)
    assert "now holds the export of another run (demo/2)" in caplog.text
    assert Path("model/model.safetensors").exists()
    deployer.delete(new)
    assert not Path("model").exists()


def test_a_path_that_cannot_be_written_is_a_fault_before_training(ctx: Context) -> None:
    assert ctx.out.parent == Path.cwd().parent
    for path in (".", "..", str(Path.cwd())):
        (fault,) = Directory(path=Path(path)).faults()
        assert "is the current folder, or holds it" in fault
    Path("mine").mkdir()
    assert list(Directory(path=Path("mine")).faults()) == []
    Path("mine/file").touch()
    (fault,) = Directory(path=Path("mine")).faults()
    assert "was not made by this deployer" in fault
    assert list(Directory(path=Path("new")).faults()) == []


def test_what_tei_cannot_serve_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5", "n_positions": 512}')
    reasons = list(Directory(path=tmp_path / "export", target="tei").refuses(Model(tmp_path)))
    assert reasons[0].startswith("target: TEI 1.9 has no 't5' models")
    assert not list(Directory(path=tmp_path / "export").refuses(Model(tmp_path)))
