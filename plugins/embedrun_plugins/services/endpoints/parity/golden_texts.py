"""The texts that go through an endpoint: short, long, over-long, in other scripts, nearly empty."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from embedrun_plugins.models.routes import length_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MOST_TOKENS = 1100
"""The longest text that is sent; what a server cuts beyond it is not seen."""
_BEYOND = 48
SHORT = (
    "How do I reset my password?",
    "Revenue rose by 12% in the third quarter, while costs fell to 4.1 million euros.",
    "naïve café, 東京の天気は晴れです, Привет мир, مرحبا بالعالم, 🎉",
    "a",
    " ",
)
# Each of another subject, so that the vector of a text depends on where it is cut.
_SENTENCES = (
    "The heron on call answers every page within ten minutes and writes down what she tried.",
    "Sourdough rises overnight in a cool kitchen, and the crust cracks when the oven is hot enough.",
    "A plaintiff who settles before the hearing gives up the right to appeal the judgment.",
    "Glaciers in the northern valley have lost a third of their ice since the survey of 1985.",
    "Compile the kernel with debugging symbols, then attach the profiler to the running process.",
    "Her second violin concerto was first heard in Leipzig, to a hall that was half empty.",
    "Patients who take anticoagulants should tell the surgeon at least a week before the operation.",
    "The goalkeeper saved two penalties, yet the visitors went home with all three points.",
    "Orchids need bark instead of soil, filtered light and a window that is never opened in winter.",
    "The treaty divided the coast between two dukes, neither of whom had ever seen it.",
    "Freight rates from Rotterdam doubled when the canal was closed for nineteen days.",
    "Photons that pass through both slits interfere with themselves on the far screen.",
    "The tenant returns the keys on the last working day, with the meter's readings on paper.",
    "Bees dance to tell the hive how far away the clover is, and at what angle to the sun.",
    "An index fund buys what everyone owns, and asks for less than a tenth of a percent a year.",
    "The ceramicist fires her glazes twice, first at nine hundred degrees and then much hotter.",
    "Whoever finds a stray dog brings it to the shelter behind the railway station.",
    "Verbs at the end of the sentence German readers are used to, others they make impatient.",
    "The lighthouse was automated in 1994, and its last keeper now sells postcards there.",
    "Enzymes in cold water washing powder break down fat that hot water used to melt.",
)


def golden(loaded: SentenceTransformer) -> list[str]:
    """Return the texts for a model: the longest is more than it reads."""
    size = _counter(loaded)
    reads = length_of(loaded) or MOST_TOKENS
    short = [text for text in SHORT if size(text)]  # some tokenizers make nothing of a space
    longest = min(2 * reads + _BEYOND, MOST_TOKENS)
    return [*short, _of_tokens(min(reads, longest) // 2, size), _of_tokens(longest, size)]


def _counter(loaded: SentenceTransformer) -> Callable[[str], int]:
    tokenizer: Any = loaded.tokenizer
    if not callable(tokenizer):
        return lambda text: len(text.split()) * 4 // 3 + 1
    return lambda text: len(tokenizer(text, truncation=False, verbose=False)["input_ids"])


def _of_tokens(wanted: int, size: Callable[[str], int]) -> str:
    """Return the beginning of an endless text, of about so many tokens."""
    words: list[str] = []
    tokens = special = size("")
    for number in count():
        # The second time round, figures: else the text's second half would say what its first does.
        rows = f"Item {number}: {number * 7919 % 1000} crates, {number * 104729 % 10000} guilders, due {1900 + number}."
        sentence = _SENTENCES[number] if number < len(_SENTENCES) else rows
        tokens += size(sentence) - special
        words.append(sentence)
        if tokens >= wanted:
            return " ".join(words)
    raise AssertionError("count() does not end")
