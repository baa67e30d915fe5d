"""Low-rank adaptation: small matrices are trained beside the weights and merged into them at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from embedrun.errors import UserError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Lora(BaseModel):
    """Train small matrices beside the weights (LoRA, Hu et al. 2021); they are merged into the weights at the end."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    r: int = Field(16, ge=1)
    """Rank of the matrices."""
    alpha: float = Field(32.0, gt=0)
    """Scale; what is learned counts alpha / r times."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the matrices."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Layers that get matrices: the ends of their names, such as [query, value], or all linear layers."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Which biases are trained too."""
    use_rslora: bool = False
    """Whether the scale is alpha / sqrt(r), which suits high ranks."""
    use_dora: bool = False
    """Whether weights are split into size and direction (DoRA); better at low ranks, and slower."""


def attach(lora: Lora, model: SentenceTransformer) -> Any:
    """Put untrained matrices into the model and freeze its weights; returns what `merge` takes.

    Raises UserError where the model has no layers that are meant.
    """
    from peft import LoraConfig, LoraModel
    from peft.tuners.tuners_utils import cast_adapter_dtype

    transformer = model.transformers_model
    if transformer is None:
        raise UserError("trainer.lora: this model holds no transformer, whose weights could be adapted")
    values = lora.model_dump(exclude={"alpha", "dropout", "target_modules"})
    modules = lora.target_modules
    config = LoraConfig(
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft takes fractions, too
        lora_dropout=lora.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        **values,
    )
    try:
        attached = LoraModel(transformer, {"default": config}, "default")
    except ValueError as error:
        raise UserError(f"trainer.lora: {error}") from error
    # Beside weights of 16 bits, the matrices would be of 16, too, in which small steps are lost.
    cast_adapter_dtype(attached, "default")
    return attached


def merge(attached: Any) -> None:
    """Add what was learned to the weights and take the matrices out again."""
    attached.merge_and_unload(progressbar=False)
