"""What deployers of endpoints have in common: what answers is proven to be the model, and measured if wanted."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

from pydantic import Field

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, Unkeyed
from embedrun.record import LOCK, RunRecord
from embedrun.stages import Deployer
from embedrun_plugins.services.endpoints.deployed import with_reading
from embedrun_plugins.services.endpoints.load_test.settings import Latency
from embedrun_plugins.services.endpoints.transports import Transport


class AnsweringDeployer(Deployer):
    """A deployer whose endpoints embed texts: `run` ends with `proven`."""

    parity: Annotated[float | None, Unkeyed, Field(gt=0, le=1)] = None
    """Cosine to the model's own vectors that every golden text must reach; by default 0.999 (0.99 for bfloat16)."""
    latency: Annotated[Latency | None, Unkeyed] = None
    """Measure the endpoint under load once it is proven: {concurrency: [1, 8, 64], seconds: 10, warm_up: 2, batch: 1},
    or {} for the same. By default it is not measured."""

    @abstractmethod
    def transport(self, endpoint: Endpoint) -> Transport:
        """Return what carries requests to an endpoint that it made."""

    def proven(self, ctx: Context, endpoint: Endpoint, model: Model) -> Endpoint:
        """Send golden texts through a new endpoint; return its record with how it is asked.

        Raises StageError, naming the likely cause, where its vectors are not the model's; whoever made the endpoint
        removes it then.
        """
        from embedrun_plugins.services.endpoints.load_test.texts import counted_by_model, of_run
        from embedrun_plugins.services.endpoints.parity.gate import Gate
        from embedrun_plugins.services.endpoints.parity.run_models import base_of

        run = _run_of(ctx)
        ctx.progress("sending golden texts", 0, None)
        gate = Gate.of(model, base_of(run) if run else None, self.parity)
        transport = self.transport(endpoint)
        try:
            proof = gate.prove(transport)
            proof.require()
            if proof.closeness:
                ctx.note("worst_cosine", round(proof.closeness.cosine, 6))
            if self.latency:
                load = counted_by_model(of_run(run), model)
                ctx.note("latency", self.latency.measured(transport, gate.reading, load, ctx.progress))
        finally:
            transport.close()
        return with_reading(endpoint, gate.reading)


def _run_of(ctx: Context) -> RunRecord | None:
    """Return the run that deploys, if it is one: it knows the base model and the questions that it judges by."""
    return RunRecord.read(ctx.run.folder) if ctx.run and (ctx.run.folder / LOCK).is_file() else None
