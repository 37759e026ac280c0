"""`make fuzz`: each target for its share of the time, from the corpus in tests/data/corpus.

With atheris (libFuzzer, coverage-guided) where it can be installed, otherwise with hypothesis. An input that is a
finding is left in .fuzz/findings; when it is fixed, it belongs into the corpus, which the tests replay.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CORPUS = REPOSITORY / "tests" / "data" / "corpus"
_WORK = REPOSITORY / ".fuzz"
_MAX_BYTES = 4096
_INPUT_SECONDS = 10
_MEMORY_MB = 1024
_BATCH = 500


def with_atheris(target: str, seconds: int) -> None:
    """Fuzz one target and end the process: libFuzzer's loop does not come back."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # where it could be installed

    with atheris.instrument_imports(include=["runcap", "scripts.fuzz.targets"]):
        from scripts.fuzz.targets import TARGETS
    found, findings = _WORK / target, _WORK / "findings"
    for folder in (found, findings):
        folder.mkdir(parents=True, exist_ok=True)
    options = [
        str(found), str(CORPUS / target), f"-max_total_time={seconds}", f"-max_len={_MAX_BYTES}",
        f"-timeout={_INPUT_SECONDS}", f"-rss_limit_mb={_MEMORY_MB}", f"-artifact_prefix={findings}/{target}-",
        "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], TARGETS[target])
    atheris.Fuzz()


def with_hypothesis(target: str, seconds: int) -> None:
    """Try mutations of the corpus, batch after batch, until the time is over.

    Raises:
        BaseException: whatever the target raised, for the smallest input that hypothesis found.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    from scripts.fuzz.targets import TARGETS

    seeds = [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
    pieces = st.one_of(st.sampled_from(seeds), st.binary(max_size=64))

    @settings(
        max_examples=_BATCH,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.target, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(pieces, pieces, st.integers(0, _MAX_BYTES), st.integers(0, _MAX_BYTES))
    def attempt(left: bytes, right: bytes, cut: int, resume: int) -> None:
        TARGETS[target]((left[:cut] + right + left[resume:])[:_MAX_BYTES])

    ends, batches = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        attempt()
        batches += 1
    print(f"{target}: {batches * _BATCH} inputs")


def has_atheris() -> bool:
    """Whether the coverage-guided fuzzer is installed."""
    import importlib.util

    return importlib.util.find_spec("atheris") is not None


def main() -> int:
    """Fuzz all targets, or one; 1 if there was a finding."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("SECONDS") or 60), help="for all targets")
    parser.add_argument("--engine", choices=("atheris", "hypothesis"))
    parser.add_argument("--target", help="only this one")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    engine = given.engine or ("atheris" if has_atheris() else "hypothesis")
    if given.here:
        (with_atheris if engine == "atheris" else with_hypothesis)(given.target, given.seconds)
        return 0
    names = [given.target] if given.target else sorted(path.name for path in CORPUS.iterdir())
    share = max(1, given.seconds // len(names))
    failed = []
    for name in names:
        print(f"{name}: {share} s with {engine}", flush=True)
        command = [sys.executable, __file__, "--here", "--engine", engine, "--target", name, "--seconds", str(share)]
        if subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": _path()}).returncode != 0:
            failed.append(name)
    print(f"findings in {', '.join(failed)}: see {_WORK / 'findings'}" if failed else "no findings")
    return 1 if failed else 0


def _path() -> str:
    return os.pathsep.join([str(REPOSITORY / "addon"), str(REPOSITORY)])


if __name__ == "__main__":
    sys.exit(main())
