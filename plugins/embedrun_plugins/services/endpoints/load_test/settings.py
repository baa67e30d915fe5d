"""How an endpoint is measured."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedrun_plugins.services.endpoints.client import RequestParameters
    from embedrun_plugins.services.endpoints.load_test.texts import Load
    from embedrun_plugins.services.endpoints.transports import Transport

LEVELS = (1, 8, 64)
SECONDS = 10.0
WARM_UP = 2.0


class Latency(BaseModel):
    """A measurement under load, once for each number of clients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1)] = LEVELS
    """Numbers of clients that send at once, one request after the other."""
    seconds: float = Field(SECONDS, gt=0)
    """How long each number of clients is measured."""
    warm_up: float = Field(WARM_UP, ge=0)
    """Seconds before each measurement in which the clients already send."""
    batch: int = Field(1, ge=1)
    """Texts in a request."""

    def briefly(self) -> Latency:
        """Return the same for a rehearsal, where it need only be possible."""
        return self.model_copy(update={"seconds": 0.2, "warm_up": 0.0})

    def measured(
        self,
        transport: Transport,
        reading: RequestParameters,
        load: Load,
        on_progress: Callable[[str, float, float], None],
    ) -> list[dict[str, Any]]:
        """Return the figures of each number of clients, as `Level` describes them."""
        from embedrun_plugins.services.endpoints.load_test.measure import Bench

        bench = Bench.of(transport, reading, load, self.batch)
        levels = []
        for clients in self.concurrency:
            label = f"{clients} client{'' if clients == 1 else 's'}"
            report = partial(on_progress, label)
            levels.append(bench.level(clients, self.seconds, self.warm_up, report).described())
        return levels
