"""The texts that clients send while an endpoint is measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from embedrun.artifacts import Model, Role
from embedrun.errors import DataError, UserError
from embedrun.record import RunRecord
from embedrun_plugins.models.tokenizer import document_room, tokenizer_of
from embedrun_plugins.results.comparison import judged_set
from embedrun_plugins.services.endpoints.http_transport import HttpTransport
from embedrun_plugins.services.endpoints.transports import TransportError

_AT_A_TIME = 32
MOST = 512
"""Different texts that are sent, again and again."""
PLAIN = (
    "How do I reset my password?",
    "Which documents do I need to open an account?",
    "What is the notice period for a fixed-term contract?",
    "Can a refund be paid to another card than the one that was charged?",
    "How many vacation days may be carried over into the next year?",
    "Who approves travel costs above the limit?",
    "The invoice shows the wrong address; how is it corrected?",
    "How long are backups kept, and where?",
)


@dataclass(frozen=True)
class Load:
    """Texts, the role that they are sent as, and how many tokens each has, where that is known."""

    texts: Sequence[str]
    role: Role = "query"
    tokens: Sequence[int] | None = None

    def counted(self, tokens: Iterable[int], limit: int | None) -> Load:
        """Return the same with each text's tokens, of which a model reads at most so many."""
        return replace(self, tokens=[min(count, limit or count) for count in tokens])


def of_run(run: RunRecord | None) -> Load:
    """Return the questions that a run's models are judged by, or plain ones where it has none."""
    folder = judged_set(run) if run else None
    file = folder / "queries.jsonl" if folder else None
    if file is None or not file.is_file():
        return Load(PLAIN)
    with file.open(encoding="utf-8") as stream:
        texts = [text for line in islice(stream, MOST) if (text := json.loads(line)["text"])]
    return Load(texts or PLAIN)


def of_file(file: Path) -> Load:
    """Return the lines of a file. Raises UserError where there are none."""
    try:
        texts = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--texts: {file}: cannot be read: {error}") from error
    if not texts:
        raise UserError(f"--texts: {file}: holds no text; give one on each line")
    return Load(texts[:MOST])


def counted_by_model(load: Load, model: Model) -> Load:
    """Count tokens by a model's own tokenizer, special ones included and prompts left out, where it has a fast one."""
    try:
        tokenizer = tokenizer_of(model)
    except DataError:
        return load
    room = document_room(model, tokenizer)
    special: int = tokenizer.num_special_tokens_to_add(False)
    return load.counted(
        map(len, tokenizer.encode_batch_fast(list(load.texts))), None if room is None else room + special
    )


def counted_by_server(load: Load, server: HttpTransport) -> Load:
    """Count tokens by a server's routes /tokenize and /info, where it has them."""
    try:
        limit = json.loads(server.get("/info")).get("max_input_length")
        parts = [load.texts[first : first + _AT_A_TIME] for first in range(0, len(load.texts), _AT_A_TIME)]
        answers = [json.loads(server.post("/tokenize", json.dumps({"inputs": list(part)}).encode())) for part in parts]
    except (TransportError, ValueError, AttributeError):
        return load
    return load.counted((len(tokens) for part in answers for tokens in part), limit)
