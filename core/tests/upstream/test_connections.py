"""The shared connections."""

import subprocess
import sys

from palaver.upstream.connections import Connections


def test_the_http_client_is_not_loaded_before_it_is_needed():
    code = "import sys, palaver.upstream.connections as c; c.Connections(); assert 'aiohttp' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_all_upstreams_share_one_session():
    connections = Connections()
    assert connections.session() is connections.session()
    await connections.aclose()


async def test_connections_that_were_never_used_close_too():
    await Connections().aclose()


async def test_nothing_is_limited_stored_or_taken_from_the_environment():
    connections = Connections()
    session = connections.session()
    assert (0, 0, False) == (session.connector.limit, session.connector.limit_per_host, session.trust_env)
    assert "DummyCookieJar" == type(session.cookie_jar).__name__
    await connections.aclose()
