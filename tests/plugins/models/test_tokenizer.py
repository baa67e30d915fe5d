import json
import shutil

import pytest

from embedrun.artifacts import Model
from embedrun.errors import DataError
from embedrun.model_settings import ModelSettings, Prompts
from embedrun_plugins.models.tokenizer import document_room, lengths, tokenizer_of
from written_documents import tokenizer_only

LONG = "one two three four five six seven eight nine ten eleven twelve"


def room(model: Model) -> int | None:
    return document_room(model, tokenizer_of(model))


def test_tokens_are_counted_without_cutting_padding_and_special_ones(tmp_path):
    tokenizer = tokenizer_of(Model(tokenizer_only(tmp_path)))
    assert list(lengths(tokenizer, [LONG, "one", ""])) == [12, 1, 0]
    assert list(lengths(tokenizer, (LONG for _ in range(600)))) == [12] * 600


def test_the_room_for_a_document_is_what_its_prompt_and_special_tokens_leave(tmp_path):
    folder = tokenizer_only(tmp_path, reads=34, prompt="find this ")
    assert room(Model(folder)) == 30
    assert room(Model(folder, ModelSettings(max_length=20))) == 16
    assert room(Model(folder, ModelSettings(prompts=Prompts(document="a b c ")))) == 29
    assert room(Model(folder, ModelSettings(max_length=3))) == 0


def test_a_length_that_is_not_saved_is_the_least_of_the_tokenizers_and_the_positions(tmp_path):
    folder = tokenizer_only(tmp_path)
    (folder / "sentence_bert_config.json").write_text("{}")
    assert room(Model(folder)) is None
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 10**30}))
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    assert room(Model(folder)) == 62


def test_the_tokenizer_is_sought_where_the_first_module_is(tmp_path):
    tokenizer_only(tmp_path / "0_Transformer", reads=12)
    (tmp_path / "modules.json").write_text(json.dumps([{"idx": 0, "path": "0_Transformer"}, {"path": "1_Pooling"}]))
    assert room(Model(tmp_path)) == 10


def test_a_tokenizer_without_a_file_of_its_own_is_converted(tmp_path, minilm):
    for name in ("vocab.txt", "config.json", "tokenizer_config.json"):
        shutil.copy(minilm / name, tmp_path / name)
    converted, own = tokenizer_of(Model(tmp_path)), tokenizer_of(Model(minilm))
    assert list(lengths(converted, [LONG])) == list(lengths(own, [LONG]))


def test_a_model_without_a_tokenizer_is_an_error(tmp_path):
    with pytest.raises(DataError, match="its tokenizer cannot be loaded"):
        tokenizer_of(Model(tmp_path))
