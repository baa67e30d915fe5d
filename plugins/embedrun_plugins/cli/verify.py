"""`embedrun verify`: golden texts through everything that a run deployed."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun import EmbedrunError, RunRecord, UserError
from embedrun.record import find_run
from embedrun_plugins.cli.arguments import runs
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
    found = deployed(record.folder)
    if not any(_asked(one) for one in found):
        silent = ", ".join(one.name for one in found)
        reason = f"what it deployed embeds no texts ({silent})" if found else "it deployed nothing, or it was deleted"
        raise UserError(f"{record.folder}: nothing to verify: {reason}")
    results = list(_results(record, found, arguments))
    if arguments.json:
        print(json.dumps({"run": str(record.folder), "endpoints": results}))
    return 0 if all(result["holds"] is not False for result in results) else FAILED


def _results(record: RunRecord, found: Sequence[Deployed], arguments: Namespace) -> Iterator[dict[str, Any]]:
    from embedrun_plugins.services.endpoints.parity.gate import Gate
    from embedrun_plugins.services.endpoints.parity.run_models import base_of, last_of

    gate = Gate.of(last_of(record, arguments.runs, offline=arguments.offline), base_of(record))
    for one in found:
        result = _result(one, gate)
        print(result.pop("told"))
        yield {"deployer": one.name, **result}


def _result(one: Deployed, gate: Gate) -> dict[str, Any]:
    transport = _asked(one)
    place = one.endpoint.url or one.endpoint.path or ""
    if transport is None:
        return {"holds": None, "told": f"{one.name} {place}: embeds no texts, so it is not verified"}
    with closing(transport):
        try:
            proof = gate.at_least(getattr(one.deployer, "parity", None)).prove(transport, one.reading)
        except EmbedrunError as error:
            told = f"{one.name}: {error}"
            return {"where": transport.where, "holds": False, "causes": [str(error)], "told": told}
    return {**proof.described(), "told": _told(one, proof)}


def _asked(one: Deployed) -> Transport | None:
    """Return what embeds texts by it: its endpoint, or the model in a folder that was written."""
    return one.transport or (FolderTransport(Path(one.endpoint.path)) if one.endpoint.path else None)


def _told(one: Deployed, proof: Proof) -> str:
    if not proof.holds:
        return f"{one.name}: {proof}"
    cosine = f"{proof.closeness.cosine:.6f}" if proof.closeness else ""
    sent = f"{proof.texts} texts as queries and as documents"
    return f"{one.name} {proof.where}: answers with the model's vectors ({sent}, worst cosine {cosine})"
