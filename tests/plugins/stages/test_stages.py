"""The table of the built-in stages is what their classes say."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

from embedrun.registry import Registry
from embedrun.stages import KINDS, Stage
from embedrun_plugins import stages


def subclasses(cls: type[Stage]) -> Iterator[type[Stage]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def test_every_built_in_stage_is_in_the_table_under_its_own_kind_and_type():
    for module in walk_packages(stages.__path__, f"{stages.__name__}."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    registry = Registry()
    for kind in KINDS:
        listed = {entry.stage for entry in registry.entries(kind).values() if entry.owner.name == "embedrun"}
        public = [
            stage
            for stage in subclasses(kind)
            if stage.kind == kind.kind and "rehearsal" not in stage.__module__ and stage.__name__[0] != "_"
        ]
        typed = [stage for stage in public if not stage.model_fields["type"].is_required()]
        complete = {stage for stage in typed if not stage.__abstractmethods__}
        assert listed == {stage for stage in complete if stage.__module__.startswith("embedrun_plugins.stages.")}


def test_the_table_is_in_the_order_of_the_recipes_keys():
    kinds = list(dict.fromkeys(reference.kind for reference in stages.STAGES))
    assert kinds == [kind.kind for kind in KINDS]
