# ruff: noqa: RUF001  # other scripts' quotes are meant
"""Replies in which a model declines to do what it was asked."""

from __future__ import annotations

import re

_REFUSAL = re.compile(
    r"""^\W*(?:
        (?:i['’]?m|i\s+am)\s+(?:sorry|afraid|unable|not\s+able|an?\s+(?:ai|language))
      | sorry\b | my\s+apologies | i\s+apologi[sz]e | unfortunately\b | as\s+an?\s+(?:ai|language\s+model|assistant)
      | i\s+(?:can(?:['’]?t|not|\s+not)|cannot|won['’]?t|will\s+not|do\s+not|don['’]?t|must\s+decline|decline)\b
      | (?:the|this)\s+(?:passage|text)\s+(?:does\s+not|doesn['’]t)\s+(?:contain|provide)
      | es\s+tut\s+mir\s+leid | ich\s+kann\s+(?:nicht|keine|leider) | désolée? | je\s+ne\s+peux\s+pas | lo\s+siento
    )""",
    re.VERBOSE | re.IGNORECASE,
)


def refuses(reply: str) -> bool:
    """Say whether a text begins as one that declines to answer does."""
    return bool(_REFUSAL.match(reply))
