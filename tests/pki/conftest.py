"""The operator of these tests has named no roots of a company's, whatever the machine's own environment says."""

import pytest

from runcap.pki.trust import ADDS, OUTER, REPLACES


@pytest.fixture(autouse=True)
def no_roots_of_a_companys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (REPLACES, *ADDS):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{OUTER}{name}", raising=False)
