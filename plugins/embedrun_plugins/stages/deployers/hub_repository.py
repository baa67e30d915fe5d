"""A model's repository on the Hugging Face hub, imported only when one is written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils.tqdm import disable_progress_bars

from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun.hashing import folder_files
from embedrun_plugins.services.hub_failures import HubTransportError

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True)
class Pushed:
    """What a push left."""

    url: str
    commit: str
    created: bool
    """Whether the repository was made for it."""


@dataclass(frozen=True)
class Repository:
    """A repository, and the token to write it with."""

    repo_id: str
    token: str = field(repr=False)

    @cached_property
    def _api(self) -> HfApi:
        disable_progress_bars()
        return HfApi(token=self.token, library_name="embedrun")

    def push(self, folder: Path, *, private: bool, revision: str | None, message: str) -> Pushed:
        """Push a folder's files in one commit; a repository that was made for a push that fails is deleted again.

        Raises UserError where the hub refuses, StageError where it cannot be reached.
        """
        with self._explained():
            created = self._create(private=private)
            try:
                if revision is not None:
                    self._api.create_branch(self.repo_id, branch=revision, exist_ok=True)
                commit = self._commit(folder, revision, message)
            except BaseException:
                if created:
                    self._api.delete_repo(self.repo_id, missing_ok=True)
                raise
        return Pushed(f"{self._api.endpoint}/{self.repo_id}", str(commit.oid), created)

    def _commit(self, folder: Path, revision: str | None, message: str) -> CommitInfo:
        added = [CommitOperationAdd(name, str(path)) for name, path in folder_files(folder).items()]
        with warnings.catch_warnings():
            # huggingface_hub sends large files in a way that its HTTP library is giving up.
            warnings.filterwarnings("ignore", "Use 'content=", DeprecationWarning)
            return self._api.create_commit(self.repo_id, added, commit_message=message, revision=revision)

    def delete(self, commit: str | None) -> None:
        """Delete the repository; nothing happens where there is none.

        Raises UserError where a branch of it holds what did not lead to `commit`, such as a later run's push.
        """
        with self._explained():
            if not self._api.repo_exists(self.repo_id):
                return
            if commit and not self._ends_with(commit):
                raise UserError(
                    f"deployer.repo_id: '{self.repo_id}' was pushed to after this run, so it is not deleted; if it may "
                    "go, delete it on the hub"
                )
            self._api.delete_repo(self.repo_id, missing_ok=True)

    def _ends_with(self, commit: str) -> bool:
        heads = {branch.target_commit for branch in self._api.list_repo_refs(self.repo_id).branches}
        return heads <= {past.commit_id for past in self._api.list_repo_commits(self.repo_id, revision=commit)}

    def _create(self, *, private: bool) -> bool:
        """Make the repository and return True; or find it there already, as private as it should be."""
        try:
            self._api.create_repo(self.repo_id, private=private)
        except HfHubHTTPError as error:
            if error.response.status_code != HTTPStatus.CONFLICT:
                raise
        else:
            return True
        if private and not self._api.model_info(self.repo_id).private:
            raise UserError(
                f"deployer.repo_id: '{self.repo_id}' is there already, and public; set deployer.private to false, or "
                "name another"
            )
        return False

    @contextmanager
    def _explained(self) -> Iterator[None]:
        where = f"deployer.repo_id: '{self.repo_id}'"
        try:
            yield
        except EmbedrunError:
            raise
        except HFValidationError as error:
            raise UserError(f"{where}: {error}") from error
        except HfHubHTTPError as error:
            if error.response.status_code in _REFUSED:
                raise UserError(f"{where}: the hub refuses the token; it needs the right to write there") from error
            raise StageError(f"{where}: the hub answered: {error.server_message or error}") from error
        except RuntimeError as error:
            raise StageError(f"{where}: {error} ({error.__cause__})") from error
        except (HubTransportError, OSError) as error:
            raise StageError(f"{where}: the hub cannot be reached ({type(error).__name__})") from error


class Nowhere(Repository):
    """Takes everything and keeps nothing."""

    def push(self, folder: Path, *, private: bool, revision: str | None, message: str) -> Pushed:  # noqa: ARG002
        return Pushed("", "", created=False)
