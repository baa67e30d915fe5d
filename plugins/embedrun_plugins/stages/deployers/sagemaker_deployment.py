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
from embedrun_plugins.services.ledger.ledger import Ledger, Place, Resource, expired
from embedrun_plugins.services.ledger.resources import Removal, remove
from embedrun_plugins.services.sagemaker import iam_role, names
from embedrun_plugins.services.sagemaker.endpoint import ARCHIVE, Container, Hosting
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
    place = clients.place()
    name = stage.endpoint_name or names.endpoint_name(_recipe(ctx), ctx.out.parent.name)
    role = iam_role.find(clients, stage.role, place.account)
    existing = Existing(clients, place, ledger, name, _run(ctx))
    replaced = existing.replaceable(by_name=stage.endpoint_name is not None)
    try:
        container, variant = stage.container(ctx, model, place.region), stage.variant()
        hosting = _hosting(stage, ctx, clients, place, name, role, ledger)
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
    _tell(ctx, stage, hosting, container, ledger)
    record = hosting.entry.read()
    endpoint.details["resources"] = [one.model_dump() for one in record.resources] if record else []
    return endpoint


def _recipe(ctx: Context) -> str:
    return ctx.run.name if ctx.run else "model"


def _run(ctx: Context) -> str:
    return ctx.run.id if ctx.run else f"{_recipe(ctx)}/-"


def _hosting(
    stage: EndpointOptions, ctx: Context, clients: Clients, place: Place, name: str, role: str, ledger: Ledger
) -> Hosting:
    run = _run(ctx)
    entry = ledger.open(
        run=run,
        hours=stage.max_age_hours,
        folder=str(ctx.run.folder) if ctx.run else None,
        deployer=stage.type,
        place=place,
        **stage.price().recorded(),
    )
    own = names.own_tags(run, _recipe(ctx), entry.read())
    return Hosting(
        clients=clients,
        place=place,
        entry=entry,
        storage=Storage(clients, place, entry, stage.bucket),
        endpoint=name,
        role=role,
        folder=stage.prefix,
        tags=names.tags({**stage.tags, **own}),
        timeout=stage.timeout,
        on_progress=ctx.progress,
        auto_scaling=stage.auto_scaling,
        ledger=ledger,
    )


def _endpoint(stage: EndpointOptions, hosting: Hosting, container: Container) -> Endpoint:
    place = hosting.place
    runtime = hosting.clients("sagemaker-runtime").meta.endpoint_url
    details = {
        "ledger": hosting.entry.id,
        "endpoint_name": hosting.endpoint,
        "place": place.model_dump(),
        "image": container.image,
    }
    if stage.variant().asynchronous is not None:
        details["queue"] = f"{hosting.base}/async"
    return Endpoint(deployer=stage.type, url=f"{runtime}/endpoints/{hosting.endpoint}/invocations", details=details)


def warm_up(transport: Transport, at_once: int) -> None:
    """Ask until every worker has loaded the model. Raises StageError where none can."""
    client = Client(transport, RequestParameters())
    with ThreadPoolExecutor(at_once) as pool:
        asked = [pool.submit(_wake, client) for _ in range(at_once)]
    for one in asked:
        one.result()


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


def _tell(ctx: Context, stage: EndpointOptions, hosting: Hosting, container: Container, ledger: Ledger) -> None:
    ctx.note("endpoint", hosting.endpoint)
    ctx.note("image", container.image)
    for name, price in stage.price().recorded().items():
        if price:
            ctx.note(name, price)
    if hosting.replaced:
        ctx.note("replaced", hosting.replaced)
    others = [record.run for entry, record in expired(ledger.entries()) if entry.id != hosting.entry.id]
    if others:
        ctx.warn(f"past their age limit: {', '.join(sorted(set(others)))}; `embedrun delete --expired` removes them")


def delete(endpoint: Endpoint) -> list[str]:
    """Remove what a run's own record names, by the ledger where it can; return what could not be removed, and why."""
    details = endpoint.details
    found = Ledger().find(str(details.get("ledger")))
    try:
        if found:
            return remove(found[0])
        place = Place.model_validate(details["place"])
        resources = tuple(Resource.model_validate(one) for one in details.get("resources") or ())
        return Removal(Clients.of(place), place, resources).run(lambda _: None)
    except EmbedrunError as error:
        return [str(error)]
