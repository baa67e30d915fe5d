"""FlagEmbedding's runner gives a complete model, the same one every time, and leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedrun.artifacts import Document, Judgement, Model, Query, RetrievalSet
from embedrun.context import Context
from embedrun.errors import DataError, StageError, UserError
from embedrun.hashing import file_digest, folder_files
from embedrun.model_settings import ModelSettings, Prompts
from embedrun.testing import small_set, tiny_model
from embedrun_plugins.services.distributed import launch
from embedrun_plugins.services.distributed.parent_process import read_event, write_event
from embedrun_plugins.stages.losses.matryoshka import Matryoshka
from embedrun_plugins.stages.losses.ranking import InfoNce, MultipleNegativesRanking
from embedrun_plugins.stages.trainers import checkpoints
from embedrun_plugins.stages.trainers.flag import groups as material
from embedrun_plugins.stages.trainers.flag.groups import groups, has_teacher_scores, lines
from embedrun_plugins.stages.trainers.flag_embedding import FlagEmbedding
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer

PROMPTS = Prompts(query="where is {} : ", document="room ")
OPTIONS = {
    "batch_size": 4,
    "epochs": 3,
    "train_group_size": 3,
    "learning_rate": 1e-2,
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 1,
    "save_min_seconds": 0,
    "passage_max_length": 12,
}
KILLED = """
import json, os, signal, sys
from pathlib import Path
from embedrun import Context, Model, ModelSettings, RetrievalSet
from embedrun_plugins.stages.losses.ranking import InfoNce
from embedrun_plugins.stages.trainers.flag_embedding import FlagEmbedding

def progress(_, done, __):
    if done == 4:
        os.kill(os.getpid(), signal.SIGKILL)

folder, data, model = map(Path, sys.argv[1:4])
settings = ModelSettings.model_validate_json(sys.argv[4])
ctx = Context(folder / "out", folder / "state", seed=42, device="cpu", offline=True, on_progress=progress)
trainer = FlagEmbedding(**json.loads(sys.argv[5]))
trainer.run(ctx, RetrievalSet(data), Model(model, settings), InfoNce(temperature=0.02), None)
"""


def uneven(folder, *, scores=False) -> RetrievalSet:
    """Ten questions with four negatives each, but one with none and one with one; the first has two answers."""
    data = small_set(folder.with_name(f"{folder.name}-small"))
    documents, queries = list(data.documents.values()), list(data.queries.values())[:10]
    pairs = [Judgement(query.id, documents[n].id, 0.9 if scores else 1.0) for n, query in enumerate(queries)]
    pairs.append(Judgement(queries[0].id, documents[11].id, 0.7 if scores else 1.0))
    counts = [4] * 8 + [1, 0]
    negatives = [
        Judgement(query.id, documents[(n + k) % 10].id, 0.1 * k)
        for n, query in enumerate(queries)
        for k in range(1, counts[n] + 1)
    ]
    return RetrievalSet.write(folder, documents=documents, queries=queries, qrels={"train": pairs}, negatives=negatives)


def fit(folder, data, model, loss=None, at_step=None, seed=42, **options):
    """Train, and return the model and all that it told; `at_step` is called with every step."""
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    told = {"notes": {}, "warnings": [], "events": [], "steps": []}

    def progress(_, done, total):
        told["steps"].append((done, total))
        if at_step:
            at_step(done)

    ctx = Context(
        out=out,
        state=folder / "state",
        seed=seed,
        device="cpu",
        offline=True,
        on_note=told["notes"].__setitem__,
        on_warning=told["warnings"].append,
        on_progress=progress,
        on_event=lambda event, values: told["events"].append((event, dict(values))),
    )
    made = FlagEmbedding(**{**OPTIONS, **options}).run(ctx, data, model, loss or InfoNce(temperature=0.02), None)
    return made, told


def running(folder) -> list[int]:
    """Return the processes that were told something in a folder, after they had a moment to end."""
    for _ in range(50):
        found = [process.pid for process in psutil.process_iter(["cmdline"]) if _names(process, folder)]
        if not found:
            return []
        time.sleep(0.2)
    return found


def _names(process, folder):
    return any(str(folder) in word for word in process.info["cmdline"] or [])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> RetrievalSet:
    return uneven(tmp_path_factory.mktemp("uneven") / "data")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    """A model that pools its first token, with prompts that its own files do not name."""
    made = tiny_model(tmp_path_factory.mktemp("cls") / "model", pooling="cls")
    return replace(made, settings=ModelSettings(prompts=PROMPTS, max_length=48))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data, model):
    """One training, from start to end."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HF_TOKEN", "hf_secret")
        made, said = fit(folder, data, model)
    return made, said, folder


@pytest.mark.slow
def test_the_result_is_a_complete_model_with_the_base_models_contract(trained, model):
    made, _, folder = trained
    loaded, base = Model(made.path).load("cpu"), model.load("cpu")
    assert loaded.prompts == {"query": PROMPTS.query, "document": PROMPTS.document}
    assert [type(module).__name__ for module in loaded] == ["Transformer", "Pooling", "Normalize"]
    assert loaded[1].pooling_mode == "cls"
    assert loaded.max_seq_length == 48
    before, after = (list(each.state_dict().values()) for each in (base, loaded))
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    written = folder_files(made.path)
    assert not [name for name in written if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert not [name for name, path in written.items() if str(folder).encode() in path.read_bytes()]


def test_the_saved_model_makes_flagembeddings_own_vectors(trained):
    made, _, folder = trained
    job = json.loads((folder / "state/job.json").read_text("utf-8"))
    theirs, loaded = load_file(folder / "state/output/samples/vectors.safetensors"), Model(made.path).load("cpu")
    for role, encode in (("query", loaded.encode_query), ("document", loaded.encode_document)):
        own = torch.from_numpy(encode(job["samples"][role]))
        assert len(own) == 4
        torch.testing.assert_close(own, theirs[role], atol=1e-5, rtol=0)


def test_no_token_is_in_what_a_training_leaves(trained):
    _, _, folder = trained
    assert "Training/evaluation parameters" in (folder / "state/flag_embedding.log").read_text("utf-8")
    assert not [name for name, path in folder_files(folder).items() if b"hf_secret" in path.read_bytes()]


def test_it_says_what_it_did(trained):
    made, said, _ = trained
    notes = said["notes"]
    assert notes["rows"] == 10
    assert notes["negatives per row"] == 2
    assert notes["negatives drawn at random"] == 3
    assert notes["optimizer steps"] == 9
    assert notes["passages cut"]["texts"] == 1.0
    assert 0 < notes["passages cut"]["tokens"] < 1
    assert "queries cut" not in notes
    (warning,) = said["warnings"]
    assert warning.startswith("100.0% of the passages are longer than the 12 tokens that are read of each, and ")
    assert warning.endswith("raise trainer.passage_max_length")
    assert said["steps"] == [(step, 9) for step in range(1, 10)]
    history = json.loads((made.path / "training_history.json").read_text("utf-8"))["log"]
    assert [entry["step"] for entry in history] == list(range(1, 10))
    assert [("log", entry) for entry in history] == said["events"]


@pytest.mark.slow
def test_an_interrupted_and_a_killed_training_end_as_if_they_had_not_been(tmp_path, data, model, trained, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def interrupted(step):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, data, model, at_step=interrupted)
    assert running(tmp_path) == []
    given = [tmp_path, data.path, model.path, model.settings.model_dump_json(), json.dumps(OPTIONS)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *map(str, given)], check=False)
    assert killed.returncode == -9
    assert running(tmp_path) == []
    (checkpoint,) = checkpoints.checkpoints(tmp_path / "state/output")[-1:]
    made, said = fit(tmp_path, data, model)
    last = int(checkpoint.name.removeprefix("checkpoint-"))
    assert last >= 3
    steps = [step for step, _ in said["steps"]]  # none where the kill came after the last, as on a busy machine
    assert steps == list(range(last + 1, last + 1 + len(steps)))
    whole, _, _ = trained
    for name in ("model.safetensors", "training_history.json"):
        assert file_digest(made.path / name) == file_digest(whole.path / name)


@pytest.mark.slow
def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path, data, model, trained):
    def stopped(step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    seldom = {"save_strategy": "epoch", "save_steps": None, "save_min_seconds": 60}
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, data, model, at_step=stopped, **seldom)
    assert checkpoints.checkpoints(tmp_path / "state/output")
    made, said = fit(tmp_path, data, model, **seldom)
    assert said["steps"][0][0] > 2
    whole, _, _ = trained
    assert file_digest(made.path / "model.safetensors") == file_digest(whole.path / "model.safetensors")


def test_what_was_trained_before_a_kill_is_not_trained_again(trained, data, model, monkeypatch):
    made, _, folder = trained
    before = file_digest(made.path / "model.safetensors")
    monkeypatch.setattr(launch.Launch, "run", lambda *_: pytest.fail("trains again"))
    again, said = fit(folder, data, model)
    assert said["notes"]["optimizer steps"] == 9
    assert file_digest(again.path / "model.safetensors") == before


@pytest.mark.slow
def test_two_processes_learn_what_the_loss_and_the_teacher_say(tmp_path, tiny):
    """The loss of the first step, computed by hand from the base model's vectors."""
    data = small_set(tmp_path / "small")
    graded = [Judgement(j.query_id, j.document_id, 0.5 + n / 20) for n, j in enumerate(data.qrels("train"))]
    data = RetrievalSet.write(
        tmp_path / "data",
        documents=data.documents.values(),
        queries=data.queries.values(),
        qrels={"train": graded},
        negatives=data.negatives(),
    )
    model = replace(tiny, settings=ModelSettings(prompts=PROMPTS))
    loss = InfoNce(temperature=0.1, gather_across_devices=True)
    options = {"batch_size": 5, "epochs": 1, "train_group_size": 2, "dropout": 0.0, "passage_max_length": 64}
    made, said = fit(tmp_path, data, model, loss=loss, **options, processes=2, knowledge_distillation=True)
    assert said["notes"]["processes"] == 2
    assert Model(made.path).load("cpu")[1].pooling_mode == "mean"
    base, found = model.load("cpu"), groups(data)
    asked = torch.from_numpy(base.encode_query([data.queries[group.query_id].text for group in found]))
    judged = [judgement for group in found for judgement in (*group.positives, *group.negatives)]
    passages = base.encode_document([data.documents[judgement.document_id].full_text for judgement in judged])
    scores = asked @ torch.from_numpy(passages).T / 0.1
    own = torch.stack([scores[n, 2 * n : 2 * n + 2] for n in range(10)])
    teacher = torch.tensor([judgement.score for judgement in judged]).view(10, 2).softmax(1)
    distilled = -(teacher * own.log_softmax(1)).sum(1).mean()
    contrastive = torch.nn.functional.cross_entropy(scores, torch.arange(10) * 2)
    ((_, first),) = said["events"]
    assert first["loss"] == pytest.approx(float(distilled + contrastive), abs=1e-3)


def test_missing_negatives_are_drawn_from_other_questions_and_never_answer(data):
    made = material.make(data, group_size=3, distil=False, seed=1)
    assert made.notes == {"negatives drawn at random": 3}
    assert [len(group.negatives) for group in made.rows] == [4] * 8 + [2, 2]
    relevant = data.relevant("train")
    for group in made.rows:
        own = [judgement.document_id for judgement in group.negatives]
        assert len(set(own)) == len(own)
        assert not set(own) & relevant[group.query_id].keys()
    assert material.make(data, group_size=3, distil=False, seed=1) == made
    assert material.make(data, group_size=3, distil=False, seed=2) != made


def test_a_question_is_one_row_with_all_its_answers(data):
    first, *_ = lines(data, groups(data), scores=False)
    assert first.keys() == {"query", "pos", "neg"}
    assert first["query"] == next(iter(data.queries.values())).text
    assert len(first["pos"]) == 2
    assert len(first["neg"]) == 4


def test_a_teachers_scores_stand_beside_the_passages(tmp_path):
    data = uneven(tmp_path / "data", scores=True)
    assert has_teacher_scores(groups(data))
    first, *_ = lines(data, groups(data), scores=True)
    assert first["pos_scores"] == [0.9, 0.7]
    assert first["neg_scores"] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    made = material.make(data, group_size=3, distil=True, seed=1)
    assert made.notes == {"queries left out, without negatives": 1}


def test_what_cannot_be_trained_on_is_refused(tmp_path, data):
    with pytest.raises(UserError, match="holds no teacher's scores"):
        material.make(data, group_size=2, distil=True, seed=1)
    one = [Document.of("the lamp is here")], [Query.of("where is the lamp?")]
    (document,), (query,) = one
    alone = RetrievalSet.write(
        tmp_path / "one", documents=[document], queries=[query], qrels={"train": [Judgement(query.id, document.id)]}
    )
    with pytest.raises(UserError, match="no passage that could be a negative"):
        material.make(alone, group_size=2, distil=False, seed=1)
    nothing = RetrievalSet.write(tmp_path / "none", documents=[document], queries=[query], qrels={})
    with pytest.raises(UserError, match="has no query with a relevant document"):
        material.make(nothing, group_size=2, distil=False, seed=1)
    broken = RetrievalSet.write(
        tmp_path / "broken", documents=[], queries=[query], qrels={"train": [Judgement(query.id, "gone")]}
    )
    with pytest.raises(DataError, match="names document 'gone'"):
        list(lines(broken, groups(broken), scores=False))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": "max"}, "has no pooling 'max'.*allowed: cls, mean, lasttoken"),
        ({"dimensions": 16}, "is Transformer, Pooling, Dense, Normalize .*model.dimensions"),
    ],
)
def test_a_model_that_flagembedding_would_read_otherwise_is_refused(change, message, tmp_path, data, tiny):
    with pytest.raises(UserError, match=message):
        fit(tmp_path, data, replace(tiny, settings=ModelSettings(**change)))


def test_a_model_that_leaves_prompts_out_of_its_vectors_is_refused(tmp_path, data, tiny):
    loaded = tiny.load("cpu")
    loaded[1].include_prompt = False
    loaded.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    prompted = Model(tmp_path / "model", ModelSettings(prompts=PROMPTS))
    with pytest.raises(UserError, match="leaves prompts out of its vectors"):
        fit(tmp_path / "run", data, prompted)


def test_what_this_machine_cannot_do_is_said_before_training(tmp_path, data, tiny, monkeypatch):
    with pytest.raises(UserError, match=r"trainer.fp16: needs a GPU; .*trainer.fp16: false"):
        fit(tmp_path, data, tiny, fp16=True)
    with pytest.raises(UserError, match=r"trainer.extra.adam_beta9.*did you mean 'adam_beta2'"):
        fit(tmp_path, data, tiny, extra={"adam_beta9": 0.9})
    with pytest.raises(UserError, match=r"trainer.batch_size: the 10 rows fill no batch of 64"):
        fit(tmp_path, data, tiny, batch_size=32, processes=2, dataloader_drop_last=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="run embedrun without torchrun"):
        fit(tmp_path, data, tiny)


@pytest.mark.parametrize("damage", ["vectors", "weights"])
def test_a_result_that_is_not_what_was_trained_is_never_saved(damage, tmp_path, trained, data, model):
    import shutil

    made, _, folder = trained
    shutil.copytree(folder / "state", tmp_path / "state")
    if damage == "vectors":
        file = tmp_path / "state/output/samples/vectors.safetensors"
        save_file({name: -tensor for name, tensor in load_file(file).items()}, file)
        message = "vectors are not those that FlagEmbedding trained"
    else:
        file = tmp_path / "state/output/model.safetensors"
        broken = {name: tensor * float("nan") for name, tensor in load_file(file).items()}
        save_file(broken, file, metadata={"format": "pt"})  # of the same size, so that it is not made again
        message = "training diverged"
    with pytest.raises(StageError, match=message):
        fit(tmp_path, data, model)
    assert not list((tmp_path / "out").iterdir())
    assert made.path.exists()


@pytest.mark.parametrize(
    ("found", "last", "message"),
    [
        (["CUDA out of memory. Tried"], [], "ran out of memory.*lower trainer.batch_size"),
        ([], ["  exitcode  : -9 (pid: 7)"], "ran out of memory, or was killed"),
        (["no such thing"], ["a", "b"], r"FlagEmbedding failed: ValueError: no such thing \(its log: log"),
        ([], ["Segmentation fault"], "its last output:\n  Segmentation fault"),
    ],
)
def test_a_failure_is_explained(found, last, message):
    with pytest.raises(StageError, match=message):
        raise launch.failure(
            [{"type": "ValueError", "message": text} for text in found], last, Path("log"), "FlagEmbedding"
        )


def test_only_its_own_loss_is_accepted():
    trainer = FlagEmbedding()
    assert trainer.refuses(InfoNce()) is None
    for loss in (MultipleNegativesRanking(), Matryoshka(dims=(8, 4), inner=InfoNce())):
        assert f"cannot train with '{loss.type}'; use loss: {{type: info_nce" in trainer.refuses(loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_steps": 5}, "save_steps: has no effect"),
        ({"save_strategy": "steps"}, "save_strategy: 'steps' needs save_steps"),
        ({"save_strategy": "steps", "save_steps": 2.5}, "save_steps: must be a whole number of steps"),
        ({"logging_steps": 1.5}, "logging_steps: must be a whole number of steps"),
        ({"fp16": True, "bf16": True}, "fp16: cannot be used together with bf16"),
        ({"train_group_size": 1, "batch_size": 1}, "nothing to learn from"),
        ({"train_group_size": 1, "knowledge_distillation": True}, "knowledge_distillation: needs negatives"),
        ({"lr_scheduler_type": "greedy"}, "lr_scheduler_type: 'greedy' needs evaluations"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "needs min_lr"),
        ({"max_steps": 5, "warmup_steps": 9}, "leave nothing of the 5 steps"),
        ({"extra": {"seed": 1}}, "extra.seed: cannot be set"),
        ({"extra": {"learning_rate": 1}}, "set trainer.learning_rate"),
    ],
)
def test_options_that_do_not_go_together_are_named(options, message):
    assert any(message in fault for fault in FlagEmbedding(**options).faults())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("temperature", "is the loss's: loss: {type: info_nce"),
        ("negatives_cross_device", "is the loss's 'gather_across_devices'"),
        ("query_instruction_for_retrieval", "is the model's prompt"),
        ("query_max_len", "is called 'query_max_length' here"),
    ],
)
def test_flagembeddings_names_lead_to_where_a_recipe_says_it(name, message):
    for options in ({name: 1}, {"extra": {name: 1}}):
        with pytest.raises(ValueError, match=f"'{name}' {message}"):
            FlagEmbedding(**options)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"batch_size": 4, "epochs": 2}, 6),
        ({"batch_size": 4, "epochs": 2, "dataloader_drop_last": True}, 4),
        ({"batch_size": 2, "processes": 2}, 3),
        ({"batch_size": 2, "gradient_accumulation_steps": 2, "epochs": 1.5}, 5),
        ({"batch_size": 32}, 1),
        ({"max_steps": 7}, 7),
    ],
)
def test_the_forecast_counts_steps_as_transformers_does(options, steps, data):
    forecast = FlagEmbedding(**options).forecast(data)
    assert forecast["optimizer steps"] == steps
    assert forecast["rows"] == 10
    assert forecast["negatives drawn at random"] == 1
    assert FlagEmbedding().forecast(None) == {}


def test_what_distils_needs_a_teachers_scores_before_anything_runs(project):
    project.write("model/config.json", "{}")
    recipe = "model: model\nplugins: [fakes.py]\nsource: fake\nloss: info_nce\n"
    project.write("r.yaml", recipe + "trainer: {type: flag_embedding, knowledge_distillation: true}\n")
    refused = project.run("check", "r.yaml")
    assert refused.code == 2
    assert "trainer: 'flag_embedding' needs a teacher's scores" in refused.err
    assert project.run("check", "r.yaml", "--set", "source.holds=[positive, negative, teacher_score]").code == 0


def test_what_is_told_is_written_at_once(monkeypatch):
    written = []
    monkeypatch.setattr(sys, "stdout", type("Pipe", (), {"write": written.append, "flush": lambda: None}))
    write_event("step", done=1)
    assert written[0].startswith("\n")
    assert "".join(written) == written[0]
    assert read_event(written[0].removeprefix("\n")) == {"event": "step", "done": 1}


def test_what_processes_tell_is_told_from_their_log():
    assert read_event("loading data from train.jsonl ...\n") is None
    assert read_event('\x1eembedrun {"event": "step", "done": 1}\n') == {"event": "step", "done": 1}


def test_both_trainers_are_offered():
    assert [stage.model_fields["type"].default for stage in (SentenceTransformersTrainer, FlagEmbedding)] == [
        "sentence_transformers",
        "flag_embedding",
    ]
