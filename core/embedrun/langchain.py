"""LangChain's embeddings from a deployed model, in the installed client of that name; see docs/clients.md."""

from __future__ import annotations

from importlib.metadata import entry_points


def __getattr__(name: str) -> object:
    return getattr(entry_points(group="embedrun.clients")["langchain"].load(), name)
