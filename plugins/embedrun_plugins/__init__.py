"""The built-in stages, entered by the same entry point as anyone's."""

from __future__ import annotations

from embedrun import Command, LocalModel, Stage, hookimpl
from embedrun.record import RunRecord
from embedrun_plugins import offline
from embedrun_plugins.commands.bench import BENCH
from embedrun_plugins.commands.check import CHECK
from embedrun_plugins.commands.compare import COMPARE
from embedrun_plugins.commands.delete import DELETE
from embedrun_plugins.commands.gc import GC
from embedrun_plugins.commands.image import IMAGE
from embedrun_plugins.commands.init import INIT
from embedrun_plugins.commands.plan import PLAN
from embedrun_plugins.commands.plugins import PLUGINS
from embedrun_plugins.commands.recipes import RECIPES
from embedrun_plugins.commands.reproduce import REPRODUCE
from embedrun_plugins.commands.resources import RESOURCES
from embedrun_plugins.commands.run import RUN
from embedrun_plugins.commands.sagemaker_train import SAGEMAKER_TRAIN
from embedrun_plugins.commands.schema import SCHEMA
from embedrun_plugins.commands.serve import SERVE
from embedrun_plugins.commands.show import SHOW
from embedrun_plugins.commands.verify import VERIFY
from embedrun_plugins.deployers import hub, local, tei
from embedrun_plugins.deployers.directory import Directory
from embedrun_plugins.deployers.sagemaker import SageMaker
from embedrun_plugins.deployers.sagemaker_tei import SageMakerTei
from embedrun_plugins.embedders import EMBEDDERS
from embedrun_plugins.evaluators.hit_rate import HitRate
from embedrun_plugins.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.evaluators.similarity_pairs import SimilarityPairs
from embedrun_plugins.filters.duplicates import Duplicates
from embedrun_plugins.filters.leakage import Leakage
from embedrun_plugins.filters.length import Length
from embedrun_plugins.filters.round_trip import RoundTrip
from embedrun_plugins.generators import bedrock, openai
from embedrun_plugins.generators.crop import Crop
from embedrun_plugins.generators.inverse_cloze import InverseCloze
from embedrun_plugins.generators.title import Title
from embedrun_plugins.losses import LOSSES
from embedrun_plugins.mergers import MERGERS
from embedrun_plugins.negatives import MINERS
from embedrun_plugins.runtimes.docker import Docker
from embedrun_plugins.runtimes.local import Local
from embedrun_plugins.runtimes.sagemaker import SageMaker as SageMakerJob
from embedrun_plugins.sources.beir import Beir
from embedrun_plugins.sources.documents import Documents
from embedrun_plugins.sources.hub import Hub
from embedrun_plugins.sources.llama_index import LlamaIndex
from embedrun_plugins.sources.pairs import Pairs
from embedrun_plugins.trainers import TRAINERS


@hookimpl
def embedrun_stages() -> list[type[Stage]]:
    return [
        *(Pairs, Hub, Beir, LlamaIndex, Documents),
        *(bedrock.Bedrock, openai.OpenAI, Crop, Title, InverseCloze),
        *(Length, Duplicates, Leakage, RoundTrip),
        *MINERS,
        *LOSSES,
        *TRAINERS,
        *MERGERS,
        *(InformationRetrieval, HitRate, SimilarityPairs),
        *EMBEDDERS,
        *(local.Local, Directory, hub.Hub, tei.Tei, SageMaker, SageMakerTei),
        *(Local, Docker, SageMakerJob),
    ]


@hookimpl
def embedrun_run_started(run: RunRecord) -> None:
    from embedrun_plugins.reproducing import environments
    from embedrun_plugins.trainers import workspace

    environments.write_down(run)
    workspace.prepare(run)


@hookimpl
def embedrun_run_finished(run: RunRecord) -> None:
    from embedrun_plugins.reporting import report

    report.write(run)


@hookimpl
def embedrun_models() -> list[LocalModel]:
    return offline.installed()


@hookimpl
def embedrun_commands() -> list[Command]:
    return [
        *(RUN, PLAN, CHECK, SHOW, COMPARE, REPRODUCE, SERVE, VERIFY, BENCH, RESOURCES, DELETE, GC),
        *(RECIPES, INIT, IMAGE, PLUGINS, SCHEMA, SAGEMAKER_TRAIN),
    ]
