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
    waiting = [_Item(job, position, text(position, size, group)) for position, (size, group) in enumerate(sizes)]
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


@pytest.mark.parametrize(("bad", "message"), [("bad", "inference failed"), ("nan", "NaN or infinity")])
def test_a_bad_text_fails_alone_among_requests_that_share_its_batch(bad: str, message: str) -> None:
    echo = Echo()
    batcher = Batcher(echo, max_tokens=100)
    answers = [batcher.submit([text(bad if n == 3 else n)]) for n in range(9)]
    echo.free.set()
    with pytest.raises(RequestError, match=message):
        answers.pop(3).result()
    assert [answer.result().item() for answer in answers] == [0, 1, 2, 4, 5, 6, 7, 8]
    batcher.close()


def test_what_is_cancelled_is_not_computed() -> None:
    echo = Echo()
    batcher = Batcher(echo, max_tokens=2)
    first, gone, last = (batcher.submit([text(10 * n + m) for m in range(6)]) for n in range(3))
    assert gone.cancel()
    echo.free.set()
    assert first.result().ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert last.result().ravel().tolist() == [20, 21, 22, 23, 24, 25]
    batcher.close()
    assert not [item for batch in echo.batches[1:] for item in batch if 10 <= item.content < 20]


def test_a_small_request_does_not_wait_for_all_of_a_large_one() -> None:
    echo = Echo()
    batcher = Batcher(echo, max_tokens=10)
    large = [batcher.submit([text(n, size=5) for n in range(100)]) for _ in range(2)]
    small = batcher.submit([text(999, size=4)])
    echo.free.set()
    assert small.result().item() == 999
    batcher.close()
    assert all(answer.result().shape == (100, 1) for answer in large)
    position = next(n for n, batch in enumerate(echo.batches) if any(item.content == 999 for item in batch))
    assert position <= 2
