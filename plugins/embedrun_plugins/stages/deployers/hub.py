"""Push the model to the Hugging Face hub, with a card that shows its scores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context
from embedrun.errors import UserError
from embedrun.record import RunRecord
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Deployer
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.stages.rehearsal.stand_ins import standing_in

if TYPE_CHECKING:
    from embedrun_plugins.stages.deployers.hub_repository import Repository

DEFAULT_TOKEN_ENV = "HF_TOKEN"  # noqa: S105  # a variable's name
LOGS = "embedrun"
"""Folder of the repository that the recipe and the logs are put in."""
_LOGGED = ("recipe.yaml", "log.jsonl")


class HubDeployer(Deployer):
    """Pushes the model to the Hugging Face hub in one commit, in the form that older libraries and TEI load, too.

    Beside the model there are a card with the scores, the recipe and the training's logs.
    """

    type: Literal["hub"] = "hub"
    seeded = False
    repo_id: str = Field(pattern=r"^\w[\w.-]*/\w[\w.-]*$")
    """The repository, owner/name. It is made if it is not there; what it holds stays, but for files of equal names."""
    private: bool = True
    """Whether only its owner can see it. A public repository that is there already is refused unless this is false."""
    revision: str | None = None
    """Branch to push to, made if it is not there; by default the main branch."""
    commit_message: str | None = Field(None, min_length=1)
    """The commit's message; by default it names the run."""
    card: bool = True
    """Whether to write a model card: what it is, its scores, how to use it, the recipe."""
    token_env: VariableName = DEFAULT_TOKEN_ENV
    """Environment variable that holds a token with the right to write. For HF_TOKEN, what `hf auth login` saved is
    taken, too."""
    license: str | None = None
    """License that the card names, such as apache-2.0."""
    language: str | tuple[str, ...] = ()
    """Languages that the card names, such as en."""

    def faults(self) -> Iterable[str]:
        """Miss the token now, not when everything is trained."""
        if not self._token():
            yield (
                f"token_env: the environment variable {self.token_env} is not set; it must hold a token of the hub "
                "with the right to write"
            )

    def run(self, ctx: Context, model: Model) -> Endpoint:
        from embedrun_plugins.models.export import export

        folder = ctx.out / "repository"
        run = _run_of(ctx)
        repository = self._repository()
        message = self.commit_message or (f"embedrun: {run.name}" if run else "embedrun")
        try:
            export(model, folder)
            self._add_logs(folder, model, run)
            if self.card:
                self._write_card(folder, run)
            ctx.progress("pushing to the hub", 0, None)
            pushed = repository.push(folder, private=self.private, revision=self.revision, message=message)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        ctx.note("commit", pushed.commit)
        details = {"repo_id": self.repo_id, "commit": pushed.commit, "created": pushed.created}
        return Endpoint(deployer=self.type, url=pushed.url, details=details)

    def rehearsal(self, rehearsal: Rehearsal) -> HubDeployer:
        return unpushed(self, rehearsal)

    def delete(self, endpoint: Endpoint) -> None:
        """Delete the repository if the run made it; one that was there before is left as it is.

        Raises UserError where it was pushed to since.
        """
        if endpoint.details.get("created"):
            self._repository().delete(endpoint.details.get("commit"))

    def _repository(self) -> Repository:
        from embedrun_plugins.stages.deployers.hub_repository import Repository

        token = self._token()
        if not token:
            raise UserError(f"deployer: {next(iter(self.faults()))}")
        return Repository(self.repo_id, token)

    def _token(self) -> str | None:
        """Read the token where it is used; it is kept nowhere."""
        saved = _saved_token() if self.token_env == DEFAULT_TOKEN_ENV else None
        return os.environ.get(self.token_env, "").strip() or saved

    def _add_logs(self, folder: Path, model: Model, run: RunRecord | None) -> None:
        logs = [run.folder / name for name in _LOGGED] if run else []
        for file in (*logs, model.path / "training_history.json"):
            if file.is_file():
                (folder / LOGS).mkdir(exist_ok=True)
                shutil.copyfile(file, folder / LOGS / file.name)

    def _write_card(self, folder: Path, run: RunRecord | None) -> None:
        from embedrun_plugins.stages.deployers.hub_card import Card

        languages = (self.language,) if isinstance(self.language, str) else self.language
        written = Card(self.repo_id, folder, run, self.license, languages).text()
        (folder / "README.md").write_text(written, "utf-8")


def _run_of(ctx: Context) -> RunRecord | None:
    return RunRecord.read(ctx.run.folder) if ctx.run else None


def _saved_token() -> str | None:
    """Return what `hf auth login` saved, from where huggingface_hub keeps it, without importing that."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser()
    file = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
    return file.read_text("utf-8").strip() or None if file.is_file() else None


class _Unpushed(HubDeployer):
    """Writes all that would be pushed, and pushes nothing."""

    def _repository(self) -> Repository:
        from embedrun_plugins.stages.deployers.hub_repository import Nowhere

        return Nowhere(self.repo_id, "")


def unpushed(stage: HubDeployer, rehearsal: Rehearsal) -> HubDeployer:
    rehearsal.note(f"nothing is pushed to {stage.repo_id}, and whether the token may write is not checked", unsure=True)
    return standing_in(_Unpushed, stage)
