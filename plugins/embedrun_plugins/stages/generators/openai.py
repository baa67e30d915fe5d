"""Questions by any language model behind a server that speaks OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from embedrun.artifacts import RetrievalSet
from embedrun.context import Context, Unkeyed
from embedrun.rehearsal import Rehearsal
from embedrun_plugins.services.addresses import Address, is_local, sends_in_the_open
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.services.language_models.openai_chat import Chat
from embedrun_plugins.services.openai import OPENAI, client, key_variable, too_much
from embedrun_plugins.stages.generators.language_model import LanguageModel
from embedrun_plugins.stages.generators.rehearsal import Questions, note_unasked
from embedrun_plugins.stages.rehearsal.stand_ins import note_missing_key, standing_in

_TAKEN = (
    *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "response_format"),
    *("n", "best_of", "stream", "stream_options"),
)
"""What `extra` would overrule."""


class OpenAI(LanguageModel):
    """Asks a language model for questions that each passage answers, through OpenAI's chat completions.

    Any server that speaks these will do: OpenAI's own, vLLM, Ollama, TGI, llama.cpp and others. Requests that fail for
    the moment are tried again with growing pauses. Every reply is kept as soon as it is there: a run that was
    interrupted pays only for what is missing, and a second run for nothing.
    """

    type: Literal["openai"] = "openai"
    packages: ClassVar[Mapping[str, str]] = {"openai": "openai"}
    base_url: Annotated[Address | None, Unkeyed] = None
    """The server's address up to /v1, such as http://localhost:11434/v1 for Ollama; by default OpenAI's own.
    Replies are kept by the model's name alone: what one server answered, another is not asked again."""
    api_key_env: Annotated[VariableName | None, Unkeyed] = None
    """Environment variable that holds the key; by default OPENAI_API_KEY for OpenAI itself, and none elsewhere."""
    structured_output: bool = False
    """Whether the server is to hold the model to JSON by a schema (response_format), as OpenAI, vLLM, Ollama and TGI
    can. A prompt of your own should then ask for {"questions": […]}."""

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        if self.base_url and (doubt := sends_in_the_open(self.base_url, self.api_key_env)):
            ctx.warn(doubt)
        return super().run(ctx, data)

    def connect(self) -> Chat:
        connected = client(self.base_url, api_key_env=self.api_key_env)
        return Chat(connected, self.base_url)

    def parameters(self) -> Mapping[str, Any]:
        return {**super().parameters(), **({"structured_output": True} if self.structured_output else {})}

    def answers_json(self) -> bool:
        return self.structured_output

    def stays_here(self) -> bool:
        return is_local(self.base_url)

    def reaches(self) -> Iterable[str]:
        return [self.base_url or OPENAI]

    def variables(self) -> Iterable[str]:
        return filter(None, [key_variable(self.base_url, self.api_key_env)])

    def rehearsal(self, rehearsal: Rehearsal) -> OpenAI:
        """Return the generator with replies made here, and note what key it would miss."""
        note_unasked(rehearsal, self.model)
        note_missing_key(rehearsal, self.base_url, self.api_key_env)
        return standing_in(_OpenAI, self)

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        if self.base_url and (fault := too_much(self.base_url)):
            yield fault
        if taken := ", ".join(name for name in _TAKEN if name in self.extra):
            yield f"extra: {taken}: the request holds that already, or the budget and the reading of replies rely on it"


class _OpenAI(OpenAI):
    """Asks nobody."""

    def connect(self) -> Questions:  # type: ignore[override]  # answers as Chat does
        return Questions(self.questions_per_passage, self.structured_output)

    def stays_here(self) -> bool:
        return True
