"""What the server answers when it cannot embed: TEI's codes and bodies."""

from __future__ import annotations

from typing import Literal

ErrorType = Literal["Empty", "Validation", "Overloaded", "Backend", "Unauthorized", "NotFound", "Cancelled"]
STATUS: dict[ErrorType, int] = {
    "Empty": 400,
    "Validation": 422,
    "Overloaded": 429,
    "Backend": 424,
    "Unauthorized": 401,
    "NotFound": 404,
    "Cancelled": 499,
}


class RequestError(Exception):
    """A request that gets an error as its answer."""

    def __init__(self, kind: ErrorType, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.kind: ErrorType = kind
        self.status = STATUS[kind] if status is None else status

    @property
    def message(self) -> str:
        return f"Input validation error: {self}" if self.kind in {"Empty", "Validation"} else str(self)
