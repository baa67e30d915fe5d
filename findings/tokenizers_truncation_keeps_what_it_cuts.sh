#!/usr/bin/env bash
# An encoding that was truncated keeps all that was cut off, so a queue of truncated texts holds whole texts' tokens.
#
# tokenizers 0.23.3: with enable_truncation(64), encode() of a text of 12,000 tokens gives an Encoding of length 64 whose
# `overflowing` holds the other 11,936 in pieces, each with ids, offsets and masks; encode_batch_fast(), which leaves
# offsets out of its work, keeps them, too, and nothing switches it off. A server that lets truncated encodings wait in a
# queue holds hundreds of times what the model will read: copy the ids and let the encoding go. Seen: 187 pieces, 12,000
# ids in all; 200 such encodings add well over 50 MB to the process, their 64 ids each about 5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tokenizers==0.23.3 psutil==7.2.1
"$work/venv/bin/python" - <<'PY'
import psutil
from tokenizers import Tokenizer, models, pre_tokenizers

tokenizer = Tokenizer(models.WordLevel({"lamp": 0, "[UNK]": 1}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.enable_truncation(64)
text = "lamp " * 12_000


def growth(make) -> tuple[list, float]:
    before = psutil.Process().memory_info().rss
    held = [make() for _ in range(200)]
    return held, (psutil.Process().memory_info().rss - before) / 2**20


[encoding] = tokenizer.encode_batch_fast([text])
pieces = encoding.overflowing
_, ids = growth(lambda: tokenizer.encode_batch_fast([text])[0].ids)
kept, whole = growth(lambda: tokenizer.encode_batch_fast([text])[0])
total = len(encoding.ids) + sum(len(piece.ids) for piece in pieces)
print(f"{len(encoding.ids)} ids, {len(pieces)} more pieces, {total} ids in all; 200 held: {ids:.0f} MiB as ids, {whole:.0f} MiB")
assert (len(encoding.ids), total) == (64, 12_000)
assert whole > 50 > 10 > ids
PY
