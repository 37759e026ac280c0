"""Who may use the proxy's port, where ``proxy.auth`` is ``vault_key``: only a run, by its key in Proxy-Authorization.

RFC 9110, section 11.7.1: a request without a good credential is answered 407, and the credential belongs to this one
hop. ``Basic`` with the key as password (any user name), which clients make of ``http://run:vk_…@host:port``, or
``Bearer``. Whoever opened a tunnel with one run's key cannot make calls with another's in it.
"""

import base64
from dataclasses import replace
from typing import Protocol

from runcap.decision import Code, Deny, Refused, refuse
from runcap.entrance.wire import Message
from runcap.runs import key_digest, parse_vault_key

_HEADER = "proxy-authorization"
_HOW = "Put a run's vault key into the proxy's URL: http://run:vk_...@HOST:PORT."


class IdentifyPort(Protocol):
    """What is asked of the ledger (`runcap.ledger.ledger.Ledger`)."""

    async def identify(self, digest: str) -> object:
        """Whose key it is, or `Refused` if it is not good."""


class ProxyAuth:
    """Checks what a CONNECT shows."""

    def __init__(self, ledger: IdentifyPort, *, required: bool) -> None:
        self._ledger = ledger
        self._required = required

    def key_digest(self, message: Message) -> str:
        """The digest of the vault key that a CONNECT shows; empty where none is asked for.

        Raises:
            Refused: ``proxy_auth_required``: it shows none.
        """
        if not self._required:
            return ""
        shown = message.values(_HEADER)
        if len(shown) != 1:
            raise refuse(Code.PROXY_AUTH_REQUIRED, f"This proxy is for runs only. {_HOW}")
        vault_key = parse_vault_key(_password(shown[0]))
        if vault_key is None:
            raise refuse(Code.PROXY_AUTH_REQUIRED, f"Proxy-Authorization holds no vault key. {_HOW}")
        return key_digest(vault_key)

    async def check(self, digest: str) -> None:
        """Refuse a key that is not good, in one round trip to the ledger.

        Raises:
            Refused: ``proxy_auth_required``, with the reason; or the ledger cannot be asked.
        """
        if not self._required:
            return
        try:
            await self._ledger.identify(digest)
        except Refused as refused:
            raise Refused(_as_challenge(refused.deny)) from refused


def _as_challenge(deny: Deny) -> Deny:
    if deny.code in (Code.KEY_UNKNOWN, Code.KEY_EXPIRED, Code.KEY_REVOKED):
        return replace(deny, code=Code.PROXY_AUTH_REQUIRED)
    return deny


def _password(credentials: str) -> str:
    """The token of Bearer or the password of Basic; empty for anything else."""
    scheme, _, token = credentials.partition(" ")
    match scheme.lower():
        case "bearer":
            return token
        case "basic":
            try:
                _, _, password = base64.b64decode(token, validate=True).decode("ascii").partition(":")
            except ValueError:  # no base64, or no ASCII, on either side of it
                return ""
            return password
        case _:
            return ""
