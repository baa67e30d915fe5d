"""Plugins that are installed beside embedrun go into the image, or it is said why they cannot."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

from embedrun.errors import UserError
from embedrun_plugins.services import docker
from embedrun_plugins.services.docker.distributions import own, packed, plugins
from embedrun_plugins.services.docker.requirements import needs
from embedrun_plugins.services.docker.wheels import Packed

CONSTRAINTS = "numpy==2.4.6\ntorch==2.13.0\n"


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder of installed packages on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def install(site: Path, name: str, files: dict[str, str], *, requires: tuple[str, ...] = (), **metadata: str) -> None:
    """Install a distribution as pip does."""
    module = name.replace("-", "_")
    described = {
        "METADATA": "".join(
            [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", *(f"Requires-Dist: {r}\n" for r in requires)]
        ),
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": f"[embedrun]\n{module} = {module}\n",
        "INSTALLER": "pip\n",
        **{
            key.replace("direct_url", "direct_url.json").replace("top_level", "top_level.txt"): text
            for key, text in metadata.items()
        },
    }
    written = {**files, **{f"{module}-1.2.dist-info/{key}": text for key, text in described.items() if text}}
    for path, text in written.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    record = "".join(f"{path},,\n" for path in [*written, f"{module}-1.2.dist-info/RECORD"])
    (site / f"{module}-1.2.dist-info/RECORD").write_text(record)


def found(site: Path, name: str) -> Distribution:
    return next(one for one in distributions(path=[str(site)]) if one.name == name)


def editable(folder: Path) -> str:
    return json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}})


def test_embedrun_packed_is_a_wheel_that_installs_and_runs_anywhere(tmp_path):
    wheel = tmp_path / own().file_name
    wheel.write_bytes(own().wheel())
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, str(tmp_path / "site"), str(wheel)], check=True, capture_output=True)
    program = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); from embedrun.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "check", "quickstart"], capture_output=True, text=True, cwd="/", check=False
    )
    assert f"{tmp_path}/site/embedrun/_data/recipes/quickstart.yaml: ok" in done.stdout, done.stderr


def test_a_plugin_is_packed_with_its_files_and_its_entry_point(site):
    files = {"acme/__init__.py": "x = 1\n", "acme/words.txt": "a\n", "acme/__pycache__/__init__.cpython-311.pyc": ""}
    install(site, "acme", files)
    made = packed(found(site, "acme"))
    assert set(made.files) == {"acme/__init__.py", "acme/words.txt"}
    assert set(made.metadata) == {"METADATA", "entry_points.txt"}
    assert made.wheel() == packed(found(site, "acme")).wheel()


def test_plugins_are_found_by_their_entry_point(site):
    install(site, "acme", {"acme/__init__.py": ""})
    assert [plugin.name for plugin in plugins()] == ["acme"]
    assert "wheels/acme-1.2-py3-none-any.whl" in docker.pack(base_image="debian:13").files


def test_a_plugin_that_is_installed_in_place_is_packed_from_its_project(site, tmp_path):
    project = tmp_path / "project"
    for name in ("src/acme/__init__.py", "src/acme/deep/more.py", "src/acme_shared/__init__.py", "tests/test_acme.py"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("")
    install(site, "acme", {"acme.pth": f"{project}/src\n"}, direct_url=editable(project))
    sys.path.append(str(project / "src"))
    try:
        made = packed(found(site, "acme"))
    finally:
        sys.path.remove(str(project / "src"))
    assert set(made.files) == {"acme/__init__.py", "acme/deep/more.py", "acme_shared/__init__.py"}


def test_what_a_plugin_needs_is_installed_in_the_version_that_is_here_unless_it_is_pinned(site):
    install(site, "tool", {"tool/__init__.py": ""}, requires=("deeper>=1",), entry_points="")
    install(site, "deeper", {"deeper/__init__.py": ""}, entry_points="")
    requires = ("numpy>=2", "tool[fast]>=1", "embedrun[tracking]", "gone>=3", 'mac>=1; sys_platform == "darwin"')
    install(site, "acme", {"acme/__init__.py": ""}, requires=requires)
    needed = needs((), [found(site, "acme")], CONSTRAINTS)
    assert {"numpy>=2", "tool[fast]==1.2", "deeper==1.2", "gone>=3", "tensorboard>=2.19"} <= set(needed.more)
    assert not [line for line in needed.more if line.startswith("mac")]
    assert [wheel.name for wheel in needed.wheels] == ["acme"]


def test_what_a_plugin_needs_that_no_index_has_is_packed_too(site):
    local = json.dumps({"url": "file:///srv/shared", "dir_info": {}})
    install(site, "shared", {"shared/__init__.py": ""}, entry_points="", direct_url=local)
    install(site, "acme", {"acme/__init__.py": ""}, requires=("shared",))
    needed = needs((), [found(site, "acme")], CONSTRAINTS)
    assert [wheel.name for wheel in needed.wheels] == ["acme", "shared"]
    assert needed.more == []


COMPILED = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n"


def test_a_compiled_plugin_comes_from_its_index_by_name_and_version(site):
    install(site, "acme", {"acme/__init__.py": ""}, WHEEL=COMPILED)
    needed = needs((), [found(site, "acme")], CONSTRAINTS)
    assert needed.more == ["acme==1.2"]
    assert needed.wheels == []


def test_a_compiled_plugin_that_no_index_has_cannot_be_packed(site, tmp_path):
    install(site, "acme", {"acme/__init__.py": ""}, WHEEL=COMPILED, direct_url='{"url": "file:///x.whl"}')
    with pytest.raises(UserError, match=r"acme: cannot be packed: it has compiled modules .*install it from an index"):
        needs((), [found(site, "acme")], CONSTRAINTS)
    project = tmp_path / "project"
    (project / "beta").mkdir(parents=True)
    (project / "beta/__init__.py").write_text("")
    (project / "beta/fast.so").write_text("")
    install(site, "beta", {"beta.pth": f"{project}\n"}, direct_url=editable(project))
    sys.path.append(str(project))
    try:
        with pytest.raises(UserError, match=r"beta: cannot be packed: beta/fast\.so is compiled for this machine"):
            packed(found(site, "beta"))
    finally:
        sys.path.remove(str(project))


def test_what_nothing_records_the_files_of_cannot_be_packed(site):
    install(site, "acme", {"acme/__init__.py": ""}, WHEEL="")
    with pytest.raises(UserError, match="acme: cannot be packed: nothing records its files; reinstall it"):
        packed(found(site, "acme"))


def test_a_wheel_lists_its_files_as_pip_wants_them():
    made = Packed("Acme.Plugin", "1.0", {"acme/a,b.txt": b"x"}, {"METADATA": b"Name: Acme.Plugin\nVersion: 1.0\n"})
    assert made.file_name == "acme_plugin-1.0-py3-none-any.whl"
    assert b'"acme/a,b.txt",sha256=' in made.record
    names = zipfile.ZipFile(io.BytesIO(made.wheel())).namelist()
    assert names[-1] == "acme_plugin-1.0.dist-info/RECORD"
