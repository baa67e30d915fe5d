"""Asking a deployed model for vectors, over HTTP or through SageMaker, also from LangChain and LlamaIndex."""
