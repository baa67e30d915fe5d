"""A base image for tests where no registry answers: Debian with Python, made by mmdebstrap once and kept.

It reaches the package index as this machine does: with its certificates and with pip's settings, whose local folders of
wheels and lists of constraints are copied into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

NAME = "embedrun-standin"
PACKAGES = "python3,python3-venv,ca-certificates"
SECONDS = 600


def cached(name: str) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embedrun"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def rootfs() -> Path:
    """Return a root file system of this machine's own distribution, as a tar archive."""
    system = platform.freedesktop_os_release()
    archive = cached(f"standin-{system['ID']}-{system['VERSION_CODENAME']}-{platform.machine()}.tar")
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
            made = Path(scratch) / "rootfs.tar"
            command = [
                "mmdebstrap",
                "--variant=minbase",
                f"--include={PACKAGES}",
                system["VERSION_CODENAME"],
                str(made),
            ]
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
            made.replace(archive)
    return archive


def imported(client) -> str:
    """Bring the stand-in into an engine, by a name that follows from what is in it, and return that name."""
    with cached("standin").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # runs that begin at the same time make it once
        archive = rootfs()
    bare = f"{NAME}-rootfs:{int(archive.stat().st_mtime)}"
    context = settings(bare)
    name = f"{NAME}:{hashlib.sha256(context).hexdigest()[:12]}"
    present = {tag for image in client.images.list() for tag in image.tags}
    if bare not in present:
        client.api.import_image_from_file(str(archive), *bare.split(":"))
    if name not in present:
        client.images.build(fileobj=io.BytesIO(context), custom_context=True, tag=name, rm=True, timeout=SECONDS)
    return name


def settings(base: str) -> bytes:
    """Return the context of a build that gives a base this machine's way to the package index."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        conf = pip_conf(archive)
        add(archive, "pip.conf", conf.encode())
        add(archive, "certificates.crt", certificates())
        lines = [
            f"FROM {base}",
            "COPY certificates.crt /etc/ssl/certs/ca-certificates.crt",
            "COPY pip.conf /etc/pip.conf",
            "COPY pip /opt/pip",
        ]
        add(archive, "pip/README", b"What pip's settings name on the machine that made this.\n")
        add(archive, "Dockerfile", "\n".join(lines).encode())
    return made.getvalue()


def pip_conf(archive: tarfile.TarFile) -> str:
    """Return pip's settings, as they apply here, for a container; add the files that they name to the context."""
    found = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    given: dict[str, str] = {}
    for line in found.stdout.splitlines():
        key, _, value = line.partition("=")
        given[re.sub(r"^(:env:\.|global\.|install\.)", "", key)] = value.strip().strip("'\"")
    lines = ["[global]", "cert = /etc/ssl/certs/ca-certificates.crt"]
    for key in ("index-url", "extra-index-url", "find-links", "trusted-host", "constraint", "timeout", "no-index"):
        words = [word for value in given.get(key, "").split() if (word := carried(archive, key, value))]
        if words:
            lines.append(f"{key} = {' '.join(words)}")
    return "\n".join(lines) + "\n"


def carried(archive: tarfile.TarFile, key: str, value: str) -> str | None:
    """Return what a setting's value is in the container; None for a whole index on this disk, which is too large."""
    path = Path(value.removeprefix("file://"))
    if not path.exists() or not value.startswith(("/", "file:")):
        return value if not value.startswith("file:") else None
    if key == "find-links" and path.is_dir():
        for wheel in sorted(path.glob("*.whl")):
            archive.add(wheel, f"pip/{path.name}/{wheel.name}")
        return f"/opt/pip/{path.name}"
    if key == "constraint":
        archive.add(path, f"pip/{path.name}")
        return f"/opt/pip/{path.name}"
    return None


def certificates() -> bytes:
    """Return the certificates that this machine trusts."""
    named = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    file = Path(named) if named else Path("/etc/ssl/certs/ca-certificates.crt")
    return file.read_bytes()


def add(archive: tarfile.TarFile, name: str, text: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text))


def missing() -> str | None:
    """Say what is missing to make the stand-in."""
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed, which makes the stand-in for a base image"
    return None
