"""An upstream over real sockets, in front of a scripted vendor."""

import ssl
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from palaver import Deadlines
from palaver.testing.fake_upstream import FakeUpstream
from palaver.upstream.connections import Connections

TLS = Path(__file__).parent / "tls"
DEADLINES = Deadlines(connect=2.0, first_byte=5.0)


@pytest.fixture
async def vendor():
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def connections():
    connections = Connections()
    yield connections
    await connections.aclose()


@pytest.fixture
async def upstream(vendor, connections):
    async with connections.open_upstream(
        vendor.url, provider="acme", headers={"Authorization": "Bearer top-secret-key"}, deadlines=DEADLINES
    ) as opened:
        yield opened


@pytest.fixture
def tls_server():
    """Give a function that makes a server's TLS context of a certificate's name."""

    def make(name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / f"{name}.pem")
        return context

    return make


@pytest.fixture
def trusting():
    """Give connections that trust the tests' own authority."""

    @asynccontextmanager
    async def make():
        connections = Connections(tls=ssl.create_default_context(cafile=str(TLS / "ca.pem")))
        try:
            yield connections
        finally:
            await connections.aclose()

    return make
