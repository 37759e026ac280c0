"""An agent's variables as text for a shell, a container or a workflow. Pure: text out, nothing written."""

import base64
import json
import shlex
from collections.abc import Callable, Mapping

_NOT_IN_GITHUB_ENV = "NODE_OPTIONS"
"""GitHub's runner refuses it there: docs.github.com, workflow commands, "Setting an environment variable" (2025)."""


def shell(variables: Mapping[str, str]) -> str:
    """For ``eval "$(…)"`` in sh, bash and zsh."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def fish(variables: Mapping[str, str]) -> str:
    r"""For ``runcap env --format fish | source``. In fish's single quotes ``\`` and ``'`` are escaped by ``\``."""
    return "".join(f"set -gx {name} {_fish_quoted(value)}\n" for name, value in variables.items())


def powershell(variables: Mapping[str, str]) -> str:
    """For ``runcap env --format powershell | Out-String | Invoke-Expression``: a quote in quotes is doubled."""
    return "".join(f"$env:{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in variables.items())


def docker(variables: Mapping[str, str]) -> str:
    """For ``docker run --env-file``, which takes a value as it stands, quotes and all."""
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def github(variables: Mapping[str, str]) -> str:
    """For ``>> "$GITHUB_ENV"``. NODE_OPTIONS goes under RUNCAP_NODE_OPTIONS, for a step's own ``env``."""
    return docker(
        {f"RUNCAP_{name}" if name == _NOT_IN_GITHUB_ENV else name: value for name, value in variables.items()}
    )


def kubernetes(variables: Mapping[str, str], vault_key: str, files: Mapping[str, bytes], name: str) -> str:
    """A Secret and two ConfigMaps: NAME-key and NAME-env for ``envFrom``, NAME-files to be mounted.

    Args:
        variables: all of them; those that hold the vault key go into the Secret.
        vault_key: tells them apart.
        files: by name; what is not text goes into ``binaryData``.
        name: the objects' prefix.
    """
    secret = {key: value for key, value in variables.items() if vault_key in value}
    plain = {key: value for key, value in variables.items() if vault_key not in value}
    text: dict[str, str] = {}
    binary: dict[str, str] = {}
    for file, content in files.items():
        try:
            text[file] = content.decode("utf-8")
        except UnicodeDecodeError:
            binary[file] = base64.b64encode(content).decode()
    documents = (
        _document("Secret", f"{name}-key", {"stringData": secret}),
        _document("ConfigMap", f"{name}-env", {"data": plain}),
        _document("ConfigMap", f"{name}-files", {"data": text, "binaryData": binary}),
    )
    return "---\n".join(documents)


def _document(kind: str, name: str, maps: Mapping[str, Mapping[str, str]]) -> str:
    """One object as YAML; a JSON string is a YAML string too."""
    lines = ["apiVersion: v1", f"kind: {kind}", "metadata:", f"  name: {name}"]
    for section, entries in maps.items():
        if entries:
            lines += [f"{section}:", *(f"  {key}: {json.dumps(value)}" for key, value in entries.items())]
    return "\n".join(lines) + "\n"


def _fish_quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


HERE: dict[str, Callable[[Mapping[str, str]], str]] = {
    "sh": shell,
    "fish": fish,
    "powershell": powershell,
    "github": github,
}
"""Formats for an agent on this machine; `docker` and `kubernetes` are for one that has its files elsewhere."""
