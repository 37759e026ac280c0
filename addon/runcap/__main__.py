"""``python -m runcap``."""

import sys

from runcap.cli import main

sys.exit(main())
