"""Who is asking: the trusted proxy's ``X-User-ID``, our callers' bearer keys, and the explicit development user.

A header is one line of proxy configuration away from being forged, so it counts only from a peer that is
trusted, only once, and only if it is well formed. May touch: the request's headers and its peer address.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from typing import TypeAlias

from aiohttp import hdrs, web
from multidict import istr
from palaver.config.checks import bind_problems
from palaver.config.keys import OWNER, parse_key
from palaver.config.schema import ServerConfig
from palaver.contracts import Authenticator, Credentials
from palaver.domain import Principal
from palaver.errors import ConfigError, InvalidRequest, Unauthenticated
from palaver.ids import Owner
from palaver.settings import Secret

__all__ = ["Identity", "check_binding", "parse_keys"]

USER_HEADER = istr("X-User-ID")
SECRET_HEADER = istr("X-Proxy-Secret")
#: The contract's own words.
_MISSING = "Authentication required: missing or invalid user ID"

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_keys(items: Sequence[Secret]) -> dict[bytes, Principal]:
    """Map the SHA-256 of each configured key to its owner.

    Raises:
        ConfigError: a key is too short or an owner malformed; the value is not shown.
    """
    keys: dict[bytes, Principal] = {}
    for number, item in enumerate(items, 1):
        try:
            found = parse_key(item)
        except ConfigError as error:
            raise ConfigError(f"server.api_keys: key {number} of {len(items)}: {error}") from error
        keys[_digest(found.key.reveal())] = Principal(Owner(found.owner), "key")
    return keys


def check_binding(config: ServerConfig) -> None:
    """Refuse to listen where anybody could claim to be anybody.

    Raises:
        ConfigError: a development user, or header identity without networks or proxy secret, beyond loopback.
    """
    for path, problem in bind_problems(config):
        raise ConfigError(f"{path}: {problem}")


class Identity:
    """Identifies callers; made once from the configuration.

    Args:
        authenticators: Further ways, asked in order when the built-in ones find nothing.
    """

    def __init__(self, config: ServerConfig, authenticators: Sequence[Authenticator] = ()) -> None:
        self._keys = parse_keys(config.api_keys)
        self._networks: tuple[Network, ...] = tuple(_network(item) for item in config.trusted_peers)
        secret = config.proxy_secret
        self._secret = secret.reveal().encode() if secret else None
        self._authenticators = tuple(authenticators)
        if config.dev_user is not None and not OWNER.fullmatch(config.dev_user):
            raise ConfigError(f"server.dev_user: {config.dev_user!r} is not a user id (A-Z a-z 0-9 . _ @ : -)")
        self._dev_user = None if config.dev_user is None else Principal(Owner(config.dev_user), "dev")
        #: Peer address → (in a configured network, on this machine).
        self._peers: dict[str, tuple[bool, bool]] = {}

    async def __call__(self, request: web.Request) -> Principal:
        """Tell who asks.

        Raises:
            Unauthenticated: no credentials, or wrong ones.
            InvalidRequest: a key and a trusted header at once.
        """
        headers = request.headers
        users = headers.getall(USER_HEADER, ()) if USER_HEADER in headers else ()
        if users and not self.is_trusted(request):
            users = ()
        authorizations = headers.getall(hdrs.AUTHORIZATION, ())
        if authorizations:
            token = _bearer(authorizations)
            if token is not None:
                if users:
                    raise InvalidRequest(
                        "both X-User-ID and Authorization: Bearer came: send one; a proxy that identifies "
                        "its users must strip Authorization"
                    )
                if self._keys or self._dev_user is None:
                    return await self._key_owner(request, token)
        if users:
            if len(users) != 1 or not OWNER.fullmatch(users[0]):
                raise Unauthenticated(_MISSING)
            return Principal(Owner(users[0]), "header")
        if (principal := await self._ask_others(request)) is not None:
            return principal
        if self._dev_user is not None:
            return self._dev_user
        raise Unauthenticated(_MISSING)

    def is_trusted(self, request: web.Request) -> bool:
        """Tell whether the peer's word counts: loopback, unix socket, a configured network, or the secret."""
        listed, local = self._place(request)
        if listed:
            return True
        if self._secret is None:
            return local
        # Once a secret is set, being on this machine is not enough: other programs run here too.
        given = request.headers.getall(SECRET_HEADER, ())
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self._secret)

    def _place(self, request: web.Request) -> tuple[bool, bool]:
        transport = request.transport
        if transport is None:
            return False, False
        peername = transport.get_extra_info("peername")
        if not isinstance(peername, tuple):
            return False, True
        peer = peername[0]
        place = self._peers.get(peer)
        if place is None:
            try:
                address = ipaddress.ip_address(peer.partition("%")[0])
            except ValueError:
                return False, False
            if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            place = (any(address in network for network in self._networks), address.is_loopback)
            if len(self._peers) < 1024:
                self._peers[peer] = place
        return place

    async def _key_owner(self, request: web.Request, token: str) -> Principal:
        digest = _digest(token)
        found = None
        # Every key is compared, each in constant time: how long it takes tells nothing about them.
        for known, principal in self._keys.items():
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            found = await self._ask_others(request)
        if found is None:
            raise Unauthenticated("the API key is not known here")
        return found

    async def _ask_others(self, request: web.Request) -> Principal | None:
        if not self._authenticators:
            return None
        place = request.transport and request.transport.get_extra_info("peername")
        credentials = Credentials(
            tuple((name.lower(), value) for name, value in request.headers.items()),
            place[0] if isinstance(place, tuple) else None,
            request.path,
            request.method,
        )
        for authenticator in self._authenticators:
            principal = await authenticator.authenticate(credentials)
            if principal is not None:
                return principal
        return None


def _bearer(values: Sequence[str]) -> str | None:
    """Take the key out of ``Authorization``; ``None`` for another scheme.

    Raises:
        Unauthenticated: the header is doubled or holds no key.
    """
    if len(values) != 1:
        raise Unauthenticated("Authorization came more than once")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer":
        return None
    token = token.strip()
    if not token:
        raise Unauthenticated("Authorization: Bearer holds no key")
    return token


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _network(item: str) -> Network:
    try:
        return ipaddress.ip_network(item, strict=False)
    except ValueError as error:
        raise ConfigError(f"server.trusted_peers: {item!r} is no network such as 10.0.0.0/8 ({error})") from error
