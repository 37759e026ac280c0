"""`runcap env`."""

import ssl
import subprocess
from pathlib import Path

import pytest

from runcap.ca import Authority
from runcap.runs import new_vault_key
from tests.cli.conftest import Runcap

KEY = new_vault_key()


def test_a_shell_takes_it(runcap: Runcap, tmp_path: Path) -> None:
    """Evaluated by sh, every variable has its value, even where the path needs quotes."""
    odd = tmp_path / "it's a home"
    (tmp_path / "runcap.toml").write_text(
        f"""
        [proxy]
        listen = "127.0.0.1:9000"
        gateway = "127.0.0.1:9001"
        [vendors.twilio]
        account_sid = "AC{"0" * 32}"
        """
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNCAP_HOME", str(odd))
        lines = runcap("env", "--key", KEY).out
    ended = subprocess.run(["sh", "-c", f"{lines}\nenv"], check=True, capture_output=True, text=True, env={})
    seen = dict(line.split("=", 1) for line in ended.stdout.splitlines())
    bundle, root = f"{odd}/ca/bundle.pem", f"{odd}/ca/ca.pem"
    proxies = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    bundles = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "TWILIO_CA_BUNDLE")
    expected = {
        **dict.fromkeys(proxies, "http://127.0.0.1:9000"),
        **dict.fromkeys(bundles, bundle),
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
        "NODE_EXTRA_CA_CERTS": root,
        "DENO_CERT": root,
        "NODE_USE_ENV_PROXY": "1",
        "STRIPE_API_KEY": KEY,
        "STRIPE_SECRET_KEY": KEY,
        "TWILIO_AUTH_TOKEN": KEY,
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "RESEND_API_KEY": KEY,
        "RUNCAP_PROXY": "http://127.0.0.1:9000",
        "RUNCAP_GATEWAY": "http://127.0.0.1:9001",
        "RUNCAP_VAULT_KEY": KEY,
    }
    assert expected == {name: seen.get(name) for name in expected}
    assert Authority.load_or_create(odd / "ca").certificate_pem in Path(bundle).read_bytes()
    ssl.create_default_context(cafile=bundle)


def test_as_json(runcap: Runcap) -> None:
    """For whatever is no shell; without a Twilio account in the configuration none is set."""
    variables = runcap("env", "--key", KEY, "--json").json
    assert KEY == variables["STRIPE_API_KEY"]
    assert "TWILIO_ACCOUNT_SID" not in variables


def test_a_vendors_prefix_is_cut_off(runcap: Runcap) -> None:
    """What is set is the bare key."""
    assert KEY == runcap("env", "--key", f"sk_live_{KEY}", "--json").json["RESEND_API_KEY"]


def test_the_proxy_can_be_elsewhere(runcap: Runcap, tmp_path: Path) -> None:
    """With port 0 the configuration does not know where the proxy is: `--proxy` says it."""
    (tmp_path / "runcap.toml").write_text('[proxy]\nlisten = "127.0.0.1:0"\n')
    result = runcap("env", "--key", KEY)
    assert 2 == result.code
    assert "proxy.listen has port 0" in result.err
    variables = runcap("env", "--key", KEY, "--proxy", "http://10.0.0.7:8080", "--json").json
    assert "http://10.0.0.7:8080" == variables["HTTPS_PROXY"]


def test_every_address_means_loopback(runcap: Runcap, tmp_path: Path) -> None:
    """An agent on this machine cannot connect to 0.0.0.0 everywhere."""
    (tmp_path / "runcap.toml").write_text('[proxy]\nallow_remote = true\nlisten = "0.0.0.0:8080"\n')
    assert "http://127.0.0.1:8080" == runcap("env", "--key", KEY, "--json").json["HTTPS_PROXY"]


@pytest.mark.parametrize("key", ["sk_live_real", KEY[:-1], KEY[:-1] + ("0" if KEY[-1] != "0" else "1")])
def test_a_key_that_is_none(runcap: Runcap, key: str) -> None:
    """A real secret or a mistyped key is refused, and not repeated."""
    result = runcap("env", "--key", key)
    assert (2, "") == (result.code, result.out)
    assert "that is no vault key" in result.err
    assert key not in result.err


def test_a_proxy_that_is_none(runcap: Runcap) -> None:
    """A URL without a port is wrong usage."""
    result = runcap("env", "--key", KEY, "--proxy", "localhost")
    assert 2 == result.code
    assert "write it like http://127.0.0.1:8080" in result.err
