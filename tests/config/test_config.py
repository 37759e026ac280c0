"""runcap.toml is read strictly, and its errors say what to write instead."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from runcap.config import CapConfig, Config, ConfigError, Listen, VendorConfig, default_path, load, write_default
from runcap.config.values import Address
from runcap.entrance.limits import Limits
from runcap.ledger.model import Caps

type Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts in an empty folder, without runcap's variables."""
    monkeypatch.delenv("RUNCAP_CONFIG", raising=False)
    monkeypatch.delenv("RUNCAP_HOME", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_it(text: str) -> Path:
        path = tmp_path / "etc" / "runcap.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write_it


def error_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_without_a_file_there_are_defaults() -> None:
    """Nothing has to be configured to begin."""
    config = load()
    assert config.source is None
    assert Path.cwd() / ".runcap" == config.home
    assert config.home / "audit.db" == config.audit_path
    assert Listen("127.0.0.1", 8080) == config.proxy.listen
    assert Listen("127.0.0.1", 8081) == config.proxy.gateway
    assert (1, "tunnel", 30, 80) == (
        config.proxy.workers,
        config.proxy.other_hosts,
        config.proxy.drain_seconds,
        config.proxy.vendor_timeout_seconds,
    )
    assert ("", "default") == (config.ledger.url, config.ledger.namespace)
    assert ["stripe", "twilio", "resend"] == list(config.vendors)
    stripe = VendorConfig("env:STRIPE_SECRET_KEY", Address("api.stripe.com", 443), None, "")
    assert stripe == config.vendors["stripe"]
    assert (None, 20) == (config.fx.rates_file, config.fx.margin_permille)
    assert () == config.caps


def same(one: Config, other: Config) -> bool:
    fields = ("proxy", "limits", "ledger", "vendors", "fx", "caps")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def test_the_template_shows_the_defaults(tmp_path: Path) -> None:
    """What `write_default` writes changes nothing, and what its comments offer is valid."""
    path = tmp_path / "runcap.toml"
    assert write_default(path)
    config = load(path)
    assert same(load(), config)
    assert (path, tmp_path / ".runcap") == (config.source, config.home)
    uncommented = path.read_text().replace("# [[", "[[")
    for key in ("upstream", "upstream_ca", "fleet", "daily_usd", "vendor", "monthly_usd"):
        uncommented = uncommented.replace(f"# {key} =", f"{key} =")
    path.write_text(uncommented)
    assert 2 == len(load(path).caps)


def test_limits_pins_and_host_lists(write: Write) -> None:
    """How much a connection may take, which keys a vendor may show, and which hosts may be reached."""
    digest = bytes(range(32))
    pin = f"sha256/{base64.b64encode(digest).decode()}"
    config = load(
        write(f"""
            [proxy]
            deny_hosts = ["*.Example.com"]
            allow_hosts = ["pypi.org"]
            vendor_connect_seconds = 3
            vendor_first_byte_seconds = 7
            [limits]
            head_seconds = 1
            idle_seconds = 2
            handshake_seconds = 3
            connections = 40
            connections_per_address = 5
            [vendors.stripe]
            pins = ["{pin}"]
        """)
    )
    assert Limits(1, 2, 3, 40, 5) == config.limits
    assert (digest,) == config.vendors["stripe"].pins
    assert () == config.vendors["twilio"].pins
    assert (("*.example.com",), ("pypi.org",)) == (config.proxy.deny_hosts, config.proxy.allow_hosts)
    assert (3, 7) == (config.proxy.vendor_connect_seconds, config.proxy.vendor_first_byte_seconds)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[vendors.stripe]\npins = ["sha256/AAAA"]', "vendors.stripe.pins has 'sha256/AAAA': write"),
        ('[vendors.stripe]\npins = ["md5/x"]', "vendors.stripe.pins has 'md5/x': write"),
        ('[proxy]\ndeny_hosts = ["*"]', "proxy.deny_hosts has '*': write a host"),
        ('[proxy]\nallow_hosts = ["https://x.example"]', "proxy.allow_hosts has 'https://x.example': write a host"),
        ("[limits]\nhead_seconds = 0", "limits.head_seconds is 0: write a number from 1 to 600"),
        ("[limits]\nconections = 9", "there is no option limits.conections: did you mean 'connections'?"),
    ],
)
def test_what_is_wrong_with_them(write: Write, text: str, sentence: str) -> None:
    """The message names the option and what to write."""
    assert error_of(write(text)).startswith(sentence)


def test_a_file_is_never_overwritten(write: Write) -> None:
    """`write_default` leaves what is there."""
    path = write("home = 'mine'")
    assert not write_default(path)
    assert "home = 'mine'" == path.read_text()


def test_everything_can_be_set(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option ends where it belongs; relative paths are relative to the file."""
    monkeypatch.setenv("LEDGER", "rediss://:word@ledger.internal:6380/1")
    config = load(
        write(f"""
            home = "state"
            [proxy]
            listen = "[::1]:0"
            gateway = ""
            workers = 4
            other_hosts = "deny"
            drain_seconds = 5
            vendor_timeout_seconds = 20
            [ledger]
            url = "env:LEDGER"
            namespace = "billing"
            [audit]
            path = "{tmp_path}/elsewhere.db"
            [vendors.stripe]
            secret = "file:stripe.key"
            upstream = "https://127.0.0.1:9443"
            upstream_ca = "fake-ca.pem"
            [vendors.twilio]
            account_sid = "AC{"0" * 32}"
            secret = "sealed"
            [fx]
            rates_file = "rates.json"
            margin_percent = "2.5"
            [[caps]]
            fleet = "billing-"
            daily_usd = "50000"
            total_usd = 7
            [[caps]]
            vendor = "twilio"
            monthly_usd = "0.0083"
        """)
    )
    etc = tmp_path / "etc"
    assert (etc / "runcap.toml", etc / "state") == (config.source, config.home)
    assert (Listen("::1", 0), None) == (config.proxy.listen, config.proxy.gateway)
    assert "[::1]:0" == str(config.proxy.listen)
    assert (4, "deny", 5, 20) == (
        config.proxy.workers,
        config.proxy.other_hosts,
        config.proxy.drain_seconds,
        config.proxy.vendor_timeout_seconds,
    )
    assert ("rediss://:word@ledger.internal:6380/1", "billing") == (config.ledger.url, config.ledger.namespace)
    assert tmp_path / "elsewhere.db" == config.audit_path
    expected = VendorConfig(f"file:{etc}/stripe.key", Address("127.0.0.1", 9443), etc / "fake-ca.pem", "")
    assert expected == config.vendors["stripe"]
    assert ("sealed", "AC" + "0" * 32) == (config.vendors["twilio"].secret, config.vendors["twilio"].account_sid)
    assert "env:RESEND_API_KEY" == config.vendors["resend"].secret
    assert (etc / "rates.json", 25) == (config.fx.rates_file, config.fx.margin_permille)
    assert (
        CapConfig("fleet", "billing-", Caps(day=50_000_000_000, total=7_000_000)),
        CapConfig("vendor", "twilio", Caps(month=8300)),
    ) == config.caps


def test_where_it_is_looked_for(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins over RUNCAP_CONFIG, and that over runcap.toml in the current folder."""
    Path("runcap.toml").write_text("home = 'current'")
    assert "current" == load().home.name
    variable = tmp_path / "variable.toml"
    variable.write_text("home = 'variable'")
    monkeypatch.setenv("RUNCAP_CONFIG", str(variable))
    assert variable == default_path()
    assert "variable" == load().home.name
    assert "argument" == load(write("home = 'argument'")).home.name


def test_runcap_home_wins(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUNCAP_HOME overrides the file, and moves the audit with it."""
    monkeypatch.setenv("RUNCAP_HOME", str(tmp_path / "volume"))
    config = load(write("home = 'state'"))
    assert tmp_path / "volume" == config.home
    assert tmp_path / "volume" / "audit.db" == config.audit_path


def test_a_file_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped path does not silently mean the defaults."""
    with pytest.raises(ConfigError, match=r"no configuration file .*nowhere\.toml"):
        load(tmp_path / "nowhere.toml")
    monkeypatch.setenv("RUNCAP_CONFIG", str(tmp_path / "nowhere.toml"))
    with pytest.raises(ConfigError, match=r"no configuration file .*nowhere\.toml"):
        load()


def test_it_is_immutable() -> None:
    """Nothing can change a cap or an upstream behind the guard's back."""
    config = load()
    with pytest.raises(AttributeError):
        config.home = Path("/")  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.vendors["stripe"] = config.vendors["twilio"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hme = 'x'", "there is no option hme: did you mean 'home'?"),
        ("[proxy]\nlisten_on = ''", "there is no option proxy.listen_on: did you mean 'listen'?"),
        ("[vendors.stripe]\nsecrets = ''", "there is no option vendors.NAME.secrets: did you mean 'secret'?"),
        ("[vendors.strpe]\nsecret = 'sealed'", "there is no vendor 'strpe': did you mean 'stripe'?"),
        ("[[caps]]\nfleet = 'a'\nday_usd = '1'", "there is no option caps[0].day_usd: did you mean 'daily_usd'?"),
        ("[audit]\nx = 1", "there is no option audit.x: known are path."),
        ("[proxy]\nworkers = '2'", "proxy.workers is wrong: Expected int, got str."),
        ("[proxy]\nworkers = 0", "proxy.workers is 0: write a number from 1 to 64"),
        ("[proxy]\nother_hosts = 'allow'", "proxy.other_hosts is wrong: Invalid enum value 'allow'."),
        (
            "[proxy]\nlisten = '8080'",
            'proxy.listen is \'8080\': write "127.0.0.1:8080" or "[::1]:8080", address and port',
        ),
        (
            "[proxy]\nlisten = '127.0.0.1:65536'",
            'proxy.listen is \'127.0.0.1:65536\': write "127.0.0.1:8080" or "[::1]:8080", address and port',
        ),
        (
            "[proxy]\ngateway = '0.0.0.0:8081'",
            (
                "proxy.gateway is '0.0.0.0:8081', which other machines can reach: use 127.0.0.1, "
                'or let only runs use it, with proxy.auth = "vault_key" or with proxy.tls = true'
            ),
        ),
        ("[proxy]\nauth = 'basic'", "proxy.auth is wrong: Invalid enum value 'basic'."),
        (
            "[secrets]\ncommand_timeout_seconds = 0",
            "secrets.command_timeout_seconds is 0: write a number from 1 to 60",
        ),
        (
            "[secrets]\ncommand_env = ['A=B']",
            "secrets.command_env has 'A=B': write names of environment variables, such as VAULT_TOKEN",
        ),
        ("[ledger]\nurl = 'env:NO_SUCH'", "ledger.url is env:NO_SUCH, but that environment variable is not set"),
        ("[ledger]\nnamespace = 'a}b'", "ledger.namespace is 'a}b': write up to 63 of a-z, 0-9, - and _"),
        (
            "[vendors.twilio]\naccount_sid = 'AC12'",
            "vendors.twilio.account_sid is 'AC12': write AC and 32 digits of 0-9 and a-f, as Twilio shows it",
        ),
        (
            "[vendors.stripe]\naccount_sid = 'AC12'",
            "vendors.stripe.account_sid does not belong there: only Twilio has one",
        ),
        ("[[caps]]\nfleet = 'a'", "caps[0] sets no cap: write one of daily_usd, monthly_usd and total_usd"),
        (
            "[[caps]]\ndaily_usd = '1'",
            'caps[0] needs one of fleet and vendor: write fleet = "billing-" or vendor = "twilio"',
        ),
        (
            "[[caps]]\nfleet = 'a'\nvendor = 'stripe'\ndaily_usd = '1'",
            'caps[0] needs one of fleet and vendor: write fleet = "billing-" or vendor = "twilio"',
        ),
        ("[[caps]]\nvendor = 'tilio'\ndaily_usd = '1'", "caps[0].vendor is 'tilio': did you mean 'twilio'?"),
        (
            "[[caps]]\nfleet = 'a'\ndaily_usd = 12.5",
            'caps[0].daily_usd is 12.5: write it in quotes, such as daily_usd = "12.50"',
        ),
        (
            "[[caps]]\nfleet = 'a'\ndaily_usd = '1e3'",
            "caps[0].daily_usd: '1e3' is not an amount in dollars: write it like 50000 or 12.50",
        ),
        (
            "[[caps]]\nfleet = 'a'\ndaily_usd = -5",
            "caps[0].daily_usd: '-5' is not an amount in dollars: write it like 50000 or 12.50",
        ),
        (
            "[[caps]]\nfleet = 'a'\ndaily_usd = '1'\n[[caps]]\nfleet = 'a'\ntotal_usd = '1'",
            "caps[1] sets caps of fleet 'a' a second time: write them in one [[caps]]",
        ),
        (
            "[fx]\nmargin_percent = '-1'",
            'fx.margin_percent is \'-1\': write a number from 0 to 99.9, such as "2" or "2.5"',
        ),
        ("[fx]\nmargin_percent = 2.5", 'fx.margin_percent is 2.5: write it in quotes, such as "2.5"'),
        ("[audit]\npath = ''", "audit.path is empty: write a path"),
    ],
)
def test_errors_say_what_to_write(write: Write, text: str, expected: str) -> None:
    """Each names the file, the option and what to write instead."""
    assert expected == error_of(write(text))


@pytest.mark.parametrize(
    "upstream",
    [
        "http://127.0.0.1:1",
        "127.0.0.1:1",
        "https://",
        "https://u:p@h",
        "https://h/path",
        "https://h?q=1",
        "https://h:x",
    ],
)
def test_an_upstream_is_only_an_address(write: Write, upstream: str) -> None:
    """The vendor is always reached by TLS, and no path or credential hides in its address."""
    message = error_of(write(f"[vendors.stripe]\nupstream = '{upstream}'"))
    assert message.startswith("vendors.stripe.upstream is ")


def test_a_secret_in_the_file_is_not_repeated(write: Write) -> None:
    """Whoever pasted the secret itself learns where it belongs, and the log does not learn the secret."""
    message = error_of(write("[vendors.stripe]\nsecret = 'sk_live_canary'"))
    expected = (
        'vendors.stripe.secret is none of "env:NAME", "file:PATH", "exec:COMMAND ARGUMENT" and "sealed": '
        "write where the secret is"
    )
    assert expected == message


@pytest.mark.parametrize(
    "url", ["redis+sentinel://a:26379,b/money", "rediss+sentinel://a/money", "redis+cluster://a:6379,b", "rediss://a"]
)
def test_a_ledger_may_be_anywhere(write: Write, url: str) -> None:
    """Behind Sentinels, in a cluster; and a reservation may wait for replicas."""
    ledger = load(write(f"[ledger]\nurl = '{url}'\nwait_replicas = 2")).ledger
    assert (url, 2) == (ledger.url, ledger.wait_replicas)


def test_a_ledger_password_is_not_repeated(write: Write) -> None:
    """A URL of an unknown kind may carry a password."""
    message = error_of(write("[ledger]\nurl = 'http://:canary@ledger'"))
    assert message.startswith("ledger.url begins with none of redis://")
    assert "canary" not in message


@pytest.mark.parametrize("master_key", ["Q0FOQVJZ", "sealed", "exec:cat key", "env:not a name"])
def test_a_master_key_is_not_repeated(write: Write, master_key: str) -> None:
    """Who puts the key itself there must not find it in a log."""
    message = error_of(write(f"[secrets]\nmaster_key = '{master_key}'"))
    assert 'secrets.master_key is none of "env:NAME", "file:PATH", "keyring" and ""' == message


@pytest.mark.parametrize("command", ["", "'", "   "])
def test_a_command_has_words(write: Write, command: str) -> None:
    """Nothing, or quotes that are not closed, cannot be run."""
    message = error_of(write(f'[vendors.stripe]\nsecret = "exec:{command}"'))
    assert message.startswith('vendors.stripe.secret is none of "env:NAME", "file:PATH", "exec:COMMAND ARGUMENT"')


def test_secrets_by_file_and_command(write: Write) -> None:
    """Paths are below the configuration's folder; a command is kept as it is written."""
    path = write(
        "[secrets]\nmaster_key = 'file:master'\ncommand_env = ['VAULT_TOKEN']\n"
        "[vendors.stripe]\nsecret = \"exec:vault kv get -field='the key' secret/stripe\""
    )
    config = load(path)
    assert f"file:{path.parent / 'master'}" == config.secrets.master_key
    assert ("VAULT_TOKEN",) == config.secrets.command_env
    assert "exec:vault kv get -field='the key' secret/stripe" == config.vendors["stripe"].secret


def test_remote_addresses_may_have_tls_instead(write: Write) -> None:
    """Then whoever connects shows a certificate; the files are below the configuration's folder."""
    path = write(
        "[proxy]\ntls = true\nlisten = '0.0.0.0:8080'\n"
        "tls_certificate = 'a.pem'\ntls_key = 'a.key'\ntls_client_ca = '/b.pem'"
    )
    tls = load(path).proxy.tls
    assert (path.parent / "a.pem", path.parent / "a.key", Path("/b.pem")) == tls
    assert "proxy.tls_key is '': tls = true needs it: write tls_key = \"FILE.pem\"" == error_of(
        write("[proxy]\ntls = true\ntls_certificate = 'a.pem'")
    )
    assert "proxy.tls_key is 'a.key': it needs tls = true" == error_of(write("[proxy]\ntls_key = 'a.key'"))


def test_remote_addresses_need_a_key(write: Write) -> None:
    """In a container the agents are on another interface: only a run's own client may use the proxy there."""
    config = load(write("[proxy]\nauth = 'vault_key'\nlisten = '0.0.0.0:8080'"))
    assert Listen("0.0.0.0", 8080) == config.proxy.listen  # noqa: S104 (what is being tested)


@pytest.mark.parametrize(
    ("content", "expected"), [(b"home = ", "is not valid TOML"), (b"home = '\xff'", "is not UTF-8 text")]
)
def test_unreadable_files(tmp_path: Path, content: bytes, expected: str) -> None:
    """The cause is named."""
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=expected):
        load(path)
