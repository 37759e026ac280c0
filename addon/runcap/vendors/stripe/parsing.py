"""A call to Stripe, read strictly: the model that is priced, and the request that is built anew from it."""

import base64
import binascii
import json
import re
from typing import Any

from runcap.decision import Code, refuse
from runcap.vendors import form, strict_json
from runcap.vendors.base import Operation, Plan, Request, Upstream
from runcap.vendors.form import Form
from runcap.vendors.stripe import amounts

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"

_CONTENT_TYPE = re.compile(r'([A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+)(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,4096}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:\.[a-z]{1,30})?", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)

_PASSED_HEADERS = ("accept", "user-agent", "x-stripe-client-user-agent")
"""Go upstream as they came. X-Stripe-Client-Telemetry does not: it tells of other requests."""

ACCOUNT_HEADER = "stripe-account"
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,64}", re.ASCII)

_SECRET_EXPANSIONS = frozenset({"number", "cvc", "pin", "payload", "account_number", "signing_secret", "credentials"})
"""What must not be asked for in the answer: card numbers (issuing cards), bank account numbers (treasury,
v2 vault), the payload of an app's secrets, the signing secrets of v2 event destinations."""


def credential(request: Request) -> str:
    """The token in the one Authorization header: ``Bearer TOKEN``, or Basic with the token as user.

    Raises:
        Refused: ``key_missing`` if there is none; ``malformed`` for two, for a Basic that has a password or
            not exactly one colon, and for any other scheme.
    """
    value = request.header("authorization")
    if value is None:
        raise refuse(Code.KEY_MISSING, "Send runcap's vault key where Stripe's secret key would be.")
    scheme, _, rest = value.partition(" ")
    token = rest.strip(" ")
    if scheme.lower() == "basic":
        token = _basic_user(token)
    elif scheme.lower() != "bearer":
        raise refuse(Code.MALFORMED, "The Authorization header must be Bearer or Basic.")
    if _TOKEN.fullmatch(token) is None:
        raise refuse(Code.MALFORMED, "The Authorization header does not hold one plain key.")
    return token


def plan(request: Request, operation: Operation, path_params: dict[str, str]) -> Plan:
    """Read the parameters and build what would be forwarded.

    Raises:
        Refused: ``malformed``, or ``operation_not_allowed`` for Stripe-Context and for an answer that would hold
            a secret.
    """
    account = _account(request, operation)
    is_v2 = operation.template.startswith("/v2/")
    headers = _headers(request)
    if account is not None:
        headers.append((ACCOUNT_HEADER, account))
    read = form.EMPTY
    params: dict[str, Any] = {}
    query, body = "", b""
    if request.method != "POST":
        read = _query(request)
        query = read.encode().decode("ascii")
    elif request.query:
        raise refuse(Code.MALFORMED, "A POST to Stripe must have its parameters in the body, not in the query.")
    elif is_v2:
        params = _json_body(request)
        body = json.dumps(params, ensure_ascii=False, separators=(",", ":")).encode()
        headers.append(("content-type", _JSON))
    else:
        read = _lower_currency(_checked(_form_body(request)))
        body = read.encode()
        headers.append(("content-type", _FORM))
    _check_expansions(read, params, operation)
    return Plan(
        operation,
        Upstream(request.method, request.path, query, tuple(headers), body),
        params or {key: read.all(key) if key.endswith("[]") else value for key, value in read.pairs},
        path_params,
        _idempotency_key(request, is_v2=is_v2),
        detail=read,
        account=account,
        direction=operation.direction,
    )


def _basic_user(encoded: str) -> str:
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError) as e:
        raise refuse(Code.MALFORMED, "The Basic authorization is not Base64 of ASCII text.") from e
    if not colon or password:
        raise refuse(Code.MALFORMED, "The Basic authorization must be the key, one colon, and an empty password.")
    return user


def _account(request: Request, operation: Operation) -> str | None:
    """The connected account that the call acts on (docs.stripe.com/connect/authentication, read 2026-11-24).

    Stripe-Context can name accounts in more ways than one and is refused.
    """
    if request.header("stripe-context") is not None:
        raise refuse(
            Code.OPERATION_NOT_ALLOWED,
            "Acting on another account by Stripe-Context is not possible through runcap: use Stripe-Account.",
            attempted=operation.name,
        )
    account = request.header(ACCOUNT_HEADER)
    if account is not None and _ACCOUNT.fullmatch(account) is None:
        raise refuse(Code.MALFORMED, "Stripe-Account must be the id of one account, such as acct_1032D82eZvKYlo2C.")
    return account


def _headers(request: Request) -> list[tuple[str, str]]:
    headers = []
    for name in _PASSED_HEADERS:
        value = request.header(name)
        if value is not None and _PRINTABLE.fullmatch(value) is not None:
            headers.append((name, value))
    version = request.header("stripe-version")
    if version is not None:
        if _VERSION.fullmatch(version) is None:
            raise refuse(Code.MALFORMED, "Stripe-Version must be a date and a release name, such as 2026-10-28.endive.")
        headers.append(("stripe-version", version))
    return headers


def _content_type(request: Request) -> str | None:
    value = request.header("content-type")
    if value is None:
        return None
    match = _CONTENT_TYPE.fullmatch(value.strip(" \t"))
    if match is None:
        raise refuse(Code.MALFORMED, "The Content-Type is not understood; its charset can only be utf-8.")
    return match.group(1).lower()


def _query(request: Request) -> Form:
    if request.body:
        raise refuse(Code.MALFORMED, f"A {request.method} to Stripe must not have a body.")
    return _checked(form.parse(request.query))


def _form_body(request: Request) -> Form:
    content_type = _content_type(request)
    if request.gateway and content_type == _JSON:
        return form.from_json(_json_body(request))
    if content_type != _FORM and (request.body or content_type is not None):
        raise refuse(Code.MALFORMED, f"Stripe's v1 takes {_FORM}; the Content-Type says {content_type}.")
    return form.parse(request.body)


def _json_body(request: Request) -> dict[str, Any]:
    content_type = _content_type(request)
    if content_type != _JSON and (request.body or content_type is not None):
        raise refuse(Code.MALFORMED, f"The Content-Type must be {_JSON}; it says {content_type}.")
    decoded = strict_json.loads(request.body) if request.body else {}
    if not isinstance(decoded, dict):
        raise refuse(Code.MALFORMED, "The JSON body must be an object.")
    return decoded


def _checked(read: Form) -> Form:
    """Refuse names that Stripe may take for more, or other, than a parameter of its own."""
    for name in read.names:
        if name == "key" or _NAME.fullmatch(name) is None:
            # ``key`` is a credential to Stripe, ``_method`` another method; ``AMOUNT`` is anyone's guess.
            raise refuse(Code.MALFORMED, f"The parameter {name[:60]!r} is not taken by runcap.")
    return read


def _lower_currency(read: Form) -> Form:
    """Write ``currency`` as Stripe does: SDKs pass on whatever case their user wrote."""
    code = amounts.currency(read)
    if code is None or read.get("currency") == code.lower():
        return read
    return Form(tuple((name, code.lower() if name == "currency" else value) for name, value in read.pairs))


def _check_expansions(read: Form, params: dict[str, Any], operation: Operation) -> None:
    include = params.get("include")
    paths = [value for name in ("expand", "include") for _, value in read.below(name)]
    for path in (*paths, *(include if isinstance(include, list) else [include])):
        if isinstance(path, str) and not _SECRET_EXPANSIONS.isdisjoint(path.split(".")):
            raise refuse(
                Code.OPERATION_NOT_ALLOWED,
                f"{path[:60]!r} would put a secret or a card number into the answer.",
                attempted=operation.name,
            )


def _idempotency_key(request: Request, *, is_v2: bool) -> str | None:
    """Stripe reads the key of a POST, and in v2 of a DELETE too."""
    if request.method != "POST" and not (is_v2 and request.method == "DELETE"):
        return None
    value = request.header("idempotency-key")
    if value is not None and _IDEMPOTENCY_KEY.fullmatch(value) is None:
        raise refuse(Code.MALFORMED, "Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return value
