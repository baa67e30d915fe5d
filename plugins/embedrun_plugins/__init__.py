"""The built-in stages, entered by the same entry point as anyone's."""

from __future__ import annotations

from embedrun import Command, LocalModel, Stage, hookimpl
from embedrun.record import RunRecord
from embedrun_plugins.cli.bench import BENCH
from embedrun_plugins.cli.check import CHECK
from embedrun_plugins.cli.compare import COMPARE
from embedrun_plugins.cli.delete import DELETE
from embedrun_plugins.cli.gc import GC
from embedrun_plugins.cli.image import IMAGE
from embedrun_plugins.cli.init import INIT
from embedrun_plugins.cli.plan import PLAN
from embedrun_plugins.cli.plugins import PLUGINS
from embedrun_plugins.cli.recipes import RECIPES
from embedrun_plugins.cli.reproduce import REPRODUCE
from embedrun_plugins.cli.resources import RESOURCES
from embedrun_plugins.cli.run import RUN
from embedrun_plugins.cli.sagemaker_train import SAGEMAKER_TRAIN
from embedrun_plugins.cli.schema import SCHEMA
from embedrun_plugins.cli.serve import SERVE
from embedrun_plugins.cli.show import SHOW
from embedrun_plugins.cli.verify import VERIFY
from embedrun_plugins.models import local_copies
from embedrun_plugins.stages.deployers import hub, local, tei
from embedrun_plugins.stages.deployers.directory import Directory
from embedrun_plugins.stages.deployers.sagemaker import SageMaker
from embedrun_plugins.stages.deployers.sagemaker_tei import SageMakerTei
from embedrun_plugins.stages.embedders import EMBEDDERS
from embedrun_plugins.stages.evaluators.hit_rate import HitRate
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.stages.evaluators.similarity_pairs import SimilarityPairs
from embedrun_plugins.stages.filters.duplicates import Duplicates
from embedrun_plugins.stages.filters.leakage import Leakage
from embedrun_plugins.stages.filters.length import Length
from embedrun_plugins.stages.filters.round_trip import RoundTrip
from embedrun_plugins.stages.generators import bedrock, openai
from embedrun_plugins.stages.generators.crop import Crop
from embedrun_plugins.stages.generators.inverse_cloze import InverseCloze
from embedrun_plugins.stages.generators.title import Title
from embedrun_plugins.stages.losses import LOSSES
from embedrun_plugins.stages.mergers import MERGERS
from embedrun_plugins.stages.miners import MINERS
from embedrun_plugins.stages.runtimes.docker import Docker
from embedrun_plugins.stages.runtimes.local import Local
from embedrun_plugins.stages.runtimes.sagemaker import SageMaker as SageMakerJob
from embedrun_plugins.stages.sources.beir import Beir
from embedrun_plugins.stages.sources.documents import Documents
from embedrun_plugins.stages.sources.hub import Hub
from embedrun_plugins.stages.sources.llama_index import LlamaIndex
from embedrun_plugins.stages.sources.pairs import Pairs
from embedrun_plugins.stages.trainers import TRAINERS


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
    from embedrun_plugins.results.reproduce import environments
    from embedrun_plugins.stages.trainers import determinism

    environments.write_down(run)
    determinism.prepare(run)


@hookimpl
def embedrun_run_finished(run: RunRecord) -> None:
    from embedrun_plugins.results.report import report

    report.write(run)


@hookimpl
def embedrun_models() -> list[LocalModel]:
    return local_copies.installed()


@hookimpl
def embedrun_commands() -> list[Command]:
    return [
        *(RUN, PLAN, CHECK, SHOW, COMPARE, REPRODUCE, SERVE, VERIFY, BENCH, RESOURCES, DELETE, GC),
        *(RECIPES, INIT, IMAGE, PLUGINS, SCHEMA, SAGEMAKER_TRAIN),
    ]
