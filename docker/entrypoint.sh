#!/bin/sh
# One image for every runtime: embedrun's own command line, and the two words that SageMaker starts a container with.
set -eu

# The home that the image names cannot be written where the root is read-only.
[ -w "${HOME:-/}" ] || export HOME=/tmp

case "${1-}" in
    train)
        shift
        exec embedrun sagemaker-train "$@"
        ;;
    serve)
        [ "$#" -gt 1 ] || set -- serve /opt/ml/model --host 0.0.0.0 --port "${SAGEMAKER_BIND_TO_PORT:-8080}"
        ;;
esac
exec embedrun "$@"
