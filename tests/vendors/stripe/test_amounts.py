"""Stripe's minor units."""

import pytest

from runcap.vendors.stripe import amounts


@pytest.mark.parametrize(
    ("code", "exponent"),
    [("USD", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("XOF", 0), ("KWD", 3), ("ISK", 2), ("UGX", 0), ("HUF", 2)],
)
def test_exponents(code: str, exponent: int) -> None:
    """As on Stripe's page of currencies, and the dearer reading where it is not clear."""
    assert exponent == amounts.exponent(code)


def test_only_whole_numbers_of_an_answer_are_amounts() -> None:
    """JSON's true is an int to Python, and 20.0 is equal to 20."""
    assert [True, True, False, False, False, False, False] == [
        amounts.is_amount(value) for value in (0, 2000, -1, True, 20.0, "20", None)
    ]
