"""Tests https."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from memory_task import MemoryTask
from stub import Proxy

import strategic_memory_envs as sme

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is not trusted by default, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subprocess.run(
        [
            *command.split(),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", str(certificate), "-keyout", str(key)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


class TlsProxy(Proxy):
    """A proxy that speaks TLS to the client."""

    def __init__(self, target: str, certificate: tuple[Path, Path]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        super().__init__(target)
        self.url = self.url.replace("http", "https")

    def serve(self, accepted: socket.socket) -> None:
        with self._context.wrap_socket(accepted, server_side=True) as secured:
            super().serve(secured)


def test_a_stranger_is_not_trusted(server: str, certificate: tuple[Path, Path]) -> None:
    with (
        TlsProxy(server, certificate) as proxy,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        sme.RemoteEnv("MemoryTask-v0", server=proxy.url)
    # Only once: another try would find the same certificate.
    assert proxy.connections == 1
    assert proxy.faults == []


def test_playing_over_tls(server: str, certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(cafile=str(certificate[0]))
    local = MemoryTask(3, 1)
    retry = sme.RetryPolicy(first_delay_s=0.001)
    with TlsProxy(server, certificate) as proxy:
        proxy.plan = ["ok", "ok", "lose-reply", "cut", "hang"]
        with sme.RemoteEnv(
            "MemoryTask-v0",
            server=proxy.url,
            ssl_context=context,
            timeout_s=0.5,
            retry=retry,
            delay=3,
            difficulty=1,
        ) as env:
            assert data_equivalence(env.reset(seed=1), local.reset(seed=1))
            for action in (0, 1, 1):
                assert data_equivalence(env.step(action), local.step(np.int64(action)))


def test_playing_over_tls_with_asyncio(server: str, certificate: tuple[Path, Path]) -> None:
    context = ssl.create_default_context(cafile=str(certificate[0]))
    local = MemoryTask(3, 1)

    async def play(url: str) -> None:
        async with sme.AsyncRemoteEnv(
            "MemoryTask-v0", server=url, ssl_context=context, delay=3, difficulty=1
        ) as env:
            assert data_equivalence(await env.reset(seed=1), local.reset(seed=1))
            for action in (0, 1, 1):
                result = await env.step(action)
                assert data_equivalence(result, local.step(np.int64(action)))

    with TlsProxy(server, certificate) as proxy:
        asyncio.run(play(proxy.url))
