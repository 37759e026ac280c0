"""Places where a test can have this very process die or stand still, between two steps that no crash may tear apart.

Only tests set RUNCAP_FAILPOINTS, the path of a folder. A file in it arms the point of its name once: whoever comes by
first removes it and is killed (``after_reserve``) or stopped until it is told to go on (``after_reserve.stop``). So a
test arms points while everything runs, and what is started in the place of the dead does not die too. Without the
variable a point costs one comparison.
"""

import os
import signal

VARIABLE = "RUNCAP_FAILPOINTS"

_FOLDER = os.environ.get(VARIABLE)


def failpoint(name: str) -> None:
    """Die or stand still here if a test has armed this point."""
    if _FOLDER is None:
        return
    for armed, signum in ((name, signal.SIGKILL), (f"{name}.stop", signal.SIGSTOP)):
        try:
            os.unlink(os.path.join(_FOLDER, armed))  # noqa: PTH108, PTH118 (no objects where nothing is armed)
        except FileNotFoundError:
            continue
        os.kill(os.getpid(), signum)
