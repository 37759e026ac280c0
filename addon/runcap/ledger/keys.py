"""All keys of the ledger: built here, and under the same names in the scripts from the prefix.

The namespace stands in braces, Redis Cluster's hash tag: all keys of one namespace are in one slot, since one script
must see every cap of a call. Namespaces spread over a cluster.
"""

import re

_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def prefix(namespace: str) -> str:
    """``runcap:{default}:``.

    Raises:
        ValueError: for a namespace that is empty, too long, or holds what a hash tag or a pattern gives a meaning.
    """
    if _NAMESPACE.fullmatch(namespace) is None:
        raise ValueError(f"{namespace!r} is no namespace: use up to 64 letters, digits, dots, dashes and underscores")
    return f"runcap:{{{namespace}}}:"


def meta(prefix: str) -> str:
    """``runcap:{default}:meta``, hash of facts about the ledger itself.

    Fields: epoch, created_ms, rebuilding, server (which is vouched for), audit_limit, anchor_seq, anchor_hash,
    anchor_id, fleet_lengths (of the prefixes that are counted, ``4,12,``), and ``counted:stripe`` for each
    vendor that has counters.
    """
    return prefix + "meta"


def run(prefix: str, key_digest: str) -> str:
    """``runcap:{default}:run:9f86d0…``, hash: what `runcap.ledger.model.Run` holds, by the vault key's SHA-256."""
    return f"{prefix}run:{key_digest}"


def run_ids(prefix: str) -> str:
    """``runcap:{default}:run_ids``, hash: run_id → the vault key's SHA-256."""
    return prefix + "run_ids"


def labels(prefix: str) -> str:
    r"""``runcap:{default}:labels``, sorted set, all scores 0: ``label\0run_id``, for finding runs by label prefix."""
    return prefix + "labels"


def caps(prefix: str) -> str:
    """``runcap:{default}:caps``, hash: ``fleet:billing-`` or ``vendor:twilio`` → ``day|month|total`` in micros."""
    return prefix + "caps"


def frozen(prefix: str) -> str:
    """``runcap:{default}:frozen``, hash: what is frozen → since when, in ms.

    Fields: ``run:01J…``, ``fleet:billing-``, ``vendor:twilio``, ``all``.
    """
    return prefix + "frozen"


def spend(prefix: str, selector: str) -> str:
    """``runcap:{default}:spend:run:01J…``, ``…:spend:fleet:billing-``, ``…:spend:vendor:stripe``, hash of micros.

    Fields: ``day:2026-11-24:held``, ``day:2026-11-24:spent``, ``month:2026-11:held``, …, ``total:spent``.
    """
    return f"{prefix}spend:{selector}"


def reservation(prefix: str, reservation_id: str) -> str:
    """``runcap:{default}:resv:5f2b…``, text: all that ending the reservation needs (scripts/reservations.lua)."""
    return f"{prefix}resv:{reservation_id}"


def open_reservations(prefix: str) -> str:
    """``runcap:{default}:open``, sorted set: reservation id → deadline in ms."""
    return prefix + "open"


def counted_object(prefix: str, vendor: str, object_id: str) -> str:
    """``runcap:{default}:obj:stripe:pi_3N…``, hash: selector → lines ``2026-11-24 20000000``; lives 400 days."""
    return f"{prefix}obj:{vendor}:{object_id}"


def idempotency(prefix: str, run_id: str, digest: str) -> str:
    """``runcap:{default}:idem:01J…:2c26b4…``, hash about an idempotency key; lives 23 hours.

    Fields: fingerprint, state (open, done), reservation, loose (counted before its object was known).

    ``runcap:{default}:idem:01J…:send-9f86d0…`` is the same about a send without such a key, for as long as the run's
    policy wants a second one refused.
    """
    return f"{prefix}idem:{run_id}:{digest}"


def active(prefix: str, run_id: str) -> str:
    """``runcap:{default}:active:01J…``, sorted set like `open_reservations`, of a run whose policy limits them."""
    return f"{prefix}active:{run_id}"


def pace(prefix: str, run_id: str, minute: int) -> str:
    """``runcap:{default}:pace:01J…:29401237``, how many calls a limited run began in a minute since 1970."""
    return f"{prefix}pace:{run_id}:{minute}"


def adjusted(prefix: str, vendor: str, resource: str) -> str:
    """``runcap:{default}:adjusted:twilio:SM0a1b…``, text: by how many micros it was adjusted; lives 30 days."""
    return f"{prefix}adjusted:{vendor}:{resource}"


def known(prefix: str, reservation_id: str) -> str:
    """``runcap:{default}:known:5f2b…``, text: a rebuilt ledger has heard of this reservation; lives an hour."""
    return f"{prefix}known:{reservation_id}"


def audit(prefix: str) -> str:
    """``runcap:{default}:audit``, stream: rows that the auditor has not stored yet (scripts/common.lua)."""
    return prefix + "audit"
