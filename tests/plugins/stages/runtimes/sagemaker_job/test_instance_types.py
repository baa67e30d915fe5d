"""Training processes and the machines that share them."""

from __future__ import annotations

from typing import Any

import pytest

from embedrun.errors import UserError
from embedrun_plugins.stages.runtimes.sagemaker_job import instance_types
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer
from fakes import FakeTrainer


@pytest.mark.parametrize(
    ("instance_type", "count"),
    [
        ("ml.m5.xlarge", 0),
        ("ml.g5.xlarge", 1),
        ("ml.g5.16xlarge", 1),
        ("ml.g5.12xlarge", 4),
        ("ml.g6e.48xlarge", 8),
        ("ml.p4d.24xlarge", 8),
        ("ml.p5.4xlarge", 1),
        ("ml.p6-b200.48xlarge", 8),
        ("ml.p9.96xlarge", None),
    ],
)
def test_gpus_of_a_machine(instance_type, count):
    assert instance_types.gpus(instance_type) == count


@pytest.mark.parametrize(
    ("instance_type", "takes_no_key"),
    [("ml.m5.xlarge", False), ("ml.p3.2xlarge", False), ("ml.g5.xlarge", True), ("ml.m5d.large", True)],
)
def test_machines_whose_volume_is_their_own_disk(instance_type, takes_no_key):
    assert instance_types.has_own_disks(instance_type) is takes_no_key


def trainer(processes: int) -> Any:
    return SentenceTransformersTrainer.model_validate({"type": "sentence_transformers", "processes": processes})


@pytest.mark.parametrize(
    ("processes", "instance_type", "instances"),
    [
        (1, "ml.g5.xlarge", 1),
        (2, "ml.m5.xlarge", 1),
        (4, "ml.g5.12xlarge", 1),
        (16, "ml.p4d.24xlarge", 2),
        (3, "ml.g99.metal", 1),
    ],
)
def test_as_many_processes_as_gpus_are_taken_without_a_word(processes, instance_type, instances):
    assert instance_types.require(trainer(processes), instance_type, instances) is None


def test_gpus_that_would_stand_idle_are_told_of():
    said = instance_types.require(trainer(1), "ml.g5.12xlarge", 1)
    assert said == "1 of 4 GPUs will train; set trainer.processes to 4, one for each of 4 GPUs on each"


@pytest.mark.parametrize(
    ("given", "instance_type", "instances", "said"),
    [
        (trainer(3), "ml.m5.xlarge", 2, "2 machines cannot share 3 training processes; set trainer.processes to 2"),
        (trainer(2), "ml.g5.xlarge", 1, "2 training processes cannot share 1 GPUs; set trainer.processes to 1"),
        (FakeTrainer(), "ml.g5.xlarge", 2, "the trainer 'fake' trains on one machine only, and 2 are asked for"),
        (None, "ml.m5.xlarge", 2, "without a trainer, a recipe runs on one machine only"),
    ],
)
def test_what_machines_cannot_do_is_refused(given, instance_type, instances, said):
    with pytest.raises(UserError) as error:
        instance_types.require(given, instance_type, instances)
    assert said in str(error.value)


def test_one_machine_takes_any_trainer_and_none():
    assert instance_types.require(FakeTrainer(), "ml.m5.xlarge", 1) is None
    assert instance_types.require(None, "ml.g5.12xlarge", 1) is None
