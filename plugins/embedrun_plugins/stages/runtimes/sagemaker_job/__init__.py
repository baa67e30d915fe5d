"""SageMaker training jobs from the client's side: what is sent, the job itself, its logs, and what comes back.

The container's side is `embedrun_plugins.services.sagemaker.container`, whose docstring is the contract between the
two. All that one job needs lies in one folder of S3, `s3://BUCKET/PREFIX/jobs/WORK/`, where WORK is the digest of what
is to be done: who starts the same work again finds the job that is under way, or the checkpoints of the one that ended.
"""
