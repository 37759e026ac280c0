"""Turns a script's denial into a `Deny`: one sentence for the agent's developer, and the facts behind it."""

from dataclasses import dataclass

from runcap.decision import CapHit, Code, Deny, RuleHit
from runcap.money import ceil_div, usd_from_micros

_PLAIN = {
    Code.KEY_UNKNOWN: "This vault key belongs to no run: get one with `runcap keys issue`.",
    Code.KEY_REVOKED: "This run's vault key has been revoked: a new run needs a new key.",
    Code.KEY_EXPIRED: "This run's vault key has expired: a new run needs a new key.",
    Code.IDEMPOTENCY_MISMATCH: "This idempotency key was used for a different request: a new request needs a new key.",
    Code.IDEMPOTENCY_IN_PROGRESS: "The first request with this idempotency key has not ended yet: try again.",
}


@dataclass(frozen=True, slots=True)
class _Facts:
    vendor: str
    operation: str
    detail: str
    """What is frozen (``run:…``, ``fleet:…``, ``vendor:…``, ``all``), or for how long sends are told apart, in ms."""
    allowed: tuple[str, ...]
    requested_micros: int
    cap: CapHit | None
    rule: RuleHit | None


def read_denial(reply: list[str], vendor: str, operation: str) -> Deny:
    """Read ``{'DENY', code, run_id, label, detail, allowed, requested, cap…}`` (scripts/policy.lua)."""
    _, code_text, run_id, label, detail, allowed_text, requested, *cap_fields = reply
    code = Code(code_text)
    cap = _read_cap(cap_fields) if cap_fields else None
    allowed = tuple(item for item in allowed_text.split("\n") if item)
    about_operations = code is Code.OPERATION_NOT_ALLOWED
    rule = _read_rule(detail) if about_operations and detail else None
    if code is Code.RATE_LIMITED:
        name, most, _ = detail.split("\n")
        rule = RuleHit(name, "", (most,))
    facts = _Facts(vendor, operation, detail, allowed, int(requested or 0), cap, rule)
    return Deny(
        code,
        _message(code, facts),
        run_id=run_id or None,
        label=label or None,
        requested_micros=int(requested) if requested else None,
        cap=cap,
        allowed_operations=allowed if about_operations else None,
        attempted=operation if about_operations else None,
        rule=rule,
    )


def _read_rule(detail: str) -> RuleHit:
    """Read lines: the rule, what was attempted, and each thing that is allowed; amounts in micros."""
    rule, attempted, *allowed = detail.split("\n")
    if rule == "max_call":
        return RuleHit("max_call_usd", usd_from_micros(int(attempted)), (usd_from_micros(int(allowed[0])),))
    return RuleHit(rule, attempted, tuple(item for item in allowed if item))


def _read_cap(fields: list[str]) -> CapHit:
    level, selector, window, cap_micros, counted_micros, resets_at = fields
    return CapHit(level, selector, window, int(cap_micros), int(counted_micros), resets_at or None)


def _message(code: Code, facts: _Facts) -> str:
    match code:
        case Code.CAP_EXHAUSTED if facts.cap is not None:
            return _cap_message(facts.cap, facts.requested_micros)
        case Code.FROZEN:
            return f"{_frozen_subject(facts.detail)} frozen by the operator; nothing is forwarded until it is unfrozen."
        case Code.VENDOR_NOT_ALLOWED:
            return f"This run may not use {facts.vendor}, only {', '.join(facts.allowed)}."
        case Code.OPERATION_NOT_ALLOWED:
            return _operation_message(facts) if facts.rule is None else _rule_message(facts.rule)
        case Code.DUPLICATE | Code.RATE_LIMITED:
            return _pace_message(code, *facts.detail.split("\n"))
        case _:
            return _PLAIN[code]


def _operation_message(facts: _Facts) -> str:
    if facts.allowed:
        return f"This run may not use {facts.operation}. It may use: {', '.join(facts.allowed)}."
    return f"This run may not use {facts.operation}, unless its policy names it (`runcap keys issue --allow`)."


def _rule_message(rule: RuleHit) -> str:
    """What the policy says, and what would do."""
    if rule.rule == "max_call_usd":
        return f"The call costs {rule.attempted} USD; one call of this run may cost {rule.allowed[0]} USD at the most."
    would_do = f"only {', '.join(rule.allowed)}" if rule.allowed else "which its policy has to name"
    match rule.rule:
        case "account":
            hint = "" if rule.allowed else " (`runcap keys issue --stripe-account`)"
            return f"This run may not act on the connected account {rule.attempted}, {would_do}{hint}."
        case "country":
            country = rule.attempted or "a country that the call does not name"
            return f"This run may not reach {country}, {would_do}."
        case "currency":
            currency = rule.attempted or "a currency that the call does not name"
            return f"This run may not move money in {currency}, {would_do}."
        case other:
            return f"This run's policy is against the call: {other} {rule.attempted}, {would_do}."


def _pace_message(code: Code, rule: str, most: str = "", left_ms: str = "") -> str:
    if code is Code.DUPLICATE:
        seconds = ceil_div(int(rule), 1000)
        return f"This run has sent the very same less than {seconds} s ago, so it was not sent again."
    if rule == "max_concurrency":
        return f"This run may have {most} calls under way at once, and has: try again when one has ended."
    return f"This run may make {most} calls a minute, and has: try again in {ceil_div(int(left_ms), 1000)} s."


def _cap_message(cap: CapHit, requested_micros: int) -> str:
    subject = {"run": "this run", "fleet": f"all runs labelled {cap.selector!r}…", "vendor": cap.selector}[cap.level]
    window = {"day": "a day", "month": "a month", "total": "in total"}[cap.window]
    remaining_micros = max(0, cap.cap_micros - cap.spent_micros)
    resets = f" It resets at {cap.resets_at}." if cap.resets_at else ""
    return (
        f"The call costs {usd_from_micros(requested_micros)} USD, and {usd_from_micros(remaining_micros)} USD is left "
        f"of {usd_from_micros(cap.cap_micros)} USD {window} for {subject}.{resets} It was not sent."
    )


def _frozen_subject(detail: str) -> str:
    level, _, name = detail.partition(":")
    match level:
        case "run":
            return "This run is"
        case "fleet":
            return f"All runs labelled {name!r}… are"
        case "vendor":
            return f"All calls to {name} are"
        case _:
            return "All runs are"


__all__ = ["read_denial"]
