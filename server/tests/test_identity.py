"""Who is asking: the header from trusted peers only, keys in constant time, nobody by default."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from palaver import ConfigError, InvalidRequest, Principal, Secret, Unauthenticated
from palaver.config.schema import ServerConfig
from palaver_server.identity import Identity, check_binding, parse_keys

KEY = "k" * 32


def request(*headers: tuple[str, str], peer: Any = ("127.0.0.1", 5000)) -> Any:
    transport = SimpleNamespace(get_extra_info=lambda name, default=None: peer if name == "peername" else default)
    return make_mocked_request("GET", "/", headers=CIMultiDict(headers), transport=transport)


USER = ("X-User-ID", "ann")
BEARER = ("Authorization", f"Bearer {KEY}")
AWAY = ("203.0.113.9", 5000)
KEYED = ServerConfig(api_keys=(Secret(f"bob={KEY}"),))


async def test_the_header_of_a_trusted_peer_names_the_caller() -> None:
    assert Principal("ann", "header") == await Identity(ServerConfig())(request(USER))
    unix_socket = request(USER, peer="")
    assert Principal("ann", "header") == await Identity(ServerConfig())(unix_socket)
    mapped = request(USER, peer=("::ffff:127.0.0.1", 5000, 0, 0))
    assert Principal("ann", "header") == await Identity(ServerConfig())(mapped)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("X-User-ID", ""),),
        (("X-User-ID", "a b"),),
        (("X-User-ID", "x" * 256),),
        (("X-User-ID", "ann/../bob"),),
        (("X-User-ID", "änn"),),
        (USER, USER),
        (USER, ("X-User-ID", "bob")),
        (("X_User_ID", "ann"),),
        (("Authorization", "Basic YTpi"),),
        (("Authorization", "Bearer"),),
        (("Authorization", "Bearer unknown-key-unknown"),),
        (BEARER, BEARER),
    ],
)
async def test_nobody_is_let_in_by_default_or_by_half(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(Unauthenticated):
        await Identity(KEYED)(request(*headers))


async def test_the_header_of_a_stranger_counts_as_absent() -> None:
    with pytest.raises(Unauthenticated):
        await Identity(KEYED)(request(USER, peer=AWAY))
    assert Principal("bob", "key") == await Identity(KEYED)(request(USER, BEARER, peer=AWAY))


async def test_a_key_and_a_trusted_header_at_once_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="both"):
        await Identity(KEYED)(request(USER, BEARER))


async def test_another_scheme_beside_the_header_is_the_proxys_own_matter() -> None:
    basic = ("Authorization", "Basic YTpi")
    assert Principal("ann", "header") == await Identity(KEYED)(request(USER, basic))


async def test_a_network_of_the_operators_is_trusted() -> None:
    identity = Identity(ServerConfig(trusted_peers=("203.0.113.0/24", "2001:db8::/32")))
    assert Principal("ann", "header") == await identity(request(USER, peer=AWAY))
    assert Principal("ann", "header") == await identity(request(USER, peer=("2001:db8::1%eth0", 1, 0, 0)))
    with pytest.raises(Unauthenticated):
        await identity(request(USER, peer=("198.51.100.1", 1)))


async def test_a_proxy_secret_is_asked_of_everybody_once_it_is_set() -> None:
    identity = Identity(ServerConfig(proxy_secret=Secret("s" * 20)))
    secret = ("X-Proxy-Secret", "s" * 20)
    assert Principal("ann", "header") == await identity(request(USER, secret, peer=AWAY))
    assert Principal("ann", "header") == await identity(request(USER, secret))
    for headers in ((USER,), (USER, ("X-Proxy-Secret", "wrong")), (USER, secret, secret)):
        with pytest.raises(Unauthenticated):
            await identity(request(*headers))


async def test_a_bare_key_is_its_own_owner() -> None:
    (principal,) = parse_keys([Secret(KEY)]).values()
    assert principal.owner.startswith("key-")
    assert principal == await Identity(ServerConfig(api_keys=(Secret(KEY),)))(request(BEARER))


def test_a_bad_key_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_keys([Secret("short-secret")])
    assert "short-secret" not in str(caught.value)


async def test_the_development_user_is_whoever_brings_nothing() -> None:
    identity = Identity(ServerConfig(dev_user="me"))
    assert Principal("me", "dev") == await identity(request())
    assert Principal("ann", "header") == await identity(request(USER))
    # SDKs insist on sending some key; where none is configured it means nothing.
    assert Principal("me", "dev") == await identity(request(BEARER))
    with pytest.raises(Unauthenticated):
        await identity(request(("X-User-ID", "a b")))


async def test_further_authenticators_are_asked_last() -> None:
    asked = []

    class ByTicket:
        async def authenticate(self, credentials: Any) -> Principal | None:
            asked.append(credentials.all("x-ticket"))
            return Principal("zoe", "ticket") if credentials.all("x-ticket") == ("t",) else None

    identity = Identity(ServerConfig(), (ByTicket(),))
    assert Principal("zoe", "ticket") == await identity(request(("X-Ticket", "t"), peer=AWAY))
    with pytest.raises(Unauthenticated):
        await identity(request())
    assert [("t",), ()] == asked


@pytest.mark.parametrize(
    "config",
    [
        ServerConfig(host="0.0.0.0"),
        ServerConfig(host="::"),
        ServerConfig(host="192.168.1.5", dev_user="me", api_keys=(Secret(KEY),)),
    ],
)
def test_a_binding_where_anybody_could_be_anybody_is_refused(config: ServerConfig) -> None:
    with pytest.raises(ConfigError):
        check_binding(config)


def test_a_binding_with_somebody_at_the_door_is_taken() -> None:
    check_binding(ServerConfig(host="127.0.0.1", dev_user="me"))
    check_binding(ServerConfig(host="0.0.0.0", trusted_peers=("10.0.0.0/8",)))
    check_binding(ServerConfig(host="0.0.0.0", proxy_secret=Secret("s" * 20)))
    check_binding(KEYED)
