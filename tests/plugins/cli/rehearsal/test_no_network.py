"""A rehearsal stays on this machine."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from embedrun_plugins.cli.rehearsal.no_network import OutsideError, quiet

REFUSED = ["http://example.com/", "http://192.0.2.1:9/", "http://169.254.169.254/latest/meta-data/"]


@pytest.mark.parametrize("url", REFUSED)
def test_another_machine_cannot_be_reached(url):
    with quiet(), pytest.raises(OutsideError, match="tried to reach"):
        urllib.request.urlopen(url, timeout=5)


def test_this_machine_can_be_reached():
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answering) as server, quiet():
        threading.Thread(target=server.handle_request).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=5) as answer:
            assert answer.status == 204


def test_afterwards_all_is_as_it_was(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with quiet():
        assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["WANDB_MODE"] == "online"
    assert "HF_HUB_OFFLINE" not in os.environ
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.connect(("127.0.0.1", 9))
