"""Rehearsals of the stages that ask a service: all that they do but the asking itself."""

from __future__ import annotations

from pathlib import Path

from embedrun.artifacts import Encoder
from embedrun.context import Context
from embedrun.errors import UserError
from embedrun.stages import Embedder
from embedrun_plugins import aws, openai_server
from embedrun_plugins.deployers.variables import secret
from embedrun_plugins.embedders import bedrock as bedrock_vectors
from embedrun_plugins.embedders import openai as openai_vectors
from embedrun_plugins.embedders import tei
from embedrun_plugins.embedders.bedrock_models import FAMILIES, family_of
from embedrun_plugins.generators import bedrock, openai
from embedrun_plugins.rehearsal.changing import standing_in
from embedrun_plugins.rehearsal.services import Questions, Vectors
from embedrun_plugins.rehearsal.telling import tell

_OPENAI_SIZE, _TEI_SIZE = 1536, 384
"""Dimensions where nothing says how many there are."""


class _Bedrock(bedrock.Bedrock):
    """Asks nobody."""

    def connect(self) -> Questions:  # type: ignore[override]  # answers as Converse does
        return Questions(self.questions_per_passage)

    def stays_here(self) -> bool:
        return True


class _OpenAI(openai.OpenAI):
    """Asks nobody."""

    def connect(self) -> Questions:  # type: ignore[override]  # answers as Chat does
        return Questions(self.questions_per_passage, self.structured_output)

    def stays_here(self) -> bool:
        return True


def unasked_bedrock(stage: bedrock.Bedrock, folder: Path) -> bedrock.Bedrock:
    """Return the generator with replies made here, told what credentials it would miss."""
    tell(folder, f"{stage.model} is not asked: its replies are made up here, by the recipe's own prompt")
    if stage.batch:
        tell(folder, "no batch job is made, and nothing is written to S3")
    _tell_missing_aws(folder, stage.region, stage.profile)
    return standing_in(_Bedrock, stage, batch=None)


def unasked_openai(stage: openai.OpenAI, folder: Path) -> openai.OpenAI:
    """Return the generator with replies made here, told what key it would miss."""
    tell(folder, f"{stage.model} is not asked: its replies are made up here, by the recipe's own prompt")
    _tell_missing_key(folder, stage.base_url, stage.api_key_env)
    return standing_in(_OpenAI, stage)


class _Unsent(Embedder):
    """Vectors of texts that are sent nowhere."""

    type: str
    size: int
    """Dimensions of the vectors."""

    def connect(self, ctx: Context) -> Encoder:
        from embedrun_plugins.embedders.asking import Asking

        return Asking(Vectors(self.size), ctx, name=self.role)


def unsent(stage: Embedder, folder: Path) -> Embedder:
    """Return an embedder of the same name and, as far as it is known, size, which sends nothing."""
    match stage:
        case bedrock_vectors.Bedrock():
            size = stage.dimensions or FAMILIES[stage.family or family_of(stage.model) or "titan_v2"].dimensions[0]
            _tell_missing_aws(folder, stage.region, stage.profile)
        case openai_vectors.OpenAI():
            size = stage.dimensions or _OPENAI_SIZE
            _tell_missing_key(folder, stage.base_url, stage.api_key_env)
        case _:
            size = _TEI_SIZE
            if isinstance(stage, tei.Tei) and stage.api_key_env:
                _tell_missing_key(folder, stage.url, stage.api_key_env)
    tell(folder, f"nothing is sent to it: made-up vectors of {size} dimensions stand in")
    return _Unsent(type=stage.type, name=stage.name, size=size)


def _tell_missing_aws(folder: Path, region: str | None, profile: str | None) -> None:
    try:
        aws.client("bedrock-runtime", region=region, profile=profile)
    except UserError as error:
        tell(folder, f"a run from here would stop: {error}", unsure=True)


def _tell_missing_key(folder: Path, url: str | None, variable: str | None) -> None:
    named = variable or (openai_server.OPENAI_KEY if openai_server.is_openai(url) else None)
    try:
        if named:
            secret(named, url or openai_server.OPENAI)
    except UserError as error:
        tell(folder, f"a run from here would stop: {error}", unsure=True)
