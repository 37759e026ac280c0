"""What an agent is told to do about a refusal."""

from runcap.agents.advice import ADVICE, OTHERWISE, advice
from runcap.decision import Code


def test_each_code_has_its_own() -> None:
    """One that is new, or a fault of runcap's own, has the general one."""
    assert ADVICE[Code.CAP_EXHAUSTED] == advice("cap_exhausted")
    assert OTHERWISE == advice("internal") == advice("a code of tomorrow")
    assert len(ADVICE) == len(set(ADVICE.values()))
