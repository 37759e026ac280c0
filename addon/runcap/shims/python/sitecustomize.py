# ruff: noqa: INP001 (its folder is a path entry and no package)
"""Leads Python's calls to the vendors through runcap's proxy. Python imports it at start, from PYTHONPATH.

Two libraries do not take what the environment says: Stripe's SDK verifies against a CA bundle of its own, and aiohttp
takes no proxy from the environment unless it is told to. Each is put right after its import, if it is imported at all;
for aiohttp only calls to the hosts of RUNCAP_HOSTS are concerned. Nothing is imported here that the program does not
import, and without RUNCAP_PROXY and RUNCAP_CA_BUNDLE this file does nothing but look for the next sitecustomize.

It stands alone and runs in whatever Python the agent has, from 3.8 on: no import of runcap, no newer syntax.
"""

import functools
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any, Callable, Dict, Optional, Sequence  # noqa: UP035 (Python 3.8)

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (pathlib is slow to import)
_PROXY = os.environ.get("RUNCAP_PROXY", "")
_BUNDLE = os.environ.get("RUNCAP_CA_BUNDLE", "")
_HOSTS = frozenset(filter(None, os.environ.get("RUNCAP_HOSTS", "").split(",")))


def _put_stripe_right(stripe: Any) -> None:
    stripe.ca_bundle_path = _BUNDLE


def _put_aiohttp_right(aiohttp: Any) -> None:
    session = aiohttp.ClientSession
    original = session._request  # noqa: SLF001 (the one method that all of its calls go through)

    @functools.wraps(original)
    async def _request(self: Any, method: str, str_or_url: Any, **options: Any) -> Any:
        if options.get("proxy") is None and _is_vendor(self, str_or_url):
            options["proxy"] = getattr(self, "_default_proxy", None) or _PROXY
        return await original(self, method, str_or_url, **options)

    session._request = _request  # noqa: SLF001


def _is_vendor(session: Any, str_or_url: Any) -> bool:
    try:
        url = session._build_url(str_or_url)  # noqa: SLF001 (as the session itself will read it)
    except Exception:  # noqa: BLE001 (whatever is wrong with it, the session says so itself)
        return False
    return bool(url.scheme == "https" and url.host in _HOSTS)


_AFTER_IMPORT: Dict[str, Callable[[Any], None]] = {  # noqa: UP006 (Python 3.8)
    "stripe": _put_stripe_right,
    "aiohttp": _put_aiohttp_right,
}


class _AfterImport(MetaPathFinder):
    """Lets everybody else find a module, and has a say once it has been executed."""

    def find_spec(
        self,
        name: str,
        path: Optional[Sequence[str]] = None,  # noqa: UP045 (Python 3.8)
        target: Optional[ModuleType] = None,  # noqa: UP045
    ) -> Optional[ModuleSpec]:  # noqa: UP045
        if name not in _AFTER_IMPORT:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Then(spec.loader, _AFTER_IMPORT[name])
                return spec  # type: ignore[no-any-return]
        return None


class _Then(Loader):
    """A module's own loader, and what is to be done after it. All else that it offers is the loader's."""

    def __init__(self, loader: Any, then: Callable[[Any], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:  # noqa: UP045
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps the loader that it would have without us.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        try:
            self._then(module)
        except Exception as error:  # noqa: BLE001 (the program must run as it would without us)
            sys.stderr.write("runcap: %s is not led to the proxy: %s\n" % (module.__name__, error))  # noqa: UP031

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _run_next() -> None:
    """Run the sitecustomize that Python would have found without us, under its own name."""
    elsewhere = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE]  # noqa: PTH100
    sys.path[:] = elsewhere
    spec = PathFinder.find_spec("sitecustomize", elsewhere)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


if _PROXY and _BUNDLE:
    sys.meta_path.insert(0, _AfterImport())
_run_next()
