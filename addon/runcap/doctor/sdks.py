"""The client libraries that an agent may have: each asks for the canary, in a process in the agent's environment."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runcap.doctor.finding import Finding, Mends, fault, ok, skipped
from runcap.shims import NODE_PRELOAD, PYTHON_FOLDER

_PROBES = Path(__file__).parent / "probes"
_SECONDS = 60
"""All libraries of one language, each of which gives up after 5."""

PYTHON_SDKS = ("stripe", "twilio", "resend", "requests", "httpx", "aiohttp")
NODE_SDKS = ("stripe", "twilio", "resend", "axios", "fetch")

_HINTS = {
    ("python", "stripe"): 'or in the code: stripe.ca_bundle_path = os.environ["SSL_CERT_FILE"]',
    ("python", "aiohttp"): "or in the code: aiohttp.ClientSession(trust_env=True)",
    ("node", "stripe"): "or by the gateway: new Stripe(key, { host: '127.0.0.1', port: 8081, protocol: 'http' })",
    ("node", "resend"): 'or by the gateway: export RESEND_BASE_URL="$RUNCAP_GATEWAY/resend"',
    ("node", "fetch"): "or Node 22.21, 24 or later, which take NODE_USE_ENV_PROXY=1",
}


@dataclass(frozen=True, slots=True)
class Language:
    """How the libraries of one language are tried."""

    name: str
    command: tuple[str, ...]
    sdks: tuple[str, ...]
    shim_variable: str
    shim: str
    """What has to stand in that variable."""


def python(interpreter: str) -> Language:
    """The packages of a Python interpreter."""
    command = (interpreter, str(_PROBES / "python_probe.py"))
    return Language("python", command, PYTHON_SDKS, "PYTHONPATH", str(PYTHON_FOLDER))


def node(folder: Path) -> Language:
    """The packages that a script in a folder would find."""
    command = ("node", str(_PROBES / "node_probe.cjs"), str(folder))
    return Language("node", command, NODE_SDKS, "NODE_OPTIONS", str(NODE_PRELOAD))


def check_sdks(language: Language, environment: Mapping[str, str], only: Sequence[str], mends: Mends) -> list[Finding]:
    """Try what is installed.

    Args:
        language: which.
        environment: the agent's, whole.
        only: the libraries to try; none: all that are known.
        mends: the lines that mend.
    """
    sdks = [sdk for sdk in language.sdks if not only or sdk in only]
    if not environment.get("TWILIO_ACCOUNT_SID"):
        sdks = [sdk for sdk in sdks if sdk != "twilio"]
    try:
        ended = subprocess.run(
            [*language.command, *sdks],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except OSError as error:
        return [skipped(language.name, f"{language.command[0]} cannot be run: {error.strerror}")]
    except subprocess.TimeoutExpired:
        return [fault(language.name, f"no answer within {_SECONDS} s", mends.environment())]
    reports = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"sdk"')]
    if ended.returncode != 0:
        return [fault(language.name, ended.stderr.strip()[-300:], mends.environment())]
    if not reports:
        return [skipped(language.name, "none of the libraries that are known is installed there")]
    return [_finding(language, report, environment, mends) for report in reports]


def _finding(language: Language, report: Mapping[str, Any], environment: Mapping[str, str], mends: Mends) -> Finding:
    check = f"{report['sdk']} ({language.name})"
    if report["ok"]:
        return ok(check, "its calls come through")
    what = " ".join(str(report["error"]).split())[:300]
    if language.shim not in environment.get(language.shim_variable, ""):
        what = f"runcap's shim is not in {language.shim_variable}: {what}"
    return fault(check, what, mends.environment(), _HINTS.get((language.name, str(report["sdk"]))))
