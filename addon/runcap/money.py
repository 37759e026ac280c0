"""Money is an ``int`` of micro-USD (1 USD = 1,000,000 micros). No float ever holds money.

Whatever is converted is rounded up: a cap may be reached a micro early, never passed.
"""

import re

MICROS_PER_USD = 1_000_000

MAX_CALL_MICROS = 10**12
"""The most that one call may cost: $1,000,000. Above it, a call is refused."""

MAX_LEDGER_MICROS = 2**53 - 1
"""The largest integer that Lua's numbers hold exactly: nothing larger may reach the ledger."""

_USD = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,6}))?", re.ASCII)


def micros_from_usd(text: str) -> int:
    """Read a plain decimal amount of dollars, such as ``"50000"`` or ``"0.0083"``.

    Raises:
        ValueError: for anything else: signs, exponents, blanks, more than six decimals, non-ASCII digits.
    """
    match = _USD.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an amount in dollars: write it like 50000 or 12.50")
    whole, fraction = match.groups()
    micros = int(whole) * MICROS_PER_USD + int((fraction or "").ljust(6, "0"))
    if micros > MAX_LEDGER_MICROS:
        raise ValueError(f"{text!r} is more dollars than the ledger can count")
    return micros


def usd_from_micros(micros: int) -> str:
    """Write micros as dollars: two decimals, more only where they are needed (``"20.00"``, ``"0.0083"``)."""
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), MICROS_PER_USD)
    decimals = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"


def ceil_div(dividend: int, divisor: int) -> int:
    """Divide, rounding up, in integers."""
    return -(-dividend // divisor)
