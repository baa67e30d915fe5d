"""Fine-tuning gives a complete model, the same one every time, and says what it did."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context
from embedrun.errors import MissingPackageError, StageError, UserError
from embedrun.hashing import file_digest, folder_files
from embedrun.model_settings import ModelSettings, Prompts
from embedrun.testing import check_stage, small_set
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.losses.triplets import BatchHardTriplet
from embedrun_plugins.stages.trainers.dropout import set_dropout
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer
from embedrun_plugins.stages.trainers.training_options import Lora

FAST = {"batch_size": 4, "epochs": 2, "logging_steps": 1, "save_strategy": "no"}
PROMPTS = Prompts(query="where ", document="room ")


class Rising:
    """An evaluator whose score rises until its third call."""

    def __init__(self, scores=(0.1, 0.4, 0.3)):
        self.scores = list(scores)
        self.splits = []

    def score(self, model, data, split):
        assert data.path.exists()
        assert model.get_embedding_dimension() == 32
        self.splits.append(split)
        return {"ndcg@10": self.scores[len(self.splits) - 1]}


@pytest.fixture
def fit(tmp_path, ranked, tiny):
    def run(name="run", loss=None, data=ranked, model=tiny, dev=None, seed=42, **options):
        out = tmp_path / name / "out"
        out.mkdir(parents=True)
        told = {"notes": {}, "warnings": [], "events": [], "progress": []}
        ctx = Context(
            out=out,
            state=tmp_path / name / "state",
            seed=seed,
            device="cpu",
            on_note=told["notes"].__setitem__,
            on_warning=told["warnings"].append,
            on_event=lambda event, values: told["events"].append((event, dict(values))),
            on_progress=lambda *given: told["progress"].append(given),
        )
        trained = SentenceTransformersTrainer(**{**FAST, **options}).run(
            ctx, data, model, loss or MultipleNegativesRanking(), dev
        )
        return trained, told

    return run


def weights(model: Model) -> str:
    return file_digest(model.path / "model.safetensors")


def history(model: Model) -> list:
    return json.loads((model.path / "training_history.json").read_text("utf-8"))["log"]


def test_it_keeps_the_contract_of_a_stage(tmp_path):
    check_stage(SentenceTransformersTrainer(epochs=1, batch_size=4), tmp_path)


def test_equal_trainings_give_equal_files_without_a_path_of_this_machine(fit, tmp_path):
    (first, _), (second, _) = fit("first"), fit("second")
    names = [name for name in folder_files(first.path) if not name.endswith(".safetensors")]
    assert {n: file_digest(first.path / n) for n in names} == {n: file_digest(second.path / n) for n in names}
    assert weights(first) == weights(second)
    for name in names:
        assert str(tmp_path.parent.parent) not in (first.path / name).read_text("utf-8")
    assert "README.md" not in names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth"))]


def test_another_seed_gives_other_weights(fit, tiny):
    (first, _), (second, _) = fit("first"), fit("second", seed=7)
    assert len({weights(first), weights(second), weights(tiny)}) == 3


def test_the_weights_are_those_of_a_plain_script(fit, ranked, tiny, tmp_path):
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    trained, _ = fit(learning_rate=1e-3, negatives_per_query=0, grouping="off")
    model = tiny.load("cpu")
    texts = [(ranked.queries[j.query_id].text, ranked.documents[j.document_id].text) for j in ranked.qrels("train")]
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path / "plain"),
        num_train_epochs=2,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        warmup_steps=0.1,
        batch_sampler="no_duplicates",
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
    )
    rows = Dataset.from_dict({"anchor": [a for a, _ in texts], "positive": [b for _, b in texts]})
    plain = SentenceTransformerTrainer(model, arguments, rows, loss=MultipleNegativesRankingLoss(model))
    plain.train()
    model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    assert weights(Model(tmp_path / "saved")) == weights(trained)


def test_it_says_what_it_does(fit):
    trained, told = fit()
    assert told["notes"] == {"rows": 10, "negatives per row": 1, "optimizer steps": 6}
    curve = [values for event, values in told["events"] if event == "log"]
    labels = ["training", *(f"training, loss {entry['loss']:.4g}" for entry in curve)]
    assert told["progress"] == [(label, step, 6) for step, label in enumerate(labels[:6], start=1)]
    assert [entry["step"] for entry in curve] == [1, 2, 3, 4, 5, 6]
    assert [entry["loss"] for entry in history(trained)] == [entry["loss"] for entry in curve]
    assert not told["warnings"]


def test_nothing_is_printed_and_libraries_logs_are_left_as_they_were(fit, capfd):
    before = logging.getLogger("transformers").handlers[:]
    capfd.readouterr()
    fit()
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    assert logging.getLogger("transformers").handlers == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_prompts_are_put_before_queries_and_documents(fit, tiny, monkeypatch):
    from sentence_transformers import SentenceTransformer

    seen = []
    tokenize = SentenceTransformer.preprocess

    def spy(self, inputs, prompt=None, **given):
        seen.append((inputs[0], prompt))
        return tokenize(self, inputs, prompt=prompt, **given)

    monkeypatch.setattr(SentenceTransformer, "preprocess", spy)
    trained, _ = fit(model=replace(tiny, settings=ModelSettings(prompts=PROMPTS)), max_steps=1)
    assert {prompt for text, prompt in seen if text.startswith("where is")} == {"where "}
    assert {prompt for text, prompt in seen if text.startswith("The ")} == {"room "}
    assert trained.load("cpu").prompts == {"query": "where ", "document": "room "}


def test_prompts_of_mixed_texts_are_put_before_each(fit, tiny, monkeypatch):
    from sentence_transformers import SentenceTransformer

    seen = set()
    tokenize = SentenceTransformer.preprocess

    def spy(self, inputs, **given):
        seen.update(inputs)
        return tokenize(self, inputs, **given)

    monkeypatch.setattr(SentenceTransformer, "preprocess", spy)
    fit(model=replace(tiny, settings=ModelSettings(prompts=PROMPTS)), loss=BatchHardTriplet())
    seen.discard("a")  # what a model is tried with when it is loaded
    assert seen
    assert all(text.startswith(("where where is", "room The")) for text in seen)


def test_prompts_change_what_is_learned(fit, tiny):
    (plain, _), (prompted, _) = fit("a"), fit("b", model=replace(tiny, settings=ModelSettings(prompts=PROMPTS)))
    assert weights(plain) != weights(prompted)


def test_the_result_is_the_best_checkpoint_by_the_evaluator(fit, tmp_path):
    best = {"load_best_model_at_end": True, "metric_for_best_model": "ndcg@10", "save_strategy": "epoch"}
    schedule = {"epochs": 3, "eval_strategy": "epoch", "lr_scheduler_type": "constant", "warmup_steps": 0}
    judge = Rising()
    chosen, told = fit("best", dev=judge, **best, **schedule)
    last, _ = fit("last", dev=Rising(), **{**schedule, "eval_strategy": "epoch"})
    second, _ = fit("second", dev=Rising(), **{**schedule, "epochs": 2})
    assert weights(chosen) == weights(second) != weights(last)
    assert told["notes"]["best step"] == 6
    assert judge.splits == ["dev"] * 3
    scores = [values["eval_ndcg@10"] for event, values in told["events"] if event == "evaluation"]
    assert scores == [0.1, 0.4, 0.3]
    kept = {path.name for path in (tmp_path / "best/state/checkpoints").glob("checkpoint-*")}
    assert kept == {"checkpoint-6", "checkpoint-9"}


def test_it_stops_early_when_scores_do_not_rise(fit):
    options = {"metric_for_best_model": "ndcg@10", "early_stopping_patience": 2, "eval_strategy": "epoch"}
    _, told = fit(dev=Rising([0.5, 0.4, 0.3, 0.9]), epochs=4, **options)
    assert told["notes"]["optimizer steps"] == 9


def test_without_an_evaluator_it_is_judged_by_its_loss(fit):
    trained, _ = fit(
        eval_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="loss", save_strategy="epoch"
    )
    assert len([entry for entry in history(trained) if "eval_loss" in entry]) == 2


def test_a_metric_that_the_evaluator_does_not_give_is_named(fit):
    with pytest.raises(UserError, match=r"there is no 'mrr@10' among the scores.*ndcg@10"):
        fit(
            dev=Rising(),
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            metric_for_best_model="mrr@10",
        )


@pytest.mark.slow
def test_matrices_beside_the_weights_end_up_in_them(fit, tiny):
    trained, _ = fit(lora=Lora(r=4), learning_rate=1e-2)
    code = (
        "import sys; sys.modules['peft'] = None\n"
        "from sentence_transformers import SentenceTransformer\n"
        f"model = SentenceTransformer({str(trained.path)!r}, device='cpu', local_files_only=True)\n"
        "print(*model.encode('where is the lamp').tolist())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    vector = torch.tensor([float(word) for word in shown.stdout.split()])
    names = [name for name, _ in trained.load("cpu").named_parameters()]
    assert names == [name for name, _ in tiny.load("cpu").named_parameters()]
    here = torch.from_numpy(trained.load("cpu").encode("where is the lamp", show_progress_bar=False))
    assert torch.allclose(vector, here, atol=1e-6)
    before = torch.from_numpy(tiny.load("cpu").encode("where is the lamp", show_progress_bar=False))
    assert not torch.allclose(vector, before, atol=1e-3)


def test_matrices_for_layers_that_do_not_exist_are_refused(fit):
    with pytest.raises(UserError, match=r"trainer\.lora: .*Target modules.*not found"):
        fit(lora=Lora(target_modules=("q_proj",)))


def test_a_missing_package_is_named_before_training(fit, monkeypatch):
    from embedrun_plugins.stages.trainers import sentence_transformers

    monkeypatch.setattr(sentence_transformers, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"embedrun\[lora\]"):
        fit("a", lora=Lora())
    with pytest.raises(MissingPackageError, match=r"embedrun\[tracking\]"):
        fit("b", report_to=["tensorboard"])
    with pytest.raises(UserError, match="'azure_ml' needs the package 'azureml'"):
        fit("c", report_to=["azure_ml"])


def test_options_reach_training(fit):
    (plain, _) = fit("plain")
    others = {
        "dropout": {"dropout": 0},
        "accumulation": {"gradient_accumulation_steps": 2},
        "schedule": {"lr_scheduler_type": "cosine", "warmup_steps": 2},
        "optimizer": {"optim": "sgd", "learning_rate": 0.1},
        "sampler": {"batch_sampler": "batch_sampler"},
        "negatives": {"negatives_per_query": 0},
        "by_name": {"learning_rate_mapping": {"pooler": 0.1, "layer.1": 1e-3}},
        "extra": {"extra": {"average_tokens_across_devices": False}, "weight_decay": 0.5},
        "bf16": {"bf16": True},
    }
    found = {name: weights(fit(name, **options)[0]) for name, options in others.items()}
    assert weights(plain) not in found.values()
    assert len(set(found.values())) == len(found)


def test_what_saves_memory_or_time_does_not_change_what_is_learned(fit):
    plain, _ = fit("plain")
    for name, options in {
        "checkpointing": {"gradient_checkpointing": True},
        "hashed": {"batch_sampler": "no_duplicates_hashed"},
        "saved": {"save_strategy": "epoch", "save_min_seconds": 0},
        "drawn": {"dataloader_num_workers": 1},
    }.items():
        assert weights(fit(name, **options)[0]) == weights(plain), name


def test_dropout_is_not_written_into_the_model(fit):
    trained, _ = fit(dropout=0)
    config = json.loads((trained.path / "config.json").read_text("utf-8"))
    assert config["hidden_dropout_prob"] == 0.1


def test_rows_that_cannot_teach_are_refused(fit, ranked, tmp_path):
    from embedrun.artifacts import Document, Judgement, Query

    with pytest.raises(UserError, match="a batch of 1 row holds no other passage"):
        fit("one", batch_size=1, negatives_per_query=0)
    with pytest.raises(UserError, match="10 rows fill no batch of 32"):
        fit("dropped", batch_size=32, dataloader_drop_last=True)
    query, document = Query.of("where?"), Document.of("here")
    pair = [Judgement(query.id, document.id)]
    alone = RetrievalSet.write(tmp_path / "one-row", documents=[document], queries=[query], qrels={"train": pair})
    with pytest.raises(UserError, match="one query or one document only"):
        fit("alone", data=alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extra": {"learnig_rate_decay": 1}}, r"trainer\.extra\.learnig_rate_decay: there is no such argument"),
        ({"tf32": True}, "trainer: --tf32 requires"),
        ({"optim": "adamw_8bit"}, r"trainer\.optim: .*bitsandbytes"),
    ],
)
def test_what_this_machine_cannot_do_is_said(fit, options, message):
    with pytest.raises(UserError, match=message):
        fit(**options)


def test_a_device_that_is_not_here_is_named(ranked, tiny, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    (tmp_path / "out").mkdir()
    ctx = Context(out=tmp_path / "out", state=tmp_path / "state", device="cuda")
    with pytest.raises(UserError, match="torch sees no CUDA device"):
        SentenceTransformersTrainer(**FAST).run(ctx, ranked, tiny, MultipleNegativesRanking(), None)


def test_weights_that_are_no_numbers_fail_the_training(fit, tmp_path):
    with pytest.raises(StageError, match="training diverged"):
        fit(learning_rate=1e38, optim="sgd", max_grad_norm=0)
    assert not list((tmp_path / "run/out").iterdir())


def test_sixteen_bit_weights_are_warned_of(fit, tiny):
    _, told = fit(model=replace(tiny, settings=ModelSettings(dtype="bfloat16")), max_steps=1)
    assert any("trained in 16 bits" in message for message in told["warnings"])


@pytest.fixture
def halved(tiny, tmp_path):
    """A function that stores the tiny model in a format of 16 bits."""

    def save(dtype: torch.dtype) -> Model:
        loaded = tiny.load("cpu").to(dtype)
        loaded.save_pretrained(str(tmp_path / "halved"), create_model_card=False)
        return Model(tmp_path / "halved")

    return save


def largest_change(before: Model, after: Model) -> float:
    old, new = (load_file(model.path / "model.safetensors") for model in (before, after))
    assert {name: tensor.dtype for name, tensor in old.items()} == {name: tensor.dtype for name, tensor in new.items()}
    return max(float((new[name].float() - old[name].float()).abs().max()) for name in old)


@pytest.mark.parametrize("lora", [None, {"r": 4}])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_checkpoint_of_sixteen_bits_is_trained_in_float32_and_saved_as_it_was(fit, halved, dtype, lora):
    model = halved(dtype)
    trained, told = fit(model=model, max_steps=6, learning_rate=1e-3, lora=lora)
    assert 0 < largest_change(model, trained) < 0.1
    assert not any("16 bits" in message for message in told["warnings"])
    if not lora:
        name = str(dtype).removeprefix("torch.")
        assert told["notes"]["weights"] == f"trained in float32, saved in {name} as before"


def test_dropout_kept_as_a_number_is_set_too():
    module = torch.nn.ModuleDict({"layer": torch.nn.Dropout(0.1), "attention": torch.nn.Linear(1, 1)})
    module["attention"].dropout = 0.1
    module["attention"].attention_dropout = 0.2
    module["attention"].eps = 0.3
    set_dropout(module, 0.0)
    attention = vars(module["attention"])
    assert module["layer"].p == 0
    assert (attention["dropout"], attention["attention_dropout"], attention["eps"]) == (0, 0, 0.3)


def test_tensorboard_gets_its_own_folder(fit, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    fit(report_to=["tensorboard"], logging_dir=str(tmp_path / "board"), max_steps=1)
    assert list((tmp_path / "board").iterdir())
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ


TOGETHER = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer
from embedrun_plugins.stages.trainers.sentence_transformers_run import SentenceTransformersTraining
data, model, folder = map(Path, sys.argv[1:])
trainer = SentenceTransformersTrainer(batch_size=2, epochs=4, save_min_seconds=0, learning_rate=1e-3, processes=2)

def train(name, stop):
    here = folder / name
    ctx = Context(out=here / "out", state=here / "state", device="cpu")
    steps = iter(range(1, 100))
    due = lambda: next(steps) >= stop
    loss = MultipleNegativesRanking()
    training = SentenceTransformersTraining(trainer, ctx, RetrievalSet(data), Model(model), loss, None)
    replace(training, stop_requested=due).run()

train("whole", 100)
for stop in (4, 5):  # there are two steps in an epoch: one stops at its end, one in its midst
    try:
        train(f"stopped-{stop}", stop)
    except KeyboardInterrupt:
        train(f"stopped-{stop}", 100)
"""


@pytest.mark.slow
def test_several_processes_train_together_one_saves_and_they_go_on_from_any_step(tmp_path, tiny):
    small_set(tmp_path / "data")
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    for name in ("whole", "stopped-4", "stopped-5"):
        (tmp_path / name / "out").mkdir(parents=True)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    given = [str(tmp_path / "data"), str(tiny.path), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *given], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    whole = weights(Model(tmp_path / "whole/out"))
    assert whole != weights(tiny)
    last = tmp_path / "whole/state/checkpoints/checkpoint-8"
    assert {"complete.json", "rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in last.iterdir()}
    assert weights(Model(tmp_path / "stopped-4/out")) == whole
    assert weights(Model(tmp_path / "stopped-5/out")) == whole


def test_the_real_model_learns(fit, minilm: Path):
    trained, _ = fit(model=Model(minilm), epochs=3, learning_rate=1e-4, dropout=0)
    curve = [entry["loss"] for entry in history(trained)]
    assert sum(curve[-3:]) < sum(curve[:3])
    assert trained.load("cpu").max_seq_length == Model(minilm).load("cpu").max_seq_length
