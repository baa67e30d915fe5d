"""AWS's Hugging Face inference container, made here of the packages that it is made of.

The same model server (multi-model-server on Java), the same inference toolkits and an older transformers, on a stand-in
base; what AWS's image adds beside them (CUDA, telemetry, a newer Ubuntu) is not in it.
"""

from __future__ import annotations

import hashlib
import io
import tarfile

import container_engine

SECONDS = 1500
TRANSFORMERS = "4.51.3"
DOCKERFILE = f"""
ARG BASE_IMAGE
FROM $BASE_IMAGE
RUN apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/serving
ENV PATH=/opt/serving/bin:$PATH PYTHONUNBUFFERED=1 TEMP=/home/model-server/tmp \
    SAGEMAKER_SERVING_MODULE=sagemaker_huggingface_inference_toolkit.serving:main
RUN pip install --no-cache-dir torch=={{torch}} transformers=={TRANSFORMERS} sentencepiece
RUN pip install --no-cache-dir "setuptools<81" wheel multi-model-server==1.1.11 retrying scipy psutil six boto3 Pillow \
    && pip install --no-cache-dir --no-deps --no-build-isolation sagemaker-inference==1.10.1 \
       sagemaker-huggingface-inference-toolkit==2.6.0
RUN mkdir -p /home/model-server/tmp /opt/ml/model
COPY entrypoint.py /usr/local/bin/entrypoint.py
EXPOSE 8080
ENTRYPOINT ["python", "/usr/local/bin/entrypoint.py"]
CMD ["serve"]
"""
# As AWS's own entry point does: serve, or whatever else is asked for.
ENTRYPOINT = """
import os, sys
if sys.argv[1:] == ["serve"]:
    from sagemaker_huggingface_inference_toolkit import serving
    serving.main()
else:
    os.execvp(sys.argv[1], sys.argv[1:])
"""


def built(client, base: str) -> str:
    """Return the image's name; it is built where the engine has none of these contents yet."""
    import torch

    text = DOCKERFILE.format(torch=torch.__version__.split("+")[0])
    name = f"embedrun-test-huggingface:{hashlib.sha256((text + ENTRYPOINT).encode()).hexdigest()[:12]}"
    if name not in {tag for image in client.images.list() for tag in image.tags}:
        context = {"Dockerfile": text, "entrypoint.py": ENTRYPOINT}
        client.images.build(
            fileobj=tar(context),
            custom_context=True,
            tag=name,
            rm=True,
            buildargs={"BASE_IMAGE": base},
            network_mode=container_engine.network(client),
            timeout=SECONDS,
        )
    return name


def tar(files: dict[str, str]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    made.seek(0)
    return made
