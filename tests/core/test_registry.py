"""A plugin that breaks the contract is refused by name."""

from __future__ import annotations

import pytest

from embedrun import PluginError, UserError
from embedrun.registry import Registry
from embedrun.stages import KINDS, Filter, Loss

HEAD = """\
from typing import Literal
from embedrun import Filter, hookimpl

class Mine(Filter):
    '''Keeps everything.'''
    type: Literal["mine"] = "mine"
    def run(self, ctx, data):
        return data

"""

BROKEN = {
    "a misspelt hook": (
        HEAD + "@hookimpl\ndef embedrun_stagez():\n    return [Mine]\n",
        "there is no hook 'embedrun_stagez'; did you mean 'embedrun_stages'?",
    ),
    "an unknown argument": (HEAD + "@hookimpl\ndef embedrun_stages(what):\n    return [Mine]\n", "what"),
    "an abstract class": (
        (
            "from typing import Literal\nfrom embedrun import Filter, hookimpl\n"
            "class Mine(Filter):\n    type: Literal['mine'] = 'mine'\n"
            "@hookimpl\ndef embedrun_stages():\n    return [Mine]\n"
        ),
        "Mine: does not define run",
    ),
    "no type": (
        (
            "from embedrun import Filter, hookimpl\nclass Mine(Filter):\n    def run(self, ctx, data): return data\n"
            "@hookimpl\ndef embedrun_stages():\n    return [Mine]\n"
        ),
        "Mine: needs a type of its own",
    ),
    "a taken type": (
        HEAD.replace("Filter", "Runtime").replace('"mine"', '"local"').replace("ctx, data", "job")
        + "@hookimpl\ndef embedrun_stages():\n    return [Mine]\n",
        "runtime 'local' is already provided by embedrun",
    ),
    "no class": (HEAD + "@hookimpl\ndef embedrun_stages():\n    return ['Mine']\n", "must return stage classes"),
    "an error at import": ("import nothing_of_that_name\n", "cannot be loaded: ModuleNotFoundError"),
    "a syntax error": ("def (:\n", "cannot be loaded: SyntaxError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_refused_by_name(tmp_path, name):
    code, message = BROKEN[name]
    file = tmp_path / "mine.py"
    file.write_text(code)
    with pytest.raises(PluginError) as refused:
        Registry([file])
    assert message in str(refused.value)
    assert "mine" in str(refused.value)


def test_a_missing_plugin_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        Registry([tmp_path / "gone.py"])


def test_a_local_plugin_is_owned_by_its_content(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(HEAD + "@hookimpl\ndef embedrun_stages():\n    return [Mine]\n")
    first = Registry([file]).entries(Filter)["mine"].owner
    file.write_text(file.read_text() + "# changed\n")
    second = Registry([file]).entries(Filter)["mine"].owner
    assert first.name == second.name == "mine.py"
    assert first.version != second.version


def reference(kind: str, name: str, target: str) -> str:
    return (
        "from embedrun import StageReference, hookimpl\n@hookimpl\ndef embedrun_stages():\n"
        f"    return [StageReference({kind!r}, {name!r}, {target!r})]\n"
    )


LENGTH = "embedrun_plugins.stages.filters.length:Length"


@pytest.mark.parametrize(
    ("kind", "name", "target", "message"),
    [
        ("filters", "mine", "nothing_of_that_name:Mine", "cannot be loaded: ModuleNotFoundError"),
        ("filters", "mine", "embedrun_plugins.stages.filters.length:Mine", "cannot be loaded: AttributeError"),
        ("filters", "mine", LENGTH, "is no filters 'mine'"),
        ("loss", "length", LENGTH, "is no loss 'length'"),
        ("filters", "mine", "embedrun:UserError", "must return stage classes"),
    ],
)
def test_a_stage_that_is_not_what_its_plugin_says_is_refused_when_it_is_named(tmp_path, kind, name, target, message):
    file = tmp_path / "mine.py"
    file.write_text(reference(kind, name, target))
    registry = Registry([file])
    (asked,) = (each for each in KINDS if each.kind == kind)
    with pytest.raises(PluginError, match=r"mine\.py") as refused:
        registry.find(asked, {"type": name})
    assert message in str(refused.value)


def test_a_stage_of_no_kind_is_refused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(reference("filter", "mine", LENGTH))
    with pytest.raises(PluginError, match=r"mine\.py.*: there is no kind 'filter'; did you mean 'filters'\?"):
        Registry([file])


def test_built_in_stages_come_from_the_package():
    assert all(entry.owner.name == "embedrun" for entry in Registry().entries(Loss).values())
