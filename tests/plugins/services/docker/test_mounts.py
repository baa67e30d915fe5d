"""A container sees what a run reads and writes, at the same paths, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from embedrun.store import Store
from embedrun_plugins.services.docker.mounts import Bind, binds


@dataclass
class Job:
    """What is asked of a job."""

    inputs: list[Path]
    store: Store
    run_folder: Path
    more: list[Bind] = field(default_factory=list)

    def seen(self) -> dict[str, bool]:
        """Say of each path whether it can be written."""
        return {str(bind.at): bind.writable for bind in binds(self, [], self.more)}


def job(tmp_path: Path, *inputs: Path) -> Job:
    for name in ("store", "run"):
        (tmp_path / name).mkdir(exist_ok=True)
    return Job(list(inputs), Store(tmp_path / "store"), tmp_path / "run")


def test_inputs_are_read_and_the_store_and_the_run_are_written(tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text("{}")
    assert job(tmp_path, data).seen() == {str(data): False, str(tmp_path / "store"): True, str(tmp_path / "run"): True}


def test_a_file_in_a_folder_that_is_seen_is_not_mounted_again(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.pdf").write_text("a")
    seen = job(tmp_path, tmp_path / "data", tmp_path / "data" / "a.pdf").seen()
    assert str(tmp_path / "data" / "a.pdf") not in seen


def test_the_store_is_written_even_where_the_data_lies_around_it(tmp_path):
    seen = job(tmp_path, tmp_path).seen()
    assert seen[str(tmp_path)] is False
    assert seen[str(tmp_path / "store")] is True


def test_what_links_lead_to_is_seen_too(tmp_path):
    blob = tmp_path / "blobs" / "1234"
    blob.parent.mkdir()
    blob.write_text("weights")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to("../blobs/1234")
    assert job(tmp_path, tmp_path / "snapshot").seen()[str(blob)] is False


def test_a_mount_of_the_recipe_can_lie_elsewhere_and_be_written(tmp_path):
    wanted = job(tmp_path)
    wanted.more = [Bind(tmp_path / "logs", Path("/logs"), writable=True)]
    assert wanted.seen()["/logs"] is True


def test_what_this_machine_relies_on_afterwards_cannot_be_changed(tmp_path):
    wanted = job(tmp_path)
    (tmp_path / "run/recipe.lock.json").write_text("{}")
    (tmp_path / "run/plugins").mkdir()
    seen = wanted.seen()
    assert seen[str(tmp_path / "run")] is True
    assert seen[str(tmp_path / "run/recipe.lock.json")] is False
    assert seen[str(tmp_path / "run/plugins")] is False
