"""`embedrun verify`: golden texts through everything that a run deployed."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun import EmbedrunError, RunRecord, UserError
from embedrun.model_settings import ModelSettings
from embedrun_plugins.cli.arguments import runs
from embedrun_plugins.cli.console import say
from embedrun_plugins.results.runs import find_run
from embedrun_plugins.services.endpoints.deployed import Deployed, deployed
from embedrun_plugins.services.endpoints.folder_transport import FolderTransport
from embedrun_plugins.services.endpoints.transports import Transport

if TYPE_CHECKING:
    from embedrun_plugins.services.endpoints.parity.gate import Gate, Proof

FAILED = 1


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or a recipe's name for its latest run")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    runs(parser)


def run(arguments: Namespace) -> int:
    record = RunRecord.read(find_run(arguments.run, arguments.runs))
    endpoints = deployed(record.folder)
    if not any(_transport(deployment) for deployment in endpoints):
        silent = ", ".join(deployment.name for deployment in endpoints)
        reason = (
            f"what it deployed embeds no texts ({silent})" if endpoints else "it deployed nothing, or it was deleted"
        )
        raise UserError(f"{record.folder}: nothing to verify: {reason}")
    results = list(_results(record, endpoints, arguments))
    if arguments.json:
        print(json.dumps({"run": str(record.folder), "endpoints": results}))
    return 0 if all(result["holds"] is not False for result in results) else FAILED


def _results(record: RunRecord, deployments: Sequence[Deployed], arguments: Namespace) -> Iterator[dict[str, Any]]:
    from embedrun_plugins.services.endpoints.parity.gate import Gate
    from embedrun_plugins.services.endpoints.parity.run_models import base_of, last_of

    gate = Gate.of(last_of(record, arguments.runs, offline=arguments.offline), base_of(record))
    trusted = bool(record.recipe["model"].get("trust_remote_code"))
    for deployment in deployments:
        result = _result(deployment, gate, trusted=trusted)
        say(result.pop("told"))
        yield {"deployer": deployment.name, **result}


def _result(deployment: Deployed, gate: Gate, *, trusted: bool) -> dict[str, Any]:
    transport = _transport(deployment, trusted=trusted)
    address = deployment.endpoint.url or deployment.endpoint.path or ""
    if transport is None:
        return {"holds": None, "told": f"{deployment.name} {address}: embeds no texts, so it is not verified"}
    with closing(transport):
        try:
            proof = gate.at_least(getattr(deployment.deployer, "parity", None)).prove(transport, deployment.reading)
        except EmbedrunError as error:
            sentence = f"{deployment.name}: {error}"
            return {"where": transport.where, "holds": False, "causes": [str(error)], "told": sentence}
    return {**proof.described(), "told": _sentence(deployment, proof)}


def _transport(target: Deployed, *, trusted: bool = False) -> Transport | None:
    """Return what embeds texts by it: its endpoint, or the model in a folder that was written.

    Code that comes with the model is run where the recipe trusts it.
    """
    if target.transport or not target.endpoint.path:
        return target.transport
    return FolderTransport(Path(target.endpoint.path), ModelSettings(trust_remote_code=trusted))


def _sentence(deployment: Deployed, proof: Proof) -> str:
    if not proof.holds:
        return f"{deployment.name}: {proof}"
    cosine = f"{proof.closeness.cosine:.6f}" if proof.closeness else ""
    sent = f"{proof.texts} texts as queries and as documents"
    return f"{deployment.name} {proof.where}: answers with the model's vectors ({sent}, worst cosine {cosine})"
