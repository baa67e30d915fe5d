"""What an image is built from follows from what is installed, and its name from that."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from embedrun.errors import UserError
from embedrun_plugins.services import docker
from embedrun_plugins.services.docker import contents, distributions
from embedrun_plugins.services.docker.contents import passed

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    for name in (
        "EMBEDRUN_BASE_IMAGE",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_DEFAULT_TIMEOUT",
    ):
        monkeypatch.delenv(name, raising=False)


def test_the_same_files_make_the_same_image():
    one, two = docker.pack(), docker.pack()
    assert one.reference == two.reference == docker.wanted()
    assert one.archive() == two.archive()
    assert one.reference.startswith(f"embedrun:{version('embedrun')}-")


@pytest.mark.parametrize("change", [{"base_image": "debian:13"}, {"extras": ["tracking"]}, {"user": 0}], ids=str)
def test_another_base_extra_or_user_makes_another_image(change):
    assert docker.wanted(**change) != docker.wanted()


def test_extras_that_every_image_has_change_nothing():
    assert docker.wanted(["serve", "mining"]) == docker.wanted()


def test_changed_code_makes_another_image_but_changes_nothing_that_is_installed_before_it(monkeypatch):
    before = docker.pack()
    own = distributions.own()
    files = {**own.files, "embedrun/hashing.py": own.files["embedrun/hashing.py"] + b"\n"}
    monkeypatch.setattr(distributions, "own", lambda: type(own)(own.name, own.version, files, own.metadata))
    after = docker.pack()
    assert after.reference != before.reference
    changed = [name for name in before.files if before.files[name] != after.files[name]]
    assert changed == [f"wheels/{own.file_name}"]


def test_a_raised_pin_of_something_else_installs_torch_not_again(monkeypatch, tmp_path):
    before = docker.pack()
    files = distributions.docker_files()
    raised = tmp_path / "constraints.txt"
    raised.write_text(files["constraints.txt"].read_text().replace("starlette==", "starlette==9."))
    monkeypatch.setattr(distributions, "docker_files", lambda: {**files, "constraints.txt": raised})
    after = docker.pack()
    assert after.reference != before.reference
    assert after.files["torch.txt"] == before.files["torch.txt"]
    assert "torch==" in before.files["torch.txt"].decode()


def test_the_base_is_named_by_a_variable_too_and_otherwise_by_the_dockerfile(monkeypatch):
    assert docker.pack().arguments["BASE_IMAGE"].startswith("nvidia/cuda:")
    monkeypatch.setenv("EMBEDRUN_BASE_IMAGE", "debian:13")
    assert docker.pack().arguments["BASE_IMAGE"] == "debian:13"


def test_what_is_no_image_or_extra_is_refused():
    with pytest.raises(UserError, match="'https://x/y' is not an image name"):
        docker.pack(base_image="https://x/y")
    with pytest.raises(UserError, match="no extra 'mine'; did you mean 'mining'"):
        docker.pack(["mine"])
    with pytest.raises(UserError, match="'offline' cannot be installed in an image"):
        docker.pack(["offline"])


def test_a_checkout_and_a_wheel_of_it_make_the_same_image(tmp_path):
    build = "from hatchling.build import build_wheel; import sys; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(tmp_path / "site")
    shown = [
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for program in (
            f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n{DIGESTS}",
            f"import sys\nsys.path.append({str(tmp_path / 'site')!r})\n{DIGESTS}",
        )
    ]
    assert shown[0] == shown[1]
    assert "embedrun_plugins/services/docker/contents.py" in shown[0]


DIGESTS = """
from embedrun_plugins.services.docker import distributions
print("\\n".join(line for line in distributions.own().record.decode().splitlines() if ".dist-info/" not in line))
"""
"""What pip wrote down about a checkout is as old as its installation."""


def test_the_context_holds_what_the_dockerfile_copies_with_its_rights(tmp_path):
    packed = docker.pack()
    with tarfile.open(fileobj=io.BytesIO(packed.archive())) as archive:
        rights = {entry.name: entry.mode for entry in archive}
    dockerfile = packed.files["Dockerfile"].decode()
    copied = {word for line in dockerfile.splitlines() if line.startswith("COPY") for word in line.split()[1:-1]}
    assert copied <= {name.split("/")[0] for name in rights}
    assert {name for name, mode in rights.items() if mode == 0o755} == {"entrypoint.sh", "pip.sh"}
    packed.write(tmp_path / "context")
    assert (tmp_path / "context/entrypoint.sh").stat().st_mode & 0o777 == 0o755
    with pytest.raises(UserError, match="is there already"):
        packed.write(tmp_path / "context")


def test_the_dockerfile_is_for_any_builder():
    dockerfile = docker.pack().files["Dockerfile"].decode()
    assert "--mount" not in dockerfile
    assert "--chmod" not in dockerfile
    assert "<<" not in dockerfile
    assert not dockerfile.startswith("# syntax")


def test_pips_settings_are_passed_on_but_no_path_of_this_machine(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/srv/wheels")
    assert passed({"PIP_RETRIES": "1"}) == {"PIP_INDEX_URL": "https://index.example/simple", "PIP_RETRIES": "1"}
    assert passed({"PIP_INDEX_URL": "https://other.example"})["PIP_INDEX_URL"] == "https://other.example"


@pytest.mark.parametrize("before", ["me:secret", "secret", ":secret", "secret:"])
def test_a_password_or_token_is_not_passed_since_the_images_history_would_show_it(monkeypatch, before):
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"https://other.example https://{before}@index.example/simple")
    with pytest.raises(UserError, match="PIP_EXTRA_INDEX_URL: holds a password") as error:
        passed({})
    assert "secret" not in str(error.value)
    assert passed({"PIP_EXTRA_INDEX_URL": ""})["PIP_EXTRA_INDEX_URL"] == ""


@pytest.mark.parametrize(("name", "how"), [("BASE_IMAGE", "--base-image"), ("VERSION", "cannot be chosen")])
def test_a_build_argument_that_would_make_the_images_name_a_lie_is_refused(name, how):
    packed = docker.pack()
    with pytest.raises(UserError, match=f"--build-arg {name}: .*{how}"):
        packed.told({name: "debian:13"})
    assert packed.told({"BUILD_PACKAGES": "gcc"}) == {**packed.arguments, "BUILD_PACKAGES": "gcc"}


@pytest.mark.parametrize(
    ("version", "tag"), [("1.0", "embedrun:1.0-"), ("1.0.dev3+g12", "embedrun:1.0.dev3-g12-")], ids=str
)
def test_any_version_makes_a_name_that_engines_take(version, tag, monkeypatch):
    monkeypatch.setattr(contents, "version", lambda _: version)
    assert docker.wanted().startswith(tag)
