#!/usr/bin/env bash
# A text splitter that counts by a tokenizer which truncates makes one chunk of any text, however long.
#
# semantic-text-splitter 0.33.1, tokenizers 0.23.3: the published tokenizer.json of most embedding models switches
# truncation on (128 tokens in all-MiniLM-L6-v2's). TextSplitter.from_huggingface_tokenizer counts with it as it is, so
# no text is ever counted longer than the truncation; from a capacity of that many tokens on, the whole text is one
# chunk, without an error or a warning. Below it, chunks are right. Seen: 700 words, truncation at 128, capacity 127:
# 6 chunks; capacity 128: 1 chunk. With `tokenizer.no_truncation()` first: 6 chunks.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet semantic-text-splitter==0.33.1 tokenizers==0.23.3
"$work/venv/bin/python" - <<'PY'
from semantic_text_splitter import TextSplitter
from tokenizers import Tokenizer, models, pre_tokenizers

words = [f"word{n}" for n in range(700)]
tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate([*words, "[UNK]"])}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()


def chunks(capacity: int) -> int:
    return len(TextSplitter.from_huggingface_tokenizer(tokenizer, capacity).chunks(" ".join(words)))


tokenizer.enable_truncation(128)
below, at = chunks(127), chunks(128)
tokenizer.no_truncation()
free = chunks(128)
print(f"truncation at 128: capacity 127 gives {below} chunks, capacity 128 gives {at}; without truncation {free}")
assert (below, at, free) == (6, 1, 6)
PY
