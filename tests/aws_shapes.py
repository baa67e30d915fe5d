"""What AWS's own description of SageMaker's API allows."""

from __future__ import annotations

import functools
import re
from typing import Any


@functools.cache
def _service() -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model("sagemaker")


def outside_enums(operation: str, given: dict[str, Any]) -> list[str]:
    """Say which values are none of those that AWS's own description of its API allows."""
    model = _service()
    found: list[str] = []

    def look(shape: Any, value: Any, place: str) -> None:
        if shape.type_name == "structure":
            for key, inner in value.items():
                if key in shape.members:
                    look(shape.members[key], inner, f"{place}.{key}")
        elif shape.type_name == "list":
            for inner in value:
                look(shape.member, inner, f"{place}[]")
        elif getattr(shape, "enum", None) and value not in shape.enum:
            found.append(
                f"Value '{value}' at '{place}' failed to satisfy constraint: Member must satisfy enum value set"
            )
        pattern = shape.metadata.get("pattern")
        if pattern and isinstance(value, str) and not re.fullmatch(pattern.replace(r"\p{L}\p{Z}\p{N}", r"\w\s"), value):
            found.append(f"Value '{value}' at '{place}' failed to satisfy constraint: {pattern}")

    if operation in model.operation_names:
        look(model.operation_model(operation).input_shape, given, operation)
    return found
