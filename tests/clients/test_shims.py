"""The two shims: inert where they have nothing to do, and no obstacle to what the user has there already."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runcap.shims import NODE_PRELOAD, PYTHON_FOLDER, shim_variables
from tests.fakes.certificates import FakeAuthority

RUNCAP = {
    "RUNCAP_PROXY": "http://127.0.0.1:9",
    "RUNCAP_CA_BUNDLE": "/somewhere/bundle.pem",
    "RUNCAP_HOSTS": "api.stripe.com",
}

SHOW = (
    "import json, sys; import sitecustomize as s;"
    "print(json.dumps([s.__file__, getattr(s, 'MINE', 0), sys.path, [type(f).__name__ for f in sys.meta_path]]))"
)


def _run(*command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    full = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(command, env=full, capture_output=True, text=True, check=True, timeout=30)


def _python(script: str, env: dict[str, str], folder: Path) -> Any:
    return json.loads(
        _run(sys.executable, "-c", script, env={**env, **shim_variables({"PYTHONPATH": str(folder)})}).stdout
    )


def test_the_users_sitecustomize_still_runs(tmp_path: Path) -> None:
    """Under its own name, and with no trace of ours in sys.path."""
    (tmp_path / "sitecustomize.py").write_text("MINE = 42\n")
    file, mine, path, finders = _python(SHOW, RUNCAP, tmp_path)
    assert (str(tmp_path / "sitecustomize.py"), 42) == (file, mine)
    assert str(PYTHON_FOLDER) not in path
    assert str(tmp_path) in path
    assert "_AfterImport" in finders


def test_without_runcap_it_does_nothing(tmp_path: Path) -> None:
    """No finder is added; the next sitecustomize runs all the same."""
    (tmp_path / "sitecustomize.py").write_text("MINE = 42\n")
    _, mine, _, finders = _python(SHOW, {}, tmp_path)
    assert 42 == mine
    assert "_AfterImport" not in finders


def test_stripes_bundle_is_ours(tmp_path: Path) -> None:
    """Set right after the import; the module has the loader that it would have without us."""
    (tmp_path / "stripe.py").write_text("ca_bundle_path = 'its own'\n")
    script = "import json, stripe; print(json.dumps([stripe.ca_bundle_path, type(stripe.__spec__.loader).__name__]))"
    assert ["/somewhere/bundle.pem", "SourceFileLoader"] == _python(script, RUNCAP, tmp_path)


def test_a_program_without_the_sdks_imports_none(tmp_path: Path) -> None:
    """The shim itself loads neither."""
    script = "import json, sys; print(json.dumps(sorted({'stripe', 'aiohttp', 'runcap'} & set(sys.modules))))"
    assert [] == _python(script, RUNCAP, tmp_path)


def test_a_failing_import_fails_as_ever(tmp_path: Path) -> None:
    """An SDK that is not there is a ModuleNotFoundError, and one that breaks raises its own error."""
    (tmp_path / "stripe.py").write_text("raise RuntimeError('broken')\n")
    (tmp_path / "aiohttp").mkdir()
    script = """
import json
said = []
for name in ("stripe", "aiohttp.nothing"):
    try:
        __import__(name)
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")
print(json.dumps(said))
"""
    said = _python(script, RUNCAP, tmp_path)
    assert "RuntimeError: broken" == said[0]
    assert "ModuleNotFoundError: No module named 'aiohttp.nothing'" == said[1]


def test_variables_keep_what_is_there(tmp_path: Path) -> None:
    """Ours come first and once, however often they are added."""
    given = {"PYTHONPATH": f"/a{os.pathsep}/b", "NODE_OPTIONS": "--max-old-space-size=512"}
    once = shim_variables(given)
    assert f"{PYTHON_FOLDER}{os.pathsep}/a{os.pathsep}/b" == once["PYTHONPATH"]
    assert f"--require={NODE_PRELOAD} --max-old-space-size=512" == once["NODE_OPTIONS"]
    assert once == shim_variables(once)
    spaced = shim_variables({}, node_preload='/my "own"/pre load.cjs')
    assert r'--require="/my \"own\"/pre load.cjs"' == spaced["NODE_OPTIONS"]


@pytest.fixture
def node(tmp_path: Path) -> Path:
    try:
        subprocess.run(["node", "--version"], check=True, capture_output=True)
    except OSError:
        pytest.skip("node is not installed")
    return tmp_path


def test_nodes_other_preloads_still_run(node: Path) -> None:
    """Also where a path has blanks in it."""
    folder = node / "with blanks"
    folder.mkdir()
    mine = folder / "mine.cjs"
    mine.write_text("globalThis.mine = 42;\n")
    copy = folder / "preload.cjs"
    copy.write_bytes(NODE_PRELOAD.read_bytes())
    variables = shim_variables({"NODE_OPTIONS": f'--require "{mine}"'}, node_preload=str(copy))
    script = "console.log(JSON.stringify([globalThis.mine, globalThis[Symbol.for('runcap.preload')]]))"
    assert [42, True] == json.loads(_run("node", "-e", script, env={**RUNCAP, **variables}).stdout)


def test_node_without_runcap_is_untouched(node: Path) -> None:
    """Neither the agents nor fetch are changed."""
    script = (
        "const https = require('https'); console.log(JSON.stringify("
        "[String(globalThis.fetch).includes('isVendorUrl'), globalThis[Symbol.for('runcap.preload')] === undefined]))"
    )
    assert [False, True] == json.loads(_run("node", "-e", script, env=shim_variables({})).stdout)


def test_nodes_other_hosts_go_where_they_went(node: Path) -> None:
    """https.get and fetch to a host that is no vendor's do not ask the proxy, which is not even there."""
    authority = FakeAuthority.create()
    authority.write_certificate(node / "ca.pem")
    authority.write_leaf(node / "leaf.pem", "localhost")
    script = """
const fs = require('fs'), https = require('https');
const pem = fs.readFileSync(process.argv[1]);
const server = https.createServer({ key: pem, cert: pem }, (_, answer) => answer.end('here'));
server.listen(0, '127.0.0.1', async () => {
  const url = `https://localhost:${server.address().port}/`;
  const agent = new https.Agent({ lookup: (host, options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]) });
  const got = await new Promise((resolve, reject) => https.get(url, { agent }, (answer) => {
    answer.setEncoding('utf8').on('data', resolve);
  }).on('error', reject));
  const fetched = await (await fetch(url)).text();
  console.log(JSON.stringify([got, fetched]));
  process.exit(0);
});
"""
    env = {**RUNCAP, **shim_variables({}), "NODE_EXTRA_CA_CERTS": str(node / "ca.pem")}
    assert ["here", "here"] == json.loads(_run("node", "-e", script, str(node / "leaf.pem"), env=env).stdout)


def test_node_names_a_proxy_that_is_not_there(node: Path) -> None:
    """The error says whose proxy it is, for agents and for fetch, and keeps its code."""
    script = """
const said = [];
require('https').get('https://api.stripe.com/v1/balance').on('error', async (error) => {
  said.push([error.code, error.message.slice(0, 48)]);
  const failed = await fetch('https://api.stripe.com/v1/balance').catch((found) => found.cause);
  said.push([failed.code, failed.message.slice(0, 48)]);
  console.log(JSON.stringify(said));
});
"""
    message = "runcap's proxy at 127.0.0.1:9 cannot be reached:"
    said = json.loads(_run("node", "-e", script, env={**RUNCAP, **shim_variables({})}).stdout)
    assert [["ECONNREFUSED", message]] * 2 == said


def test_node_does_not_warn_of_the_proxy(node: Path) -> None:
    """What Node 22 says of NODE_USE_ENV_PROXY in each process is left out; other warnings are not."""
    mine = node / "mine.cjs"
    mine.write_text("process.emitWarning('of the proxy', 'ExperimentalWarning', 'UNDICI-EHPA');\n")
    script = "setImmediate(() => setImmediate(() => process.emitWarning('mine', 'Warning', process.argv[1])))"
    env = {**RUNCAP, **shim_variables({"NODE_OPTIONS": f"--require={mine}"})}
    assert "of the proxy" not in _run("node", "-e", script, "other", env=env).stderr
    assert "mine" in _run("node", "-e", script, "UNDICI-EHPA", env=env).stderr
    assert "of the proxy" in _run("node", "-e", script, "other", env={**env, "RUNCAP_PROXY": ""}).stderr
