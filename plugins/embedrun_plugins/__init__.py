"""The built-in stages, entered by the same entry point as anyone's."""

from __future__ import annotations

from embedrun import Command, LocalModel, Stage, hookimpl
from embedrun.record import RunRecord
from embedrun_plugins import offline
from embedrun_plugins.commands.check import CHECK
from embedrun_plugins.commands.compare import COMPARE
from embedrun_plugins.commands.delete import DELETE
from embedrun_plugins.commands.gc import GC
from embedrun_plugins.commands.init import INIT
from embedrun_plugins.commands.plan import PLAN
from embedrun_plugins.commands.plugins import PLUGINS
from embedrun_plugins.commands.recipes import RECIPES
from embedrun_plugins.commands.run import RUN
from embedrun_plugins.commands.schema import SCHEMA
from embedrun_plugins.commands.serve import SERVE
from embedrun_plugins.commands.show import SHOW
from embedrun_plugins.deployers import hub, local
from embedrun_plugins.deployers.directory import Directory
from embedrun_plugins.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.evaluators.similarity_pairs import SimilarityPairs
from embedrun_plugins.losses import LOSSES
from embedrun_plugins.runtimes.local import Local
from embedrun_plugins.sources.beir import Beir
from embedrun_plugins.sources.hub import Hub
from embedrun_plugins.sources.llama_index import LlamaIndex
from embedrun_plugins.sources.pairs import Pairs
from embedrun_plugins.trainers.finetuning import SentenceTransformers


@hookimpl
def embedrun_stages() -> list[type[Stage]]:
    return [
        *(Pairs, Hub, Beir, LlamaIndex),
        *LOSSES,
        SentenceTransformers,
        *(InformationRetrieval, SimilarityPairs),
        *(local.Local, Directory, hub.Hub),
        Local,
    ]


@hookimpl
def embedrun_run_finished(run: RunRecord) -> None:
    from embedrun_plugins.reporting import report

    report.write(run)


@hookimpl
def embedrun_models() -> list[LocalModel]:
    return offline.installed()


@hookimpl
def embedrun_commands() -> list[Command]:
    return [RUN, PLAN, CHECK, SHOW, COMPARE, SERVE, DELETE, GC, RECIPES, INIT, PLUGINS, SCHEMA]
