"""Auto scaling: more instances when each is asked more, fewer when less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import LedgerEntry, Resource
from embedrun_plugins.services.ledger.resources import POLICY, POLICY_NAME, SCALED, TARGET, UNREGISTERED
from embedrun_plugins.services.sagemaker.endpoint_options import AutoScaling

VARIANT = "AllTraffic"
_SERVICE = "application-autoscaling"
_OF_TARGET = ("MinCapacity", "MaxCapacity", "SuspendedState")
_OF_POLICY = (
    "PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration",
    "PredictiveScalingPolicyConfiguration",
)  # fmt: skip


def resources(endpoint: str) -> tuple[Resource, Resource]:
    """Return what scales an endpoint: the target and its policy, both named by the variant."""
    variant = f"endpoint/{endpoint}/variant/{VARIANT}"
    return Resource(kind=TARGET, name=variant), Resource(kind=POLICY, name=variant)


@dataclass(frozen=True)
class ScalingState:
    """How AWS says that an endpoint is scaled."""

    target: Mapping[str, Any] | None = None
    """None where it is not."""
    policies: tuple[Mapping[str, Any], ...] = ()


def read(clients: Clients, endpoint: str) -> ScalingState:
    """Ask how an endpoint is scaled."""
    name = resources(endpoint)[0].name
    targets = clients.call(_SERVICE, "describe_scalable_targets", **SCALED, ResourceIds=[name])["ScalableTargets"]
    policies = clients.call(_SERVICE, "describe_scaling_policies", **SCALED, ResourceId=name)["ScalingPolicies"]
    return ScalingState(targets[0] if targets else None, tuple(policies))


def put_back(clients: Clients, entry: LedgerEntry, endpoint: str, before: ScalingState) -> None:
    """Have an endpoint scaled as it was when that was read."""
    if before.target is None:
        unscale(clients, entry, endpoint)
        return
    where = {**SCALED, "ResourceId": resources(endpoint)[0].name}
    clients.call(_SERVICE, "register_scalable_target", **where, **_given(before.target, _OF_TARGET))
    for policy in before.policies:
        clients.call(_SERVICE, "put_scaling_policy", **where, **_given(policy, _OF_POLICY))


def _given(described: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: described[name] for name in names if name in described}


def scale(clients: Clients, entry: LedgerEntry, endpoint: str, wanted: AutoScaling) -> None:
    """Have an endpoint scaled; what was set before is replaced."""
    target, policy = resources(endpoint)
    where = {**SCALED, "ResourceId": target.name}
    entry.add(target)
    limits = {"MinCapacity": wanted.min_instances, "MaxCapacity": wanted.max_instances}
    clients.call(_SERVICE, "register_scalable_target", **where, **limits)
    entry.add(policy)
    clients.call(
        _SERVICE,
        "put_scaling_policy",
        **where,
        PolicyName=POLICY_NAME,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": wanted.invocations_per_instance,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            "ScaleInCooldown": wanted.scale_in_cooldown,
            "ScaleOutCooldown": wanted.scale_out_cooldown,
        },
    )


def unscale(clients: Clients, entry: LedgerEntry, endpoint: str) -> None:
    """Take the scaling off an endpoint that goes on living."""
    target, policy = resources(endpoint)
    where = {**SCALED, "ResourceId": target.name}
    clients.find(_SERVICE, "delete_scaling_policy", UNREGISTERED, **where, PolicyName=POLICY_NAME)
    clients.find(_SERVICE, "deregister_scalable_target", UNREGISTERED, **where)
    entry.drop(target, policy)
