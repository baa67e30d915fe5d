"""`embedrun image`: what the image would be built from, without an engine, and with one what it is."""

from __future__ import annotations

import shlex

import pytest

from embedrun_plugins.services import docker


@pytest.fixture(autouse=True)
def _settings(request, monkeypatch):
    if "engine" not in request.fixturenames:
        monkeypatch.delenv("EMBEDRUN_BASE_IMAGE", raising=False)
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def test_what_another_builder_needs_is_written_with_the_command_for_it(project):
    done = project.run("image", "build", "--context", "made", "--base-image", "debian:13", "--extras", "tracking")
    assert done.code == 0, done.err
    words = shlex.split(done.out)
    assert words[:2] == ["docker", "build"]
    assert words[-1] == "made"
    assert words[words.index("-t") + 1] == docker.wanted(["tracking"], "debian:13")
    assert "BASE_IMAGE=debian:13" in words
    assert "tensorboard>=2.19\n" in (project.folder / "made/extras.txt").read_text()
    again = project.run("image", "build", "--context", "made")
    assert (again.code, again.err) == (2, "made: is there already; name a new folder\n")


def test_the_command_for_another_builder_says_all_that_was_asked_for(project, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    asked = ("--build-arg", "BUILD_PACKAGES=gcc libc6-dev", "--network", "host", "--tag", "mine:1")
    words = shlex.split(project.run("image", "build", "--context", "made", *asked).out)
    for word in ("BUILD_PACKAGES=gcc libc6-dev", "PIP_INDEX_URL=https://index.example/simple"):
        assert words[words.index(word) - 1] == "--build-arg"
    assert words[words.index("--network") + 1] == "host"
    assert words[-4:] == [docker.wanted(), "-t", "mine:1", "made"]


def test_what_is_refused_writes_no_context(project):
    done = project.run("image", "build", "--context", "made", "--build-arg", "RUN_AS=0")
    assert (done.code, done.err.startswith("--build-arg RUN_AS: ")) == (2, True)
    assert not (project.folder / "made").exists()


@pytest.mark.parametrize("words", [("build",), ("show",), ("show", "debian:13")], ids=" ".join)
def test_without_an_engine_it_is_said_how_to_get_one(project, words):
    pytest.importorskip("docker")
    done = project.run("image", *words)
    assert done.code == 2
    assert "no container engine at unix:///nowhere/docker.sock (DOCKER_HOST): install Docker" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--extras", "trakcing"), "did you mean 'tracking'?"),
        (("--base-image", "http://x"), "'http://x' is not an image name"),
        (("--user", "me"), "'me' is not a user id such as 1000"),
        (("--build-arg", "PIP_SURELY_UNSET"), "'PIP_SURELY_UNSET' is not set in the environment"),
    ],
    ids=str,
)
def test_wrong_words_are_refused(project, words, said):
    done = project.run("image", "build", *words)
    assert done.code == 2
    assert said in done.err


@pytest.mark.docker
def test_the_built_image_is_shown_layer_by_layer(project, engine, image):
    shown = project.run("image", "show", image.reference, "--json").json
    assert shown["id"] == image.id
    assert shown["digest"] is None
    torch = next(layer for layer in shown["layers"] if layer["made_by"].endswith("torch.txt torch"))
    assert torch["size"] > 300e6
    assert sum(layer["size"] for layer in shown["layers"]) == pytest.approx(shown["size"], rel=0.01)
    text = project.run("image", "show", image.id)
    assert text.code == 0
    assert "RUN /opt/embedrun/pip.sh install --constraint /opt/embedrun/torch.txt torch" in text.out
    missing = project.run("image", "show", "--extras", "tracking")
    assert missing.code == 2
    assert "is not here; build it: embedrun image build" in missing.err


@pytest.mark.docker
def test_an_image_is_built_under_a_further_name(project, engine, image):
    done = project.run("image", "build", "--json", "--tag", "embedrun-tests:named")
    assert done.code == 0, done.err
    try:
        assert done.json["reference"] == "embedrun-tests:named"
        assert done.json == project.run("image", "show", "embedrun-tests:named", "--json").json
        assert "FROM " in done.err
    finally:
        engine.images.remove("embedrun-tests:named", force=True)


@pytest.mark.docker
def test_what_is_no_name_is_refused(project, engine, base):
    done = project.run("image", "build", "--tag", "Not A Name")
    assert (done.code, done.out) == (2, "")
    assert done.err == "--tag: 'Not A Name' is not an image name such as embedrun:mine\n"
