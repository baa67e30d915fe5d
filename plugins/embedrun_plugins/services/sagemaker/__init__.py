"""Endpoints of SageMaker: what the deployers `sagemaker` and `sagemaker_tei` share."""
