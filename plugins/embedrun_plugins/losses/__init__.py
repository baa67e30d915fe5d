"""The built-in losses."""

from __future__ import annotations

from embedrun.stages import Loss
from embedrun_plugins.losses.cached import CachedMultipleNegativesRanking, CachedMultipleNegativesSymmetricRanking
from embedrun_plugins.losses.distillation import DistillKlDiv, MarginMse
from embedrun_plugins.losses.guided import CachedGistEmbed, GistEmbed
from embedrun_plugins.losses.orthogonal import GlobalOrthogonalRegularization
from embedrun_plugins.losses.ranking import (
    InfoNce,
    MegaBatchMargin,
    MultipleNegativesRanking,
    MultipleNegativesSymmetricRanking,
)
from embedrun_plugins.losses.scored import Angle, Contrastive, Cosent, CosineSimilarity, OnlineContrastive, Softmax
from embedrun_plugins.losses.triplets import (
    BatchAllTriplet,
    BatchHardSoftMarginTriplet,
    BatchHardTriplet,
    BatchSemiHardTriplet,
    Triplet,
)
from embedrun_plugins.losses.wrapping import AdaptiveLayer, Matryoshka, Matryoshka2d

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
