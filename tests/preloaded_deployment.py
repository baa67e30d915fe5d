"""What a forkserver reads before it is asked for its first `plain_deployment`, so that no client reads it again."""

from __future__ import annotations

import boto3

import plain_deployment

SERVICES = ("sagemaker", "sagemaker-runtime", "s3", "sts", "iam", "application-autoscaling")

plain_deployment.hurry()
for service in SERVICES:
    boto3.client(
        service,
        endpoint_url="http://127.0.0.1:1",
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    ).close()
