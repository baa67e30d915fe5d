"""Finding and loading data sets of the Hugging Face hub, imported only when one is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetNotFoundError, DatasetsError
from datasets.naming import camelcase_to_snakecase
from datasets.packaged_modules.cache.cache import Cache
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from embedrun.errors import DataError, UserError
from embedrun_plugins.services.hub_failures import HubTransportError
from embedrun_plugins.stages.sources.tables import Row, Table

_INSTEAD = "; download a file of it elsewhere and read that: source: {type: pairs, path: …}"
_SECONDS = 20.0
"""How long the hub may take to answer."""
_LENGTH = 40
"""Digits of a commit."""


def commit_of(dataset: str, revision: str | None, *, offline: bool) -> str:
    """Return the commit that a branch or tag (None: the main branch) stands for.

    Where the hub cannot be reached, the one commit that is cached is taken. Raises UserError where that fails too.
    """
    reason = "offline"
    try:
        if not offline and not datasets.config.HF_HUB_OFFLINE:
            return str(HfApi().dataset_info(dataset, revision=revision, timeout=_SECONDS).sha)
    except GatedRepoError as error:
        raise UserError(f"source: '{dataset}' is gated; accept its terms on the hub and set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise UserError(f"source: '{dataset}' has no revision '{revision}'") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"source: there is no dataset '{dataset}' on the hub, or it needs HF_TOKEN") from error
    except HFValidationError as error:
        raise UserError(f"source: '{dataset}' is not the id of a dataset (owner/name)") from error
    except (HfHubHTTPError, HubTransportError, OSError) as error:
        reason = type(error).__name__
    commits = _cached_commits(dataset)
    if len(commits) == 1 and revision is None:
        return commits[0]
    if commits:
        cached = ", ".join(commits)
        raise UserError(
            f"source: the hub cannot be reached ({reason}); '{dataset}' is cached at {cached}: name a revision"
        )
    raise UserError(f"source: '{dataset}' is not cached, and the hub cannot be reached ({reason}){_INSTEAD}")


def _cache(dataset: str) -> Path:
    """Return the folder below which the library keeps config/version/commit of a data set."""
    owner, _, name = dataset.partition("/")
    return Path(datasets.config.HF_DATASETS_CACHE).expanduser() / f"{owner}___{camelcase_to_snakecase(name)}"


def _cached_commits(dataset: str) -> list[str]:
    return sorted({path.name for path in _cache(dataset).glob("*/*/*") if path.is_dir() and len(path.name) == _LENGTH})


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except DatasetNotFoundError as error:
        raise DataError(f"{what}: not on the hub, or it needs HF_TOKEN") from error
    except (HfHubHTTPError, HubTransportError, ConnectionError) as error:
        raise DataError(f"{what}: the hub cannot be reached ({type(error).__name__}){_INSTEAD}") from error
    except (DatasetsError, OSError, ValueError, RuntimeError) as error:
        cause = error.__cause__ or error
        raise DataError(f"{what}: cannot be loaded: {str(cause).splitlines()[0] if str(cause) else cause!r}") from error


def _cached(dataset: str, name: str | None, commit: str) -> Any | None:
    """Return what was prepared before at exactly this commit, or None. An unnamed configuration must be the default."""
    folders = [path for path in _cache(dataset).glob(f"{name or 'default'}/*/{commit}") if path.is_dir()]
    if len(folders) != 1:
        return None
    config, version, _ = folders[0].parts[-3:]
    return Cache(
        dataset_name=dataset.partition("/")[2], repo_id=dataset, config_name=config, version=version, hash=commit
    )


@dataclass(frozen=True)
class HubDataset:
    """A data set at one commit, downloaded and ready to be read."""

    name: str
    builder: Any

    @classmethod
    def load(cls, dataset: str, name: str | None, commit: str, *, offline: bool) -> HubDataset:
        """Download the configuration `name` at a commit, unless it is cached.

        Raises DataError where it cannot be had at exactly this commit.
        """
        datasets.disable_progress_bars()
        with _explained(dataset):
            builder = _cached(dataset, name, commit)
            if builder is None and (offline or datasets.config.HF_HUB_OFFLINE):
                raise DataError(f"{dataset}: not cached at commit {commit}, and this run is offline{_INSTEAD}")
            if builder is None:
                builder = datasets.load_dataset_builder(f"hf://datasets/{dataset}", name, revision=commit)
                # Where the hub is out of reach, the library would take whatever it loaded last.
                if Path(builder.cache_dir).name != commit:
                    raise DataError(f"{dataset}: the hub cannot be reached, and another commit than {commit} is cached")
                builder.download_and_prepare()
        return cls(dataset, builder)

    def table(self, split: str) -> Table:
        name = f"{self.name} ({split})"
        with _explained(name):
            rows = self.builder.as_dataset(split=split)

        def read(wanted: Collection[str]) -> Iterator[Row]:
            columns = [column for column in rows.column_names if column in wanted]
            number = 0
            for batch in rows.select_columns(columns).iter(batch_size=1000):
                for values in zip(*(batch[column] for column in columns), strict=True):
                    yield Row(number, None, dict(zip(columns, values, strict=True)))
                    number += 1

        return Table(name, tuple(rows.column_names), read)
