"""Fields are documented by the docstrings under them, whoever defines the class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from embedrun import Filter, Unkeyed
from embedrun_plugins.stages.docstrings import DescribedSchema, descriptions


class Limits(BaseModel):
    """What is nested need not know of embedrun."""

    most: int = 1
    """Most of them."""


class Keeps(Filter):
    """Keeps everything."""

    first: int = 1
    """The first line.

    Another paragraph.
    """
    second: Annotated[int, Unkeyed] = Field(2, description="Said in the field.")
    """Not this."""
    third: int = 3
    limits: Limits = Limits()


class KeepsMore(Keeps):
    """Keeps everything, too."""

    type: Literal["keeps_more"] = "keeps_more"
    third: int = 4
    """Now it has one."""
    first: int = 5

    def run(self, ctx, data):
        return data


def test_a_docstring_under_a_field_documents_it_unless_the_field_says_it_itself():
    assert descriptions(Keeps) == {"first": "The first line.\n\nAnother paragraph.", "second": "Said in the field."}


def test_an_inherited_field_keeps_its_documentation_and_a_field_defined_anew_has_its_own():
    assert descriptions(KeepsMore) == {"second": "Said in the field.", "third": "Now it has one."}


def test_a_class_in_a_function_is_read_too():
    class Inner(BaseModel):
        name: str
        """Its name."""

    assert descriptions(Inner) == {"name": "Its name."}


def test_a_class_without_source_has_no_documentation():
    namespace = {"__name__": "typed_in", "BaseModel": BaseModel}
    exec("class Typed(BaseModel):\n    name: str\n    'Its name.'\n", namespace)
    assert descriptions(namespace["Typed"]) == {}


def test_a_schema_has_the_documentation_of_nested_models_too():
    schema = KeepsMore.model_json_schema(schema_generator=DescribedSchema)
    assert schema["properties"]["third"]["description"] == "Now it has one."
    assert schema["$defs"]["Limits"]["properties"]["most"]["description"] == "Most of them."
    assert "description" not in schema["properties"]["first"]
