"""`runcap env`."""

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from runcap.agents import formats as envformats
from runcap.pki.ca import Authority
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
    """An agent on this machine cannot connect to 0.0.0.0 everywhere; a proxy that asks for the key is given it."""
    (tmp_path / "runcap.toml").write_text('[proxy]\nauth = "vault_key"\nlisten = "0.0.0.0:8080"\n')
    assert f"http://run:{KEY}@127.0.0.1:8080" == runcap("env", "--key", KEY, "--json").json["HTTPS_PROXY"]


@pytest.mark.parametrize(
    "key",
    ["sk_live_real", KEY[:-1], KEY[:-1] + ("0" if KEY[-1] != "0" else "1")],
    ids=["another's", "cut off", "mistyped"],
)
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


def test_fish_takes_it(runcap: Runcap, tmp_path: Path) -> None:
    """Sourced by fish, every variable has its value, also with quotes and backslashes in the path."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    odd = tmp_path / "it's a \\home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNCAP_HOME", str(odd))
        lines = runcap("env", "--key", KEY, "--format", "fish").out
    script = f"{lines}\nenv"
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = subprocess.run(["fish", "--no-config", "-c", script], check=True, capture_output=True, text=True, env=env)
    seen = dict(line.split("=", 1) for line in ended.stdout.splitlines())
    assert (f"{odd}/ca/bundle.pem", KEY) == (seen["SSL_CERT_FILE"], seen["STRIPE_API_KEY"])
    assert "http://127.0.0.1:8080" == seen["HTTPS_PROXY"]


def test_powershell_quotes() -> None:
    """A single quote in a value is doubled; nothing else has a meaning in single quotes."""
    assert "$env:A = 'it''s $x `y`'\n" == envformats.powershell({"A": "it's $x `y`"})


def test_github_env(runcap: Runcap, monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME=value lines for the file, the key masked on stderr, and no NODE_OPTIONS, which the runner refuses there."""
    monkeypatch.delenv("NODE_OPTIONS", raising=False)
    result = runcap("env", "--key", KEY, "--format", "github")
    seen = dict(line.split("=", 1) for line in result.out.splitlines())
    assert (f"::add-mask::{KEY}\n", 0) == (result.err, result.code)
    assert "NODE_OPTIONS" not in seen
    assert seen["RUNCAP_NODE_OPTIONS"].startswith("--require=")
    assert KEY == seen["STRIPE_API_KEY"]


def test_docker_env_file(runcap: Runcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values as they stand; paths where the folder is mounted; nothing of this machine's own environment."""
    monkeypatch.setenv("PYTHONPATH", "/of/this/machine")
    result = runcap("env", "--key", KEY, "--format", "docker", "--proxy", "http://runcap:8080")
    seen = dict(line.split("=", 1) for line in result.out.splitlines())
    folder = tmp_path / "home" / "agent"
    assert f"runcap: mount {folder} at /etc/runcap, read-only\n" == result.err
    assert ("http://runcap:8080", "http://runcap:8081") == (seen["HTTPS_PROXY"], seen["RUNCAP_GATEWAY"])
    assert "/etc/runcap" == seen["PYTHONPATH"]
    named = [seen[name] for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")]
    named += [seen["NODE_OPTIONS"].removeprefix("--require="), f"{seen['PYTHONPATH']}/sitecustomize.py"]
    assert [] == [path for path in named if not (folder / Path(path).relative_to("/etc/runcap")).is_file()]
    assert 0o644 == (folder / "bundle.pem").stat().st_mode & 0o777


def test_kubernetes_objects(runcap: Runcap) -> None:
    """The key in a Secret and nowhere else, the rest in ConfigMaps; the loopback address is remarked on."""
    result = runcap("env", "--key", KEY, "--format", "kubernetes", "--name", "billing", "--mount", "/runcap")
    secret, settings, files = YAML(typ="safe").load_all(result.out)
    assert "127.0.0.1:8080 is the container's own loopback" in result.err
    assert ["Secret", "ConfigMap", "ConfigMap"] == [each["kind"] for each in (secret, settings, files)]
    assert ["billing-key", "billing-env", "billing-files"] == [
        each["metadata"]["name"] for each in (secret, settings, files)
    ]
    assert {KEY} == set(secret["stringData"].values())
    assert KEY not in str(settings) + str(files)
    assert "/runcap/bundle.pem" == settings["data"]["SSL_CERT_FILE"]
    assert {"ca.pem", "bundle.pem", "sitecustomize.py", "preload.cjs"} == set(files["data"])
    assert ["truststore.p12"] == list(files["binaryData"])
    ssl.create_default_context(cadata=files["data"]["ca.pem"])


def test_a_name_that_is_none(runcap: Runcap) -> None:
    """Kubernetes would not take it."""
    result = runcap("env", "--key", KEY, "--format", "kubernetes", "--name", "Not_one")
    assert (2, "") == (result.code, result.out)
