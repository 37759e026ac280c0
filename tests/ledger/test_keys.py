"""Keys as their docstrings show them."""

import pytest

from runcap.ledger import keys


def test_all_keys_of_a_namespace_share_one_hash_tag() -> None:
    """One slot of a cluster for all of them."""
    prefix = keys.prefix("default")
    built = [
        keys.meta(prefix),
        keys.run(prefix, "9f86d0"),
        keys.run_ids(prefix),
        keys.labels(prefix),
        keys.caps(prefix),
        keys.frozen(prefix),
        keys.spend(prefix, "run:01J"),
        keys.reservation(prefix, "5f2b"),
        keys.open_reservations(prefix),
        keys.counted_object(prefix, "stripe", "pi_3N"),
        keys.idempotency(prefix, "01J", "2c26b4"),
        keys.audit(prefix),
    ]
    assert [
        "runcap:{default}:meta",
        "runcap:{default}:run:9f86d0",
        "runcap:{default}:run_ids",
        "runcap:{default}:labels",
        "runcap:{default}:caps",
        "runcap:{default}:frozen",
        "runcap:{default}:spend:run:01J",
        "runcap:{default}:resv:5f2b",
        "runcap:{default}:open",
        "runcap:{default}:obj:stripe:pi_3N",
        "runcap:{default}:idem:01J:2c26b4",
        "runcap:{default}:audit",
    ] == built


@pytest.mark.parametrize("namespace", ["", "a}b", "a*b", "a b", "é", "x" * 65, "a\n"])
def test_a_namespace_cannot_break_out_of_its_tag(namespace: str) -> None:
    """Nor match another's keys as a pattern."""
    with pytest.raises(ValueError, match="is no namespace"):
        keys.prefix(namespace)
