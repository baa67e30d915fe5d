"""Whether a server answers with the vectors of the model that it was given."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from embedrun.artifacts import Model
from embedrun.errors import StageError
from embedrun_plugins.serving.encoders import GOLDEN, cosines

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 # addresses to reach, not to listen on


def worst_cosine(url: str, model: Model, api_key: str | None = None) -> tuple[float, str, str]:
    """Send golden texts as queries and as documents; return the worst cosine, its text and its role."""
    loaded = model.load("cpu")
    found = []
    for role, encode in (("query", loaded.encode_query), ("document", loaded.encode_document)):
        expected = np.asarray(encode(list(GOLDEN), show_progress_bar=False), np.float32)
        prompt = {"prompt_name": role} if role in loaded.prompts else {}
        answered = _embed(url, {"inputs": list(GOLDEN), **prompt}, api_key)
        if answered.shape != expected.shape:
            raise StageError(f"{url}: answered {answered.shape} numbers, and the model gives {expected.shape}")
        found += [(float(c), text, role) for c, text in zip(cosines(answered, expected), GOLDEN, strict=True)]
    return min(found)


def _embed(url: str, body: dict[str, Any], api_key: str | None) -> NDArray[np.float32]:
    address = urlsplit(url)
    # http.client asks no proxy, which could not reach this machine's loopback address.
    host = ANY_ADDRESS.get(address.hostname or "", address.hostname or "")
    connection = http.client.HTTPConnection(host, address.port, timeout=120)
    try:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        connection.request("POST", "/embed", json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read()
    except OSError as error:
        raise StageError(f"{url}: the server does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise StageError(f"{url}: the server answered {response.status}: {answer[:300].decode('utf-8', 'replace')}")
    return np.array(json.loads(answer), np.float32)
