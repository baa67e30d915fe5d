"""What a forkserver reads before it is asked for its first `plain_training`, so that no client reads it again."""

from __future__ import annotations

import boto3

import plain_training
import preloaded_deployment
from embedrun.registry import Registry

__all__ = ["plain_training", "preloaded_deployment"]

Registry()
boto3.client(
    "logs",
    endpoint_url="http://127.0.0.1:1",
    region_name="us-east-1",
    aws_access_key_id="none",
    aws_secret_access_key="none",
).close()
