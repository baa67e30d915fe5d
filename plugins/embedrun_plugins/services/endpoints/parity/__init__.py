"""Whether what was deployed answers with the vectors of the model that was trained.

A deployer of endpoints is a class below `deployers.answering.AnsweringDeployer`: it says by `transport` how its
endpoints are asked (`clients.over_http.Http`, `clients.over_sagemaker.SageMaker`), and ends its `run` with
`return self.proven(ctx, endpoint, model)`, which raises where the vectors are not the model's.
"""
