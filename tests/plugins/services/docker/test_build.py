"""Builds and pulls that go wrong say what went wrong and leave nothing behind."""

from __future__ import annotations

import time

import pytest

from embedrun.errors import StageError, UserError
from embedrun_plugins.services import docker
from embedrun_plugins.services.docker.build import _Progress, pull
from embedrun_plugins.services.docker.contents import BuildContext


def made(dockerfile: str, reference: str = "embedrun:tests-failing", **arguments: str) -> BuildContext:
    return BuildContext({"Dockerfile": dockerfile.encode()}, arguments, reference)


def reason(said: str, step: str = "RUN pip", kind: str = "base image") -> Exception:
    client = type("Client", (), {"info": lambda _: {"Architecture": "x86_64"}})()
    return _Progress(print, "debian:13", client, kind, step).failure(said)


@pytest.mark.parametrize(
    ("said", "step", "expected"),
    [
        ("pull access denied for debian, repository does not exist", "FROM x", "you may not have it: `docker login`"),
        ("manifest for debian:13 not found: manifest unknown", "FROM x", "there is no such image; name another with"),
        ("Get https://r/v2/: dial tcp: lookup r: no such host", "", "its registry cannot be reached"),
        ("no matching manifest for linux/amd64 in the manifest list", "FROM x", "for this engine's processors (amd64)"),
        ("exec /bin/sh: exec format error", "RUN pip", "for this engine's processors (amd64)"),
        ("write /opt/x: no space left on device", "RUN pip", "the engine's disk is full at 'RUN pip'"),
        ("The command '/bin/sh -c pip' returned a non-zero code: 3", "RUN pip", "failed at 'RUN pip': exit code 3"),
    ],
)
def test_what_an_engine_refuses_is_explained(said, step, expected):
    assert expected in str(reason(said, step))


@pytest.mark.parametrize("step", ["Step 2/3 : RUN true", "STEP 2/3: RUN true"], ids=["docker", "podman"])
def test_each_step_is_told_and_so_is_a_long_download_in_it(step):
    lines: list[str] = []
    printed = (
        f"{step}\n ---> Running in 0a1b\n  Downloading torch-2.13.0.whl (866.9 MB)\n  Downloading six.whl (11 kB)\n"
    )
    _Progress(lines.append, "debian:13", None).follow([{"stream": printed}])
    assert lines == ["2/3 RUN true", "    Downloading torch-2.13.0.whl (866.9 MB)"]


@pytest.mark.docker
def test_a_failing_step_is_shown_with_what_it_said_last(engine, base):
    lines = "; ".join(f"echo line {n}" for n in range(40))
    with pytest.raises(StageError) as error:
        docker.build(
            engine, made(f"FROM {base}\nRUN true\nRUN {lines}; sleep 0.3; echo 'no wheel for x' >&2; exit 7\n"), print
        )
    shown = str(error.value).splitlines()
    assert "exit code 7" in shown[0]
    assert "no wheel for x" in [line.strip() for line in shown]
    assert len(shown) < 30
    assert docker.describe(engine, "embedrun:tests-failing") is None
    assert not [
        c
        for c in engine.containers.list(all=True, ignore_removed=True)
        if "no wheel for x" in str(c.attrs["Config"]["Cmd"])
    ]


@pytest.mark.docker
def test_a_full_disk_is_called_that(engine, base):
    with pytest.raises(StageError, match=r"the engine's disk is full at 'RUN cat .*docker system prune"):
        docker.build(engine, made(f"FROM {base}\nRUN cat /etc/passwd > /dev/full\n"), print)


@pytest.mark.docker
def test_a_base_that_is_nowhere_is_told_with_how_to_name_another(engine):
    with pytest.raises(UserError, match=r"base image nowhere\.invalid/none:1: .*--base-image"):
        docker.build(engine, made("FROM nowhere.invalid/none:1\n", BASE_IMAGE="nowhere.invalid/none:1"), print)


@pytest.mark.docker
def test_an_image_that_a_user_names_is_pulled_or_its_absence_told(engine):
    with pytest.raises(UserError, match=r"image nowhere\.invalid/none@sha256:0+: .*check its name"):
        pull(engine, f"nowhere.invalid/none@sha256:{'0' * 64}", print)
    with pytest.raises(UserError, match=r"Not A Name"):
        docker.provided(engine, "Not A Name", (), None, print)


@pytest.mark.docker
def test_an_image_for_other_processors_is_refused(engine, base):
    made_for = docker.describe(engine, base).architecture
    assert docker.provided(engine, base, (), None, print).reference == base
    with pytest.raises(UserError, match=f"is made for {made_for}, and the engine runs on s390x"):
        docker.provided(Elsewhere(engine), base, (), None, print)


class Elsewhere:
    """A real engine that says that it runs on another kind of processor."""

    def __init__(self, client):
        self.api = client.api

    def info(self):
        return {"Architecture": "s390x"}


@pytest.mark.docker
def test_an_interrupted_build_leaves_no_container(engine, base):
    before = {container.id for container in engine.containers.list(all=True, ignore_removed=True)}

    def interrupt(line: str) -> None:
        if "sleep 300" in line:
            raise KeyboardInterrupt

    step = f"RUN echo {time.time()}; sleep 300"
    with pytest.raises(KeyboardInterrupt):
        docker.build(engine, made(f"FROM {base}\n{step}\n"), interrupt)
    deadline = time.monotonic() + 30
    while (left := sleeping(engine, before)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left
    assert docker.describe(engine, "embedrun:tests-failing") is None


def sleeping(engine, before: set[str]) -> list[str]:
    """Return the containers of the interrupted build; others may build at the same time."""
    new = [
        container for container in engine.containers.list(all=True, ignore_removed=True) if container.id not in before
    ]
    return [container.id for container in new if "sleep 300" in " ".join(container.attrs["Config"]["Cmd"] or [])]
