"""The former path of `embedrun.answers`, which third-party plugins may still import."""

from __future__ import annotations

from embedrun_plugins.services.answer_cache import Answers

__all__ = ["Answers"]
