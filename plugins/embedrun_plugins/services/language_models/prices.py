"""What tokens of language models cost."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

_PREFIXES = ("us.", "eu.", "apac.", "global.", "jp.", "au.", "us-gov.")


class TokenPrice(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    input: float = Field(ge=0)
    """For a million tokens of the requests."""
    output: float = Field(ge=0)
    """For a million tokens of the replies."""

    def of(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


BEDROCK_PRICES: Mapping[str, TokenPrice] = {
    name: TokenPrice(input=given, output=taken)
    for name, given, taken in (
        ("meta.llama3-70b-instruct-v1:0", 2.65, 3.50),
        ("meta.llama3-8b-instruct-v1:0", 0.30, 0.60),
        ("meta.llama3-1-70b-instruct-v1:0", 0.72, 0.72),
        ("meta.llama3-1-8b-instruct-v1:0", 0.22, 0.22),
        ("meta.llama3-3-70b-instruct-v1:0", 0.72, 0.72),
        ("amazon.nova-micro-v1:0", 0.035, 0.14),
        ("amazon.nova-lite-v1:0", 0.06, 0.24),
        ("amazon.nova-pro-v1:0", 0.80, 3.20),
        ("anthropic.claude-3-haiku-20240307-v1:0", 0.25, 1.25),
        ("anthropic.claude-3-5-haiku-20241022-v1:0", 0.80, 4.00),
    )
}
"""On demand in us-east-1, as widely listed in September 2026; other regions differ, and prices change."""


def bedrock_price(model: str) -> TokenPrice | None:
    """Return the listed price of a model or of a regional inference profile for it."""
    for prefix in _PREFIXES:
        model = model.removeprefix(prefix)
    return BEDROCK_PRICES.get(model)
