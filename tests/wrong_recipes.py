"""Recipes of which one thing is wrong, each with how its message begins."""

from __future__ import annotations

MODEL = "model: model"
SOURCE = "source: {type: pairs, path: pairs.jsonl, holdout: 0.3}"
LOSS = "loss: multiple_negatives_ranking"
TRAINER = "trainer: {type: sentence_transformers, epochs: 1, batch_size: 4}"
EVALUATOR = "evaluator: information_retrieval"
RECIPE = f"{MODEL}\n{SOURCE}\n{LOSS}\n{TRAINER}\n{EVALUATOR}\n"
Change = tuple[str | None, str]
"""A line of the recipe and what stands there instead; or None and another recipe."""


def of_model(fields: str) -> Change:
    return MODEL, f"model: {{id: model, {fields}}}"


def of_source(fields: str) -> Change:
    return SOURCE, f"source: {{type: pairs, path: pairs.jsonl, {fields}}}"


def of_trainer(fields: str) -> Change:
    return TRAINER, f"trainer: {{type: sentence_transformers, {fields}}}"


def of_evaluator(fields: str) -> Change:
    return EVALUATOR, f"evaluator: {{type: information_retrieval, {fields}}}"


def and_deployer(deployer: str) -> Change:
    return EVALUATOR, f"{EVALUATOR}\ndeployer: {deployer}"


WRONG_RECIPES: dict[str, tuple[Change, str]] = {
    "holdout above one": (
        of_source("holdout: 1.5"),
        "r.yaml:2:51: source.holdout: must be a share between 0 and 1, or a whole number of queries",
    ),
    "holdout below zero": (
        of_source("holdout: -0.1"),
        "r.yaml:2:51: source.holdout: must be a share between 0 and 1, or a whole number of queries",
    ),
    "holdout of a word": (
        of_source("holdout: much"),
        "r.yaml:2:51: source.holdout: must be a share of the queries (0.3), a number of them (700), or {test:",
    ),
    "holdout of a split that is none": (
        of_source("holdout: {tset: 0.1}"),
        "r.yaml:2:52: source.holdout.tset: unknown key; did you mean 'test'?",
    ),
    "holdout of all": (
        of_source("holdout: {dev: 0.5, test: 0.5}"),
        "r.yaml:2:9: source: holdout: the shares of 'test' and 'dev' leave nothing to train on",
    ),
    "holdout of a list": (
        of_source("holdout: [0.1]"),
        "r.yaml:2:51: source.holdout: must be a share of the queries (0.3), a number of them (700), or {test:",
    ),
    "columns of a list": (
        of_source("columns: [a, b]"),
        "r.yaml:2:51: source.columns: must be a mapping of anchor, positive, negative, score, positive_score,",
    ),
    "column of a number": (
        of_source("columns: {anchor: 3}"),
        "r.yaml:2:60: source.columns.anchor: must be text, not 3",
    ),
    "column of nothing": (
        of_source("columns: {anchor: ''}"),
        "r.yaml:2:60: source.columns.anchor: must not be empty, not ''",
    ),
    "unknown column role": (
        of_source("columns: {anker: a}"),
        "r.yaml:2:52: source.columns.anker: unknown key; allowed: anchor, metadata, negative, negative_score,",
    ),
    "unknown format": (
        of_source("format: xml"),
        "r.yaml:2:50: source.format: must be 'json', 'jsonl', 'csv', 'tsv' or 'parquet' or a list, as in [a, ",
    ),
    "path of a number": (
        (SOURCE, "source: {type: pairs, path: 3}"),
        "r.yaml:2:29: source.path: must be a file, a list of files, or files by split: {train: …, test: …}",
    ),
    "path of a list of numbers": (
        (SOURCE, "source: {type: pairs, path: [1]}"),
        "r.yaml:2:29: source.path: must be a file, a list of files, or files by split: {train: …, test: …}",
    ),
    "empty path": (
        (SOURCE, "source: {type: pairs, path: ''}"),
        "r.yaml:2:29: source.path: must be a file, a list of files, or files by split: {train: …, test: …}",
    ),
    "no path": ((SOURCE, "source: {type: pairs}"), "r.yaml:2:1: source.path: is missing"),
    "path of nothing": (
        (SOURCE, "source: {type: pairs, path: null}"),
        "r.yaml:2:29: source.path: must be a file, a list of files, or files by split: {train: …, test: …}",
    ),
    "unknown key of the source": (
        of_source("holdot: 0.3"),
        "r.yaml:2:42: source.holdot: unknown key; did you mean 'holdout'?",
    ),
    "source of a word": (
        (SOURCE, "source: pears"),
        "r.yaml:2:9: source: there is no source 'pears'; did you mean 'pairs'?",
    ),
    "source of a list": (
        (SOURCE, "source: [pairs]"),
        "r.yaml:2:9: source: must be a mapping with a 'type', or just the type's name",
    ),
    "source of nothing": (
        (SOURCE, "source: null"),
        "r.yaml:2:9: source: must be a mapping with a 'type', or just the type's name",
    ),
    "epochs below zero": (of_trainer("epochs: -1"), "r.yaml:4:48: trainer.epochs: must be greater than 0, not -1"),
    "epochs of zero": (of_trainer("epochs: 0"), "r.yaml:4:48: trainer.epochs: must be greater than 0, not 0"),
    "epochs of a word": (
        of_trainer("epochs: many"),
        "r.yaml:4:48: trainer.epochs: must be a number, such as 0.5, not 'many'",
    ),
    "epochs of a list": (
        of_trainer("epochs: [1]"),
        "r.yaml:4:48: trainer.epochs: must be a number, such as 0.5, not a list",
    ),
    "epochs of infinity": (of_trainer("epochs: .inf"), "r.yaml:4:48: trainer.epochs: must be a finite number, not inf"),
    "epochs that are not a number": (
        of_trainer("epochs: .nan"),
        "r.yaml:4:48: trainer.epochs: must be a finite number, not nan",
    ),
    "batch of zero": (of_trainer("batch_size: 0"), "r.yaml:4:52: trainer.batch_size: must be at least 1, not 0"),
    "batch of a half": (
        of_trainer("batch_size: 0.5"),
        "r.yaml:4:52: trainer.batch_size: must be a whole number, such as 8, not 0.5",
    ),
    "batch of a truth value": (
        of_trainer("batch_size: yes"),
        "r.yaml:4:52: trainer.batch_size: must be a whole number, such as 8, not 'yes'",
    ),
    "learning rate below zero": (
        of_trainer("learning_rate: -1"),
        "r.yaml:4:55: trainer.learning_rate: must be greater than 0, not -1",
    ),
    "learning rate of a word": (
        of_trainer("learning_rate: fast"),
        "r.yaml:4:55: trainer.learning_rate: must be a number, such as 0.5, not 'fast'",
    ),
    "warmup above one": (
        of_trainer("warmup_ratio: 2"),
        "r.yaml:4:40: trainer.warmup_ratio: unknown key; did you mean 'warmup_steps'?",
    ),
    "unknown scheduler": (
        of_trainer("lr_scheduler_type: sideways"),
        "r.yaml:4:59: trainer.lr_scheduler_type: 'sideways' is not allowed; allowed: 'linear', 'cosine', 'cos",
    ),
    "unknown optimizer": (
        of_trainer("optim: adamm"),
        "r.yaml:4:47: trainer.optim: 'adamm' is not allowed; did you mean 'ademamix'?",
    ),
    "unknown strategy": (
        of_trainer("eval_strategy: sometimes"),
        "r.yaml:4:55: trainer.eval_strategy: 'sometimes' is not allowed; allowed: 'no', 'steps' or 'epoch'",
    ),
    "steps below one": (of_trainer("max_steps: 0"), "r.yaml:4:51: trainer.max_steps: must be at least 1, not 0"),
    "unknown trainer": (
        (TRAINER, "trainer: sentence_transformer"),
        "r.yaml:4:10: trainer: there is no trainer 'sentence_transformer'; did you mean 'sentence_transformer",
    ),
    "trainer of a list": (
        (TRAINER, "trainer: [sentence_transformers]"),
        "r.yaml:4:10: trainer: must be a mapping with a 'type', or just the type's name",
    ),
    "trainer of a number": (
        (TRAINER, "trainer: 4"),
        "r.yaml:4:10: trainer: must be a mapping with a 'type', or just the type's name",
    ),
    "bf16 of a word": (of_trainer("bf16: perhaps"), "r.yaml:4:46: trainer.bf16: must be true or false, not 'perhaps'"),
    "lora of a word": (
        of_trainer("lora: big"),
        "r.yaml:4:46: trainer.lora: must be a mapping of r, alpha, dropout, target_modules, bias, use_rslora,",
    ),
    "lora rank of zero": (of_trainer("lora: {r: 0}"), "r.yaml:4:50: trainer.lora.r: must be at least 1, not 0"),
    "processes of zero": (of_trainer("processes: 0"), "r.yaml:4:51: trainer.processes: must be at least 1, not 0"),
    "another tool's name": (
        of_trainer("num_train_epochs: 3"),
        "r.yaml:4:40: trainer.num_train_epochs: unknown key; did you mean 'epochs'?",
    ),
    "another tool's name on top": (
        (LOSS, LOSS + "\nlearning_rate: 0.1"),
        "r.yaml:4:1: learning_rate: unknown key; did you mean 'trainer.learning_rate'?",
    ),
    "unknown loss": (
        (LOSS, "loss: multiple_negative_ranking"),
        "r.yaml:3:7: loss: there is no loss 'multiple_negative_ranking'; did you mean 'multiple_negatives_ran",
    ),
    "loss of two": (
        (LOSS, "loss: [multiple_negatives_ranking]"),
        "r.yaml:3:7: loss: must be a mapping with a 'type', or just the type's name",
    ),
    "scale of a word": (
        (LOSS, "loss: {type: multiple_negatives_ranking, scale: big}"),
        "r.yaml:3:49: loss.scale: must be a number, such as 0.5, not 'big'",
    ),
    "loss that lacks scores": (
        (LOSS, "loss: cosent"),
        "r.yaml:3:7: loss: 'cosent' needs graded pairs; name the source's column of scores",
    ),
    "loss that lacks negatives": (
        (LOSS, "loss: triplet"),
        "r.yaml:3:7: loss: 'triplet' needs negatives; add a miner under 'negatives', or name the source's col",
    ),
    "loss without a type": (
        (LOSS, "loss: {scale: 20}"),
        "r.yaml:3:7: loss: needs a 'type'; allowed: adaptive_layer, angle, batch_all_triplet, batch_hard_soft",
    ),
    "unknown evaluator": (
        (EVALUATOR, "evaluator: retrieval"),
        "r.yaml:5:12: evaluator.0: there is no evaluator 'retrieval'; did you mean 'information_retrieval'?",
    ),
    "k of zero": (
        of_evaluator("k: [0]"),
        "r.yaml:5:42: evaluator.0.k: unknown key; allowed: accuracy_at_k, batch_size, clusters, dimensions, g",
    ),
    "k of a word": (
        of_evaluator("k: [ten]"),
        "r.yaml:5:42: evaluator.0.k: unknown key; allowed: accuracy_at_k, batch_size, clusters, dimensions, g",
    ),
    "unknown split": (
        of_evaluator("split: tset"),
        "r.yaml:5:49: evaluator.0.split: 'tset' is not allowed; allowed: 'train', 'dev' or 'test'",
    ),
    "require of a word": (
        of_evaluator("require: high"),
        "r.yaml:5:42: evaluator.0.require.0: must be a mapping of metric, reranked, min, max, better_than",
    ),
    "evaluator twice by mistake": (
        (EVALUATOR, "evaluator: [information_retrieval, {type: information_retrieval, splt: dev}]"),
        "r.yaml:5:66: evaluator.1.splt: unknown key; did you mean 'split'?",
    ),
    "batch of the evaluator": (
        of_evaluator("batch_size: -4"),
        "r.yaml:5:54: evaluator.0.batch_size: must be at least 1, not -4",
    ),
    "unknown pooling": (
        of_model("pooling: average"),
        "r.yaml:1:29: model.pooling: 'average' is not allowed; allowed: 'cls', 'mean', 'max', 'lasttoken', 'm",
    ),
    "length of zero": (of_model("max_length: 0"), "r.yaml:1:32: model.max_length: must be at least 1, not 0"),
    "length of a word": (
        of_model("max_length: long"),
        "r.yaml:1:32: model.max_length: must be a whole number, such as 8, not 'long'",
    ),
    "dimensions below zero": (of_model("dimensions: -3"), "r.yaml:1:32: model.dimensions: must be at least 1, not -3"),
    "unknown dtype": (
        of_model("dtype: float8"),
        "r.yaml:1:27: model.dtype: 'float8' is not allowed; allowed: 'float32', 'float16' or 'bfloat16'",
    ),
    "unknown attention": (
        of_model("attention: flash"),
        "r.yaml:1:31: model.attention: 'flash' is not allowed; allowed: 'eager', 'sdpa', 'flash_attention_2' ",
    ),
    "prompts of a word": (
        of_model("prompts: query"),
        "r.yaml:1:29: model.prompts: must be a mapping of query, document, not 'query'",
    ),
    "prompt of a list": (
        of_model("prompts: {query: [a]}"),
        "r.yaml:1:37: model.prompts.query: must be text, not a list",
    ),
    "unknown prompt": (
        of_model("prompts: {qery: a}"),
        "r.yaml:1:30: model.prompts.qery: unknown key; did you mean 'query'?",
    ),
    "trust of a word": (
        of_model("trust_remote_code: sure"),
        "r.yaml:1:39: model.trust_remote_code: must be true or false, not 'sure'",
    ),
    "model of a list": (
        (MODEL, "model: [model]"),
        "r.yaml:1:8: model: must be a mapping of prompts, max_length, pooling, normalize, dimensions, dtype, ",
    ),
    "model of a number": (
        (MODEL, "model: 7"),
        "r.yaml:1:8: model: must be a mapping of prompts, max_length, pooling, normalize, dimensions, dtype, ",
    ),
    "model of nothing": ((MODEL, "model: ''"), "r.yaml:1:8: model: must not be empty, not ''"),
    "model without an id": ((MODEL, "model: {pooling: mean}"), "r.yaml:1:1: model.id: is missing"),
    "model in a folder that is not there": (
        (MODEL, "model: ./modell"),
        "r.yaml:1:8: model: ./modell: no such folder; did you mean 'model'?",
    ),
    "id of three parts": (
        (MODEL, "model: a/b/c"),
        "r.yaml:1:8: model: 'a/b/c' is not a folder here, and the hub cannot be reached (offline); name a fol",
    ),
    "unknown deployer": (
        and_deployer("locl"),
        "r.yaml:6:11: deployer.0: there is no deployer 'locl'; did you mean 'local'?",
    ),
    "port above all": (
        and_deployer("{type: local, port: 70000}"),
        "r.yaml:6:31: deployer.0.port: must be at most 65535, not 70000",
    ),
    "port of a word": (
        and_deployer("{type: local, port: http}"),
        "r.yaml:6:31: deployer.0.port: must be a whole number, such as 8, not 'http'",
    ),
    "directory without a path": (and_deployer("directory"), "r.yaml:6:1: deployer.0.path: is missing"),
    "hub without a name": (and_deployer("hub"), "r.yaml:6:1: deployer.0.repo_id: is missing"),
    "key variable with a space": (
        and_deployer("{type: local, api_key_env: 'my key'}"),
        "r.yaml:6:38: deployer.0.api_key_env: must be the name of an environment variable, not the token itse",
    ),
    "key variable that is not set": (
        and_deployer("{type: local, api_key_env: SURELY_NOT_SET}"),
        "r.yaml:6:11: deployer.0: api_key_env: the environment variable SURELY_NOT_SET is not set, or empty",
    ),
    "unknown runtime": (
        (EVALUATOR, EVALUATOR + "\nruntime: dokcer"),
        "r.yaml:6:10: runtime: there is no runtime 'dokcer'; did you mean 'docker'?",
    ),
    "memory of a word": (
        (EVALUATOR, EVALUATOR + "\nruntime: {type: docker, memory: lots}"),
        "r.yaml:6:33: runtime.memory: 'lots' does not have the form that is wanted: Most memory, as in 8g; by",
    ),
    "gpus below zero": (
        (EVALUATOR, EVALUATOR + "\nruntime: {type: docker, gpus: -1}"),
        "r.yaml:6:31: runtime.gpus: must be 'all' or 'none' or at least 0 or a list, as in [a, b], not -1",
    ),
    "mount that is not there": (
        (EVALUATOR, EVALUATOR + "\nruntime: {type: docker, mounts: [nowhere]}"),
        "r.yaml:6:10: runtime: mounts.0: nowhere: no such file or folder",
    ),
    "unknown filter": (
        (LOSS, LOSS + "\nfilters: [lenght]"),
        "r.yaml:4:11: filters.0: there is no filter 'lenght'; did you mean 'length'?",
    ),
    "filter of a word": (
        (LOSS, LOSS + "\nfilters: {type: length, min_words: few}"),
        "r.yaml:4:25: filters.0.min_words: unknown key; allowed: documents, drop_documents, queries, splits, ",
    ),
    "unknown miner": (
        (LOSS, LOSS + "\nnegatives: desne"),
        "r.yaml:4:12: negatives: there is no miner 'desne'; did you mean 'dense'?",
    ),
    "miner of zero": (
        (LOSS, LOSS + "\nnegatives: {type: bm25, count: 0}"),
        "r.yaml:4:25: negatives.count: unknown key; allowed: audit, b, batch_size, guard, k1, keep_given, met",
    ),
    "generator without documents": (
        (LOSS, LOSS + "\ngenerator: nothing"),
        "r.yaml:4:12: generator: there is no generator 'nothing'; allowed: bedrock, crop, inverse_cloze, open",
    ),
    "merge of too much": (
        (LOSS, LOSS + "\nmerge: {type: linear, weight: 2}"),
        "r.yaml:4:23: merge.weight: unknown key; allowed: base, models, tuned, type",
    ),
    "unknown merger": (
        (LOSS, LOSS + "\nmerge: liner"),
        "r.yaml:4:8: merge: there is no merger 'liner'; did you mean 'linear'?",
    ),
    "compare with nobody": (
        (LOSS, LOSS + "\ncompare_with: nobody"),
        "r.yaml:4:15: compare_with.0: there is no embedder 'nobody'; allowed: bedrock, openai, sentence_trans",
    ),
    "seed of a half": ((LOSS, LOSS + "\nseed: 0.5"), "r.yaml:4:7: seed: must be a whole number, such as 8, not 0.5"),
    "seed above all": (
        (LOSS, LOSS + "\nseed: 4294967296"),
        "r.yaml:4:7: seed: must be less than 4294967296, not 4294967296",
    ),
    "seed of a list": ((LOSS, LOSS + "\nseed: [1]"), "r.yaml:4:7: seed: must be a whole number, such as 8, not a list"),
    "name of nothing": ((LOSS, LOSS + "\nname: ''"), "r.yaml:4:7: name: must not be empty, not ''"),
    "name that leads up": (
        (LOSS, LOSS + "\nname: .."),
        "r.yaml:4:7: name: '..' does not have the form that is wanted: Name of the run's folder; by default t",
    ),
    "name with a newline": (
        (LOSS, LOSS + '\nname: "a\\nb"'),
        "r.yaml:4:7: name: 'a\\nb' does not have the form that is wanted: Name of the run's folder; by default",
    ),
    "description of a list": (
        (LOSS, LOSS + "\ndescription: [a]"),
        "r.yaml:4:14: description: must be text, not a list",
    ),
    "plugins of a number": ((LOSS, LOSS + "\nplugins: 3"), "r.yaml:4:10: plugins: must be a list of Python files"),
    "plugin that is no Python": ((LOSS, LOSS + "\nplugins: [pairs.jsonl]"), "plugins: pairs.jsonl: not a Python file"),
    "a merge key": (
        (LOSS, LOSS + "\n<<: {seed: 1}"),
        "r.yaml:4:1: <<: unknown key; allowed: compare_with, deployer, description, evaluator, filters, gener",
    ),
    "an anchor that is not there": ((LOSS, "loss: *nothing"), "r.yaml:3:7: not YAML: found undefined alias 'nothing'"),
    "a null key": (
        (LOSS, LOSS + "\n? \n: 1"),
        "r.yaml:4:2: unknown key; allowed: compare_with, deployer, description, evaluator, filters, generator",
    ),
    "a number as a key": (
        (LOSS, LOSS + "\n3: 1"),
        "r.yaml:4:1: 3: unknown key; allowed: compare_with, deployer, description, evaluator, filters, genera",
    ),
    "a list as a key": ((LOSS, LOSS + "\n? [a]\n: 1"), "r.yaml:4:3: a key must be a word"),
    "a truth value on top": (
        (LOSS, LOSS + "\ntrue: 1"),
        "r.yaml:4:1: true: unknown key; allowed: compare_with, deployer, description, evaluator, filters, gen",
    ),
    "an unclosed quote": ((LOSS, 'loss: "multiple'), "r.yaml:6:1: not YAML: found unexpected end of stream"),
    "a percent sign": (
        (None, "%YAML 3.0\n---\nmodel: model\n"),
        "r.yaml:1:1: not YAML: found incompatible YAML document (version 1.* is required)",
    ),
    "a brace too many": ((LOSS, "loss: {type: x}}"), "r.yaml:3:16: not YAML: expected <block end>, but found '}'"),
    "an indent too many": (
        (LOSS, "  loss: x"),
        "r.yaml:3:3: not YAML: expected <block end>, but found '<block mapping start>'",
    ),
    "JSON with a trailing word": (
        (None, '{"model": "model"} x'),
        "r.yaml:1:20: not YAML: expected '<document start>', but found ('<scalar>',)",
    ),
}
