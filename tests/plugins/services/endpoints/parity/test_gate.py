"""The gate tells a model's own vectors from those of the usual mistakes, and names the mistake."""

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from embedrun.artifacts import Model
from embedrun.errors import StageError, UserError
from embedrun.model_settings import ModelSettings, Prompts
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.services.endpoints.client import RequestParameters
from embedrun_plugins.services.endpoints.http_transport import HttpTransport
from embedrun_plugins.services.endpoints.parity.gate import Gate, Proof
from embedrun_plugins.services.endpoints.parity.golden_texts import golden
from loopback import serving

PROMPTS = Prompts(query="Represent this sentence for searching relevant passages: ")


@pytest.fixture(scope="module")
def minilm_gate(minilm: Path) -> Gate:
    return Gate.of(Model(minilm, ModelSettings(prompts=PROMPTS)))


@pytest.fixture(scope="module")
def mean_model(small: Callable[..., Path]) -> Model:
    return Model(small("mean"), ModelSettings(prompts=PROMPTS))


@pytest.fixture(scope="module")
def mean_gate(mean_model: Model) -> Gate:
    return Gate.of(mean_model)


@pytest.fixture(scope="module")
def cls_model(small: Callable[..., Path]) -> Model:
    return Model(small("cls"), ModelSettings(prompts=PROMPTS))


@pytest.fixture(scope="module")
def cls_gate(cls_model: Model, small: Callable[..., Path]) -> Gate:
    return Gate.of(cls_model, base=Model(small("cls", seed=1), cls_model.settings))


def proof(gate: Gate, served: Model, **faults) -> Proof:
    with serving(served, **faults) as url, closing(HttpTransport(url)) as transport:
        return gate.prove(transport)


def changed(model: Model, **settings) -> Model:
    return Model(model.path, model.settings.model_copy(update=settings))


def test_the_models_own_vectors_pass(minilm_gate: Gate, minilm: Path) -> None:
    found = proof(minilm_gate, Model(minilm, ModelSettings(prompts=PROMPTS)))
    assert found.holds
    assert found.closeness is not None
    assert found.closeness.cosine > 0.99999
    found.require()


def test_golden_texts_are_short_and_long_in_other_scripts_and_nearly_empty(minilm_gate: Gate) -> None:
    texts = minilm_gate.texts
    loaded = minilm_gate.checkpoint.loaded
    tokens = [len(loaded.tokenizer(text, verbose=False)["input_ids"]) for text in texts]
    assert max(tokens) > 2 * loaded.max_seq_length
    assert min(tokens) <= 3
    assert any("東京" in text for text in texts)
    assert " " in texts
    assert golden(loaded) == texts


def test_no_prompt_is_named(mean_gate: Gate, mean_model: Model) -> None:
    found = proof(mean_gate, changed(mean_model, prompts=Prompts()))
    assert found.causes == ("it puts no prompt before texts",)


def test_a_prompt_before_documents_too_is_named(mean_gate: Gate, mean_model: Model) -> None:
    both = Prompts(query=PROMPTS.query, document=PROMPTS.query)
    found = proof(mean_gate, changed(mean_model, prompts=both))
    assert found.causes == ("it puts the query's prompt before documents, too",)


def test_mean_for_cls_pooling_is_named(cls_gate: Gate, cls_model: Model) -> None:
    found = proof(cls_gate, changed(cls_model, pooling="mean"))
    assert found.causes == ("it pools by mean, and the model by cls",)


def test_a_cut_at_128_tokens_is_named(mean_gate: Gate, mean_model: Model) -> None:
    found = proof(mean_gate, changed(mean_model, max_length=128))
    assert found.causes == ("it cuts texts at 128 tokens, and the model at 256",)


def test_a_server_that_reads_more_than_the_model_is_named(mean_gate: Gate, mean_model: Model) -> None:
    found = proof(mean_gate, changed(mean_model, max_length=512))
    assert found.causes == ("it reads 512 tokens of a text, and the model 256",)


def test_base_weights_are_named(cls_gate: Gate, cls_model: Model, small: Callable[..., Path]) -> None:
    found = proof(cls_gate, Model(small("cls", seed=1), cls_model.settings))
    assert found.causes == ("it serves the weights of the base model, not the tuned ones",)


def test_256_of_384_dimensions_are_named(minilm_gate: Gate, minilm: Path) -> None:
    found = proof(minilm_gate, Model(minilm, ModelSettings(prompts=PROMPTS, dimensions=256)))
    assert found.causes == ("it answers 256 of 384 dimensions",)


def test_dimensions_that_should_have_been_cut_are_named(minilm: Path) -> None:
    gate = Gate.of(Model(minilm, ModelSettings(dimensions=256)))
    assert proof(gate, Model(minilm)).causes == ("it answers 384 dimensions, and the model has 256",)


def test_vectors_that_are_not_normalised_are_named(minilm_gate: Gate, minilm: Path) -> None:
    served = Model(minilm, ModelSettings(prompts=PROMPTS))
    found = proof(minilm_gate, served, asked=lambda asked: asked | {"normalize": False})
    (cause,) = found.causes
    assert cause.startswith("its vectors are not normalised: their lengths go from ")


def test_a_model_whose_vectors_are_not_normalised_is_asked_for_them(minilm: Path) -> None:
    raw = Model(minilm, ModelSettings(normalize=False))
    gate = Gate.of(raw)
    assert not gate.reading.normalize
    assert proof(gate, raw).holds
    found = proof(gate, raw, asked=lambda asked: asked | {"normalize": True})
    assert found.causes == ("its vectors are normalised, and the model's are not",)


@pytest.mark.parametrize("answer", [lambda rows: rows[:1], lambda rows: rows[0]], ids=["a list", "flat"])
def test_only_the_first_vector_is_named(minilm_gate: Gate, minilm: Path, answer: Callable) -> None:
    found = proof(minilm_gate, Model(minilm, ModelSettings(prompts=PROMPTS)), found=answer)
    assert found.causes == ("it answers only the first of a request's texts",)


def test_more_vectors_than_texts_are_named(minilm_gate: Gate, minilm: Path) -> None:
    served = Model(minilm, ModelSettings(prompts=PROMPTS))
    wanted = len(minilm_gate.texts)
    found = proof(minilm_gate, served, found=lambda rows: [*rows, *rows[:2]])
    assert found.causes == (f"it answers {wanted + 2} vectors for {wanted} texts",)


def test_too_few_vectors_for_one_role_alone_are_named(minilm_gate: Gate, minilm: Path) -> None:
    served = Model(minilm, ModelSettings(prompts=PROMPTS))
    taken = iter([None, 3])
    found = proof(minilm_gate, served, found=lambda rows: rows[: next(taken)])
    assert found.causes == (f"it answers 3 of {len(minilm_gate.texts)} texts",)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_server_that_takes_fewer_texts_is_sent_fewer(minilm_gate: Gate, minilm: Path, most: int) -> None:
    served = Model(minilm, ModelSettings(prompts=PROMPTS))
    assert proof(minilm_gate, served, limits=ServerLimits(max_client_batch_size=most)).holds


def test_two_mistakes_at_once_are_both_named(cls_gate: Gate, cls_model: Model) -> None:
    served = changed(cls_model, pooling="mean", prompts=Prompts())
    (cause,) = proof(cls_gate, served).causes
    assert sorted(cause.split("; ")) == ["it pools by mean, and the model by cls", "it puts no prompt before texts"]


def test_mistakes_of_shape_and_of_content_are_named_together(mean_gate: Gate, mean_model: Model) -> None:
    served = changed(mean_model, prompts=Prompts(), dimensions=16)
    assert proof(mean_gate, served).causes == ("it answers 16 of 32 dimensions", "it puts no prompt before texts")


def test_what_no_usual_mistake_explains_is_said_with_the_nearest(cls_gate: Gate, cls_model: Model) -> None:
    random_numbers = random.Random(0)

    def noise(rows: list[list[float]]) -> list[list[float]]:
        return [[random_numbers.gauss(0, 1) for _ in row] for row in rows]

    with pytest.raises(StageError, match="no usual cause explains it; the closest is that it"):
        proof(cls_gate, cls_model, found=noise).require()


def test_what_are_no_vectors_is_said(cls_gate: Gate, cls_model: Model) -> None:
    found = proof(cls_gate, cls_model, found=lambda rows: {"vectors": rows})
    assert not found.holds
    assert "it returned no list of vectors of one length: {'vectors': " in str(found)


def test_a_limit_of_ones_own_can_be_stricter_or_looser(mean_gate: Gate, mean_model: Model) -> None:
    served = changed(mean_model, max_length=250)
    assert not proof(mean_gate.at_least(0.999999), served).holds
    assert proof(mean_gate.at_least(0.9), served).holds


def test_a_prompt_that_the_server_does_not_have_is_said(mean_gate: Gate, mean_model: Model) -> None:
    said = pytest.raises(UserError, match=r"`prompt_name` 'search' is not one of this model's: document, query")
    with serving(mean_model) as url, closing(HttpTransport(url)) as transport, said:
        mean_gate.prove(transport, RequestParameters(query="search"))
