"""The proxy as the agent finds it: reachable, with a good key, a clock that agrees, and every vendor's secret."""

import datetime as dt
import http.client
import ssl
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from runcap.agents.asking import Answer, ask_canary, ask_runcap
from runcap.agents.budget import BUDGET_PATH
from runcap.doctor.finding import Finding, Mends, fault, ok, skipped
from runcap.hosts import KNOWN_VENDORS

_PROXY_NAMES = ("HTTPS_PROXY", "https_proxy")
_CLOCK_SECONDS = 60
"""A vault key's expiry and a certificate's dates bear this much; a signed call or a log may not bear more."""


def check_proxy(environment: Mapping[str, str], configured: str | None, mends: Mends) -> Finding:
    """The proxy variables lead to a runcap.

    Args:
        environment: the agent's.
        configured: where the proxy is by the configuration; None if that does not say.
        mends: the lines that mend.
    """
    urls = {environment[name] for name in _PROXY_NAMES if environment.get(name)}
    if not urls:
        return fault("proxy", "neither HTTPS_PROXY nor https_proxy is set", mends.environment())
    if len(urls) > 1:
        return fault("proxy", f"HTTPS_PROXY and https_proxy differ: {', '.join(sorted(urls))}", mends.environment())
    url, vault_key = urls.pop(), environment.get("RUNCAP_VAULT_KEY", "none")
    problem = _problem(url, vault_key)
    if problem is None:
        return ok("proxy", f"runcap answers at {url}")
    elsewhere = configured is not None and configured != url and _problem(configured, vault_key) is None
    what = f"HTTPS_PROXY is {url}: {problem}"
    if elsewhere:
        return fault("proxy", f"{what}; runcap answers at {configured}", mends.environment())
    return fault("proxy", what, mends.start())


def check_key(answer: Answer, mends: Mends) -> Finding:
    """The vault key is good."""
    fields = answer.fields
    if answer.status == 200:
        until = fields.get("expires_at") or "revoked"
        frozen = fields.get("frozen")
        if frozen:
            return fault("vault key", f"frozen: {', '.join(frozen)}", _unfreeze(str(frozen[0]), str(fields["run_id"])))
        return ok("vault key", f"run {fields['run_id']} ({fields['label']}), good until {until}")
    what = f"{fields.get('code', answer.status)}: {fields.get('message', 'no words')}"
    return fault("vault key", what, mends.key(fields.get("label") or "my-agent"))


def check_clock(answer: Answer, mends: Mends) -> Finding:
    """This machine's clock agrees with the ledger's."""
    now = answer.fields.get("now")
    if answer.status != 200 or not isinstance(now, str):
        return skipped("clock", "the proxy tells its time only for a good key")
    theirs = dt.datetime.fromisoformat(now)
    off = round(time.time() - theirs.timestamp())
    if abs(off) > _CLOCK_SECONDS:
        direction = "ahead of" if off > 0 else "behind"
        return fault("clock", f"{abs(off)} s {direction} the ledger's", mends.clock(now))
    return ok("clock", f"within {_CLOCK_SECONDS} s of the ledger's")


def check_vendors(environment: Mapping[str, str], proxy: str, vault_key: str, mends: Mends) -> list[Finding]:
    """TLS through the proxy holds for each vendor's host, and the proxy has a secret to put in."""
    return [_check_vendor(name, environment, proxy, vault_key, mends) for name in KNOWN_VENDORS]


def ask(environment: Mapping[str, str], proxy: str) -> Answer | None:
    """The run's budget, asked once for all checks that read it; None if nobody answers."""
    try:
        return ask_runcap(proxy, BUDGET_PATH, environment.get("RUNCAP_VAULT_KEY", ""))
    except (OSError, http.client.HTTPException):
        return None


def _check_vendor(name: str, environment: Mapping[str, str], proxy: str, vault_key: str, mends: Mends) -> Finding:
    host = KNOWN_VENDORS[name].host
    sid = environment.get("TWILIO_ACCOUNT_SID", "")
    if name == "twilio" and not sid:
        return skipped(name, "vendors.twilio.account_sid is not configured")
    try:
        answer = ask_canary(proxy, environment.get("SSL_CERT_FILE", ""), host, vault_key, sid)
    except ssl.SSLError as error:
        what = f"{host} is not trusted: {error.reason or error}; the proxy may have started with another root"
        return fault(name, what, mends.environment(), "start `runcap up` again if it stays so")
    except (OSError, http.client.HTTPException) as error:
        return fault(name, f"{host} does not answer through the proxy: {error}", mends.environment())
    return _judge(name, answer, mends)


def _judge(name: str, answer: Answer, mends: Mends) -> Finding:
    fields = answer.fields
    code = fields.get("code")
    if code == "vendor_not_allowed":
        return skipped(name, "this run may not use it")
    if answer.status != 200:
        what = f"{code or answer.status}: {fields.get('message', 'not from runcap')}"
        return fault(name, what, mends.key(fields.get("label") or "my-agent"))
    if not fields.get("secret"):
        return fault(name, f"the proxy has no secret for it (vendors.{name}.secret)", mends.secret(name))
    return ok(name, "its host is answered by runcap, and there is a secret for it")


def _problem(url: str, vault_key: str) -> str | None:
    """Why this is no runcap; None if it is one, whatever it says about the key."""
    try:
        if urlsplit(url).port is None:
            return "no port is given"
        answer = ask_runcap(url, BUDGET_PATH, vault_key)
    except ValueError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    except http.client.HTTPException as error:
        return f"no HTTP is spoken there ({type(error).__name__})"
    return None if answer.from_runcap else "something else than runcap answers"


def _unfreeze(frozen: str, run_id: str) -> str:
    level, _, selector = frozen.partition(":")
    if level == "all":
        return "runcap unfreeze --all"
    return f"runcap unfreeze --{level} {selector or run_id}"
