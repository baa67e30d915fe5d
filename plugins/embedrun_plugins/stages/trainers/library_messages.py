"""What libraries say while a stage runs: told to its user as warnings, and nothing on the terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import datasets
from transformers.utils import logging as transformers_logging

_LIBRARIES = ("transformers", "sentence_transformers", "accelerate", "datasets", "peft")


class _Collector(logging.Handler):
    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.warn = warn
        self.seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage().strip()
        if message not in self.seen:
            self.seen.add(message)
            self.warn(message)


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers and datasets from drawing progress bars."""
    shown = transformers_logging.is_progress_bar_enabled(), not datasets.are_progress_bars_disabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown[0]:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        if shown[1]:
            datasets.enable_progress_bars()


@contextmanager
def redirected(warn: Callable[[str], None]) -> Iterator[None]:
    """Pass the libraries' log messages from warnings up to `warn`, each once, instead of to the terminal."""
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    collector = _Collector(warn)
    for logger in loggers:
        logger.handlers, logger.propagate = [collector], False
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
