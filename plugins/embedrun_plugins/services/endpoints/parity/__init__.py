"""Whether what was deployed answers with the vectors of the model that was trained.

A deployer of endpoints is a class below `stages.deployers.endpoint_deployer.AnsweringDeployer`: it says by `transport`
how its endpoints are asked (`HttpTransport`, `SageMakerTransport`), and ends its `run` with
`return self.proven(ctx, endpoint, model)`, which raises where the vectors are not the model's.
"""
