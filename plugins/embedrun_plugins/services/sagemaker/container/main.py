"""One container of a SageMaker training job, from its configuration to its exit code."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from embedrun.errors import EmbedrunError
from embedrun_plugins.services.distributed.nodes import Nodes
from embedrun_plugins.services.sagemaker.container.contract import Container, JobConfiguration, Resources, bug
from embedrun_plugins.services.sagemaker.container.follower import Follower, Leader
from embedrun_plugins.services.sagemaker.container.leader import Run
from embedrun_plugins.services.sagemaker.container.rendezvous import opened
from embedrun_plugins.services.sagemaker.container.run_recipe import STOPPED


def train(container: Container, port: int) -> tuple[int, str]:
    """Do this container's part of the job; return its exit code, and why it failed, if it did.

    The code is 0 where the job is done, 1 where it failed, which `output/failure` explains, and 143 where SIGTERM
    stopped it with a checkpoint.
    """
    with TemporaryDirectory(prefix="embedrun-") as scratch:
        try:
            code, reason = _part(container, JobConfiguration.read(container).resources, port, Path(scratch))
        except EmbedrunError as error:
            code, reason = 1, str(error)
        except Exception as error:  # noqa: BLE001 # the job's owner must be told of a bug, too
            code, reason = 1, bug(error)
    if reason:
        container.fail(reason)
    return code, reason


def _part(container: Container, resources: Resources, port: int, scratch: Path) -> tuple[int, str]:
    if len(resources.hosts) == 1:
        return Run(container.prefix, scratch).watch()
    rank, count = resources.rank, len(resources.hosts)
    if rank:
        nodes = Nodes(count, rank, resources.first, port)
        first = Leader(resources.first, port + 1, resources.current_host)
        return _helped(Follower(first, nodes, scratch, network(resources)))
    nodes = Nodes(count, 0, resources.first, port, str(scratch / "outbox"))
    with ExitStack() as stack:
        desk = stack.enter_context(opened(scratch / "outbox", resources.sorted_hosts, resources.first, port + 1))
        code, reason = Run(container.prefix, scratch, nodes.environment() | network(resources)).watch(desk)
        desk.close(code, reason)
    return code, reason


def network(resources: Resources) -> dict[str, str]:
    """Return the variables that tell NCCL and gloo which network joins the machines."""
    name = resources.network_interface_name
    return {"NCCL_SOCKET_IFNAME": name, "GLOO_SOCKET_IFNAME": name} if name else {}


def _helped(helper: Follower) -> tuple[int, str]:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        return helper.work()
    except KeyboardInterrupt:
        return STOPPED, ""
    finally:
        signal.signal(signal.SIGTERM, before)
