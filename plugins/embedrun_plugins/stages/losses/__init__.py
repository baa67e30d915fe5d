"""The built-in losses."""

from __future__ import annotations

from embedrun.stages import Loss
from embedrun_plugins.stages.losses.cached import (
    CachedMultipleNegativesRanking,
    CachedMultipleNegativesSymmetricRanking,
)
from embedrun_plugins.stages.losses.distillation import DistillKlDiv, MarginMse
from embedrun_plugins.stages.losses.gist import CachedGistEmbed, GistEmbed
from embedrun_plugins.stages.losses.matryoshka import AdaptiveLayer, Matryoshka, Matryoshka2d
from embedrun_plugins.stages.losses.orthogonal import GlobalOrthogonalRegularization
from embedrun_plugins.stages.losses.ranking import (
    InfoNce,
    MegaBatchMargin,
    MultipleNegativesRanking,
    MultipleNegativesSymmetricRanking,
)
from embedrun_plugins.stages.losses.scored_pairs import (
    Angle,
    Contrastive,
    Cosent,
    CosineSimilarity,
    OnlineContrastive,
    Softmax,
)
from embedrun_plugins.stages.losses.triplets import (
    BatchAllTriplet,
    BatchHardSoftMarginTriplet,
    BatchHardTriplet,
    BatchSemiHardTriplet,
    Triplet,
)

LOSSES: tuple[type[Loss], ...] = (
    AdaptiveLayer,
    Angle,
    BatchAllTriplet,
    BatchHardSoftMarginTriplet,
    BatchHardTriplet,
    BatchSemiHardTriplet,
    CachedGistEmbed,
    CachedMultipleNegativesRanking,
    CachedMultipleNegativesSymmetricRanking,
    Contrastive,
    Cosent,
    CosineSimilarity,
    DistillKlDiv,
    GistEmbed,
    GlobalOrthogonalRegularization,
    InfoNce,
    MarginMse,
    Matryoshka,
    Matryoshka2d,
    MegaBatchMargin,
    MultipleNegativesRanking,
    MultipleNegativesSymmetricRanking,
    OnlineContrastive,
    Softmax,
    Triplet,
)
