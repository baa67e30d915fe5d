"""The errors by which the hub's client says that it could not ask, whichever HTTP library it stands on."""

from __future__ import annotations

from huggingface_hub.errors import HfHubHTTPError

HubTransportError: type[Exception] = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
"""httpx.HTTPError with huggingface_hub 1, httpx2.HTTPError with 2: the hub was not reached, or broke off."""
