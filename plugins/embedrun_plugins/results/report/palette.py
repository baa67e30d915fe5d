"""The report's colours, for light and for dark screens."""

from __future__ import annotations

from collections.abc import Mapping

LIGHT = {
    "page": "#f4f6f8",
    "card": "#ffffff",
    "inset": "#eef1f5",
    "line": "#d5dbe3",
    "ink": "#18202b",
    "muted": "#505c6b",
    "link": "#0b57b5",
    "base": "#667281",
    "tuned": "#1763c6",
    "merged": "#a94b06",
    "rival-1": "#7a3fb0",
    "rival-2": "#00736b",
    "rival-3": "#b0226e",
    "rival-4": "#6b6100",
    "good": "#12703a",
    "bad": "#b3261e",
    "unsure": "#7c5700",
}
DARK = {
    "page": "#0f1318",
    "card": "#181e26",
    "inset": "#212934",
    "line": "#38424f",
    "ink": "#e8ecf1",
    "muted": "#aab5c2",
    "link": "#8cbcff",
    "base": "#9ba7b4",
    "tuned": "#79b0ff",
    "merged": "#f2a45f",
    "rival-1": "#c79bf2",
    "rival-2": "#5fd0c5",
    "rival-3": "#f593c1",
    "rival-4": "#cfc35a",
    "good": "#68d391",
    "bad": "#ff958c",
    "unsure": "#e6bd57",
}
SERIES = ("base", "tuned", "merged")
"""Colours of a plot's lines and points, in order."""
RIVALS = ("rival-1", "rival-2", "rival-3", "rival-4")
"""Colours of the models to compare with, in order, then again from the first."""


def variables(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def style() -> str:
    """Return the colours as CSS, dark where the reader's system is."""
    dark = f"@media (prefers-color-scheme:dark){{:root{{color-scheme:dark;{variables(DARK)}}}}}"
    return f":root{{color-scheme:light;{variables(LIGHT)}}}{dark}"


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21, as WCAG 2.2 defines it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]  # noqa: PLR2004 - WCAG's
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
