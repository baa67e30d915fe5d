"""Texts that wait together share batches, in order, and a failing batch fails only its own requests."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from embedrun_plugins.models.serving.batching import Batcher, _Item, _QueuedRequest, nearest
from embedrun_plugins.models.serving.encoders import Prepared, Vectors
from embedrun_plugins.models.serving.errors import RequestError


class Echo:
    """Gives each text's number as its vector, and keeps what shared a batch."""

    def __init__(self) -> None:
        self.batches: list[list[Prepared]] = []
        self.free = threading.Event()

    def prepare(self, texts, prompt, **_) -> list[Prepared]:
        raise NotImplementedError

    def encode(self, batch: Sequence[Prepared]) -> Vectors:
        self.free.wait()
        self.batches.append(list(batch))
        if any(text.content == "bad" for text in batch):
            raise ValueError("a bad text")
        return np.array([[np.nan if text.content == "nan" else text.content] for text in batch], np.float32)


def text(content: object, size: int = 1, group: object = 0) -> Prepared:
    return Prepared(size, group, content)


def test_answers_come_in_the_order_of_their_texts_whatever_their_lengths() -> None:
    echo = Echo()
    batcher = Batcher(echo, max_tokens=8, workers=2)
    answers = [batcher.submit([text(10 * n + m, size=(7 * n + 3 * m) % 5 + 1) for m in range(9)]) for n in range(9)]
    echo.free.set()
    batcher.close()
    for n, answer in enumerate(answers):
        assert answer.result().ravel().tolist() == [10 * n + m for m in range(9)]
    assert all(len(batch) * max(t.size for t in batch) <= 8 for batch in echo.batches)


def test_a_batch_holds_the_oldest_text_and_those_of_its_group_that_are_nearest_in_length() -> None:
    job = _QueuedRequest(0, [])
    sizes = [(10, 0), (1, 0), (9, 1), (11, 0), (10, 0), (30, 0)]
    waiting = [_Item(job, place, text(place, size, group)) for place, (size, group) in enumerate(sizes)]
    assert [item.position for item in nearest(waiting, max_tokens=33)] == [0, 4, 3]
    assert [item.position for item in nearest(waiting, max_tokens=44)] == [0, 4, 3, 1]
    assert [item.position for item in nearest(waiting, max_tokens=5)] == [0]
    assert nearest([], max_tokens=5) == []


def test_a_text_longer_than_a_batch_is_encoded_alone() -> None:
    echo = Echo()
    echo.free.set()
    batcher = Batcher(echo, max_tokens=4)
    assert batcher.submit([text(1, 100), text(2, 100)]).result().ravel().tolist() == [1, 2]
    batcher.close()
    assert [len(batch) for batch in echo.batches] == [1, 1]


@pytest.mark.parametrize(("bad", "message"), [("bad", "inference failed"), ("nan", "NaN or infinity")])
def test_a_batch_that_fails_fails_its_request_and_not_the_next(bad: str, message: str) -> None:
    echo = Echo()
    echo.free.set()
    batcher = Batcher(echo, max_tokens=2)
    with pytest.raises(RequestError, match=message):
        batcher.submit([text(bad), text(1), text(2), text(3)]).result()
    assert batcher.submit([text(4)]).result().ravel().tolist() == [4]
    assert len(batcher) == 0
    batcher.close()


def test_what_waits_is_answered_before_closing_and_nothing_is_taken_after() -> None:
    echo = Echo()
    batcher = Batcher(echo, max_tokens=1)
    answer = batcher.submit([text(n) for n in range(5)])
    closing = threading.Thread(target=batcher.close)
    closing.start()
    echo.free.set()
    closing.join()
    assert answer.result().ravel().tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(RequestError, match="shutting down"):
        batcher.submit([text(1)])
