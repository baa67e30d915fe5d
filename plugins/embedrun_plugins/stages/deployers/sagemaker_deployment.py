"""A whole deployment, from a model to an endpoint that is proven to answer with its vectors; and its end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context
from embedrun.errors import EmbedrunError, StageError
from embedrun_plugins.services.endpoints.client import Client, RequestParameters
from embedrun_plugins.services.endpoints.transports import Transport
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger, Location, Resource, expired
from embedrun_plugins.services.ledger.resources import Removal, remove
from embedrun_plugins.services.sagemaker import iam_role, names
from embedrun_plugins.services.sagemaker.endpoint import ARCHIVE, EndpointDeployment, ModelContainer
from embedrun_plugins.services.sagemaker.existing_endpoint import Existing
from embedrun_plugins.services.sagemaker.upload import Storage

if TYPE_CHECKING:
    from embedrun_plugins.stages.deployers.sagemaker_options import EndpointOptions

WARM_UPS = 8
"""Requests at once: a server's workers each load the model when they are first asked."""
WAKING_SECONDS = 300.0
"""How long an endpoint that is overloaded while its first containers come up is asked again."""
_WAKING = (429, 503)
_PAUSE = 1.0


def deploy(stage: EndpointOptions, ctx: Context, model: Model) -> Endpoint:
    """Deploy, prove, and only then let go of what was served before.

    Raises UserError or StageError; what was made until then is removed, or named and kept in the ledger.
    """
    clients, ledger = stage.clients(), Ledger()
    location = clients.place()
    name = stage.endpoint_name or names.endpoint_name(_recipe(ctx), ctx.out.parent.name)
    role = iam_role.find(clients, stage.role, location.account)
    existing = Existing(clients, location, ledger, name, _run(ctx))
    replaced = existing.replaceable(by_name=stage.endpoint_name is not None)
    try:
        container, variant = stage.container(ctx, model, location.region), stage.variant()
        hosting = _hosting(stage, ctx, clients, location, name, role, ledger)
        hosting.replaced = replaced
        with hosting.taken_back(ctx.warn):
            hosting.create(container, variant)
            endpoint = _endpoint(stage, hosting, container)
            warm_up(stage.transport(endpoint), min(WARM_UPS, variant.max_concurrency or WARM_UPS))
            endpoint = stage.proven(ctx, endpoint, model)
            hosting.scale()
    finally:
        (ctx.out / ARCHIVE).unlink(missing_ok=True)
    for left in hosting.retire():
        ctx.warn(f"left from before: {left}; `embedrun resources` shows it")
    _tell(ctx, hosting, container, ledger)
    record = hosting.entry.read()
    endpoint.details["resources"] = [resource.model_dump() for resource in record.resources] if record else []
    return endpoint


def _recipe(ctx: Context) -> str:
    return ctx.run.name if ctx.run else "model"


def _run(ctx: Context) -> str:
    return ctx.run.id if ctx.run else f"{_recipe(ctx)}/-"


def _hosting(
    stage: EndpointOptions, ctx: Context, clients: Clients, location: Location, name: str, role: str, ledger: Ledger
) -> EndpointDeployment:
    run = _run(ctx)
    entry = ledger.open(
        run=run,
        hours=stage.max_age_hours,
        folder=str(ctx.run.folder) if ctx.run else None,
        deployer=stage.type,
        place=location,
        **stage.price(stage.list_price(location.region)).recorded(),
    )
    run_tags = names.own_tags(run, _recipe(ctx), entry.read())
    return EndpointDeployment(
        clients=clients,
        place=location,
        entry=entry,
        storage=Storage(clients, location, entry, stage.bucket),
        endpoint=name,
        role=role,
        folder=stage.prefix,
        tags=names.tags({**stage.tags, **run_tags}),
        timeout=stage.timeout,
        on_progress=ctx.progress,
        auto_scaling=stage.auto_scaling,
        ledger=ledger,
    )


def _endpoint(stage: EndpointOptions, hosting: EndpointDeployment, container: ModelContainer) -> Endpoint:
    location = hosting.place
    runtime = hosting.clients("sagemaker-runtime").meta.endpoint_url
    details = {
        "ledger": hosting.entry.id,
        "endpoint_name": hosting.endpoint,
        "place": location.model_dump(),
        "image": container.image,
    }
    if stage.variant().asynchronous is not None:
        details["queue"] = f"{hosting.base}/async"
    return Endpoint(deployer=stage.type, url=f"{runtime}/endpoints/{hosting.endpoint}/invocations", details=details)


def warm_up(transport: Transport, at_once: int) -> None:
    """Ask until every worker has loaded the model. Raises StageError where none can."""
    client = Client(transport, RequestParameters())
    with ThreadPoolExecutor(at_once) as pool:
        answers = [pool.submit(_wake, client) for _ in range(at_once)]
    for answer in answers:
        answer.result()


def _wake(client: Client) -> None:
    """Ask until there is an answer, for longer than a client has patience: a first container takes minutes."""
    deadline = time.monotonic() + WAKING_SECONDS
    while True:
        try:
            client.answer(["a"], "document")
        except StageError as error:
            if getattr(error.__cause__, "status", None) not in _WAKING or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _tell(ctx: Context, hosting: EndpointDeployment, container: ModelContainer, ledger: Ledger) -> None:
    ctx.note("endpoint", hosting.endpoint)
    ctx.note("image", container.image)
    record = hosting.entry.read()
    for name in ("usd_per_hour", "most_usd_per_hour", "price_date", "pays_requests"):
        if value := getattr(record, name, None):
            ctx.note(name, value)
    if hosting.replaced:
        ctx.note("replaced", hosting.replaced)
    others = [record.run for entry, record in expired(ledger.entries()) if entry.id != hosting.entry.id]
    if others:
        ctx.warn(f"past their age limit: {', '.join(sorted(set(others)))}; `embedrun delete --expired` removes them")


def delete(endpoint: Endpoint) -> list[str]:
    """Remove what a run's own record names, by the ledger where it can; return what could not be removed, and why."""
    details = endpoint.details
    kept = Ledger().find(str(details.get("ledger")))
    try:
        if kept:
            return remove(kept[0])
        location = Location.model_validate(details["place"])
        resources = tuple(Resource.model_validate(resource) for resource in details.get("resources") or ())
        return Removal(Clients.of(location), location, resources).run(lambda _: None)
    except EmbedrunError as error:
        return [str(error)]
