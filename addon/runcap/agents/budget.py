"""What an agent may ask runcap itself, with its vault key: its budget, and why its last call was refused.

``GET http://runcap.local/budget`` through the proxy (plain HTTP, absolute form) or ``/budget`` on the gateway, with
``Authorization: Bearer vk_…``. Amounts are dollars in text, as in a refusal: ``spent_usd`` counts what is held too.
A question costs nothing, is not a call, and is not audited; a key that is not good is.
"""

import asyncio
import datetime as dt
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from runcap.agents.environment import OWN_HOST
from runcap.audit.reading import open_readonly
from runcap.audit.schema import AuditFileError
from runcap.decision import Code, Deny, Refused, refuse
from runcap.entrance.wire import Message
from runcap.ledger.budgets import Allowance
from runcap.ledger.denials import read_denial
from runcap.ledger.model import Run, Window
from runcap.money import usd_from_micros
from runcap.reply import Reply
from runcap.runs import key_digest, parse_vault_key

_ORIGIN = f"http://{OWN_HOST}"
BUDGET_PATH = "/budget"
LAST_REFUSAL_PATH = "/budget/last-refusal"

_LAST_REFUSAL = """
    SELECT at, vendor, method, path, operation, code, status, cost_micros, spent_micros, cap_micros, cap_level,
        cap_selector, cap_window
    FROM calls WHERE run_id = ? AND decision <> 'allowed' ORDER BY seq DESC LIMIT 1
"""


class BudgetPort(Protocol):
    """What is asked of the ledger (`runcap.ledger.ledger.Ledger`)."""

    async def run_of_key(self, key_digest: str) -> Run | None:
        """The run of a vault key."""

    async def allowances(self, run: Run) -> list[Allowance]:
        """All that bounds a run."""

    async def freezes_of(self, run: Run) -> list[str]:
        """What stops its calls."""

    async def clock_ms(self) -> int:
        """The ledger's clock."""


def own_path(message: Message) -> str | None:
    """The path that is asked of runcap itself on the proxy's port; None for any other request."""
    origin, path = message.target[: len(_ORIGIN)], message.target[len(_ORIGIN) :]
    return path if origin == _ORIGIN and path.startswith("/") else None


class Desk:
    """Answers an agent's questions about its own run."""

    def __init__(self, ledger: BudgetPort, audit: Path, *, has_secret: Callable[[str], bool]) -> None:
        """Wire the parts together.

        Args:
            ledger: knows the run.
            audit: its file; it may be on another machine, and so not be there.
            has_secret: whether there is a real secret for a vendor; the canary tells (`runcap.agents.canary`).
        """
        self._ledger = ledger
        self._audit = audit
        self.has_secret = has_secret
        self._answers: dict[str, Callable[[Run, int], Awaitable[dict[str, Any]]]] = {
            BUDGET_PATH: self._budget,
            LAST_REFUSAL_PATH: self._last_refusal,
        }

    def knows(self, path: str) -> bool:
        """Whether it is one of ours."""
        return path in self._answers

    async def answer(self, path: str, message: Message) -> Reply:
        """Answer a question, or refuse it in runcap's own JSON.

        Raises:
            Refused: the key is not good, or the ledger cannot be asked.
        """
        if path not in self._answers:
            known = " and ".join(f"{_ORIGIN}{known}" for known in self._answers)
            raise refuse(Code.HOST_DENIED, f"runcap itself answers {known}.")
        if message.method != "GET":
            raise refuse(Code.MALFORMED, f"{_ORIGIN}{path} is for GET, not {message.method}.")
        run, now_ms = await self.run_of(_bearer(message))
        return _json(200, await self._answers[path](run, now_ms))

    async def run_of(self, token: str) -> tuple[Run, int]:
        """The run of a vault key that is good, and the time by the ledger's clock, in ms.

        Raises:
            Refused: ``key_unknown``, ``key_revoked``, ``key_expired``, or the ledger cannot be asked.
        """
        vault_key = parse_vault_key(token)
        run = None if vault_key is None else await self._ledger.run_of_key(key_digest(vault_key))
        if run is None:
            raise Refused(_key_denial(Code.KEY_UNKNOWN, None))
        now_ms = await self._ledger.clock_ms()
        if run.revoked_at_ms is not None:
            raise Refused(_key_denial(Code.KEY_REVOKED, run))
        if run.expires_at_ms is not None and run.expires_at_ms <= now_ms:
            raise Refused(_key_denial(Code.KEY_EXPIRED, run))
        return run, now_ms

    async def _budget(self, run: Run, now_ms: int) -> dict[str, Any]:
        allowances, freezes = await asyncio.gather(self._ledger.allowances(run), self._ledger.freezes_of(run))
        return {
            "run_id": run.run_id,
            "label": run.label,
            "vendors": list(run.vendors),
            "expires_at": None if run.expires_at_ms is None else utc(run.expires_at_ms),
            "now": utc(now_ms),
            "frozen": freezes,
            "remaining_usd": {vendor: _usd(_tightest(allowances, vendor)) for vendor in run.vendors},
            "levels": [_fields(allowance, now_ms) for allowance in allowances],
        }

    async def _last_refusal(self, run: Run, now_ms: int) -> dict[str, Any]:
        del now_ms
        found = await asyncio.to_thread(_read_last_refusal, self._audit, run.run_id)
        return {"run_id": run.run_id, "label": run.label, "last_refusal": found}


def _bearer(message: Message) -> str:
    values = message.values("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise refuse(Code.KEY_MISSING, "Send the run's vault key once, as `Authorization: Bearer vk_…`.")
    return token


def _key_denial(code: Code, run: Run | None) -> Deny:
    """The same sentence as for a call."""
    run_id, label = ("", "") if run is None else (run.run_id, run.label)
    return read_denial(["DENY", str(code), run_id, label, "", "", ""], "", "")


def _tightest(allowances: list[Allowance], vendor: str) -> int | None:
    """What the tightest cap leaves for a call to this vendor, in micros; None: no cap applies."""
    left = [
        allowance.cap_micros - _counted(allowance)
        for allowance in allowances
        if allowance.cap_micros is not None and (allowance.level != "vendor" or allowance.selector == vendor)
    ]
    return max(0, min(left)) if left else None


def _fields(allowance: Allowance, now_ms: int) -> dict[str, Any]:
    cap, counted = allowance.cap_micros, _counted(allowance)
    return {
        "level": allowance.level,
        "selector": allowance.selector,
        "window": allowance.window,
        "spent_usd": _usd(counted),
        "held_usd": _usd(allowance.spend.held_micros),
        "cap_usd": _usd(cap),
        "remaining_usd": None if cap is None else _usd(max(0, cap - counted)),
        "resets_at": _resets_at(allowance.window, now_ms),
    }


def _counted(allowance: Allowance) -> int:
    return allowance.spend.held_micros + allowance.spend.spent_micros


def _usd(micros: int | None) -> str | None:
    return None if micros is None else usd_from_micros(micros)


def _resets_at(window: Window, now_ms: int) -> str | None:
    today = dt.datetime.fromtimestamp(now_ms // 1000, dt.UTC).replace(hour=0, minute=0, second=0)
    if window == "day":
        return _iso(today + dt.timedelta(days=1))
    if window == "month":
        return _iso((today.replace(day=28) + dt.timedelta(days=4)).replace(day=1))
    return None


def utc(ms: int) -> str:
    """Milliseconds since 1970 as UTC in ISO 8601, whole seconds with ``Z``."""
    return _iso(dt.datetime.fromtimestamp(ms // 1000, dt.UTC))


def _iso(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_last_refusal(audit: Path, run_id: str) -> dict[str, Any] | None:
    """The run's last refused call that is in the audit: it follows a refusal by some milliseconds."""
    try:
        database = open_readonly(audit)
    except AuditFileError as error:
        raise refuse(Code.AUDIT_UNAVAILABLE, "The audit is not on this machine, or cannot be read.") from error
    try:
        cursor = database.execute(_LAST_REFUSAL, (run_id,))
        row = cursor.fetchone()
        names = [column[0] for column in cursor.description]
    except sqlite3.Error as error:
        raise refuse(Code.AUDIT_UNAVAILABLE, "The audit cannot be read.") from error
    finally:
        database.close()
    if row is None:
        return None
    fields = dict(zip(names, row, strict=True))
    amounts = {"requested_usd": "cost_micros", "spent_usd": "spent_micros", "cap_usd": "cap_micros"}
    return {
        **{name: value for name, value in fields.items() if not name.endswith("_micros")},
        **{name: _usd(fields[source]) for name, source in amounts.items()},
    }


def _json(status: int, body: dict[str, Any]) -> Reply:
    headers = (("content-type", "application/json"), ("cache-control", "no-store"))
    return Reply(status, headers, json.dumps(body).encode())
