"""Twilio's prices as they are now: a worker picks a new table up without being started anew."""

import json
import logging
from pathlib import Path

from runcap.home import HomeError, read_private
from runcap.vendors.twilio.prices import Prices

logger = logging.getLogger(__name__)


class LivePrices:
    """Gives the operator's table, or the bundled one while there is none. One `stat` a call while nothing changes.

    A table that cannot be read at the start stops it. Later the one before stays in force, with one error in the log:
    it is replaced as a whole, so a broken one was written by hand.
    """

    def __init__(self, path: Path) -> None:
        """Read the table.

        Raises:
            ValueError: it is not in the form of one; the message names the file.
            HomeError: others may read or write the file.
        """
        self._path = path
        self._version = self._stat()
        self._prices = self._read()

    def __call__(self) -> Prices:
        """The table in force."""
        version = self._stat()
        if version != self._version:
            self._version = version
            try:
                self._prices = self._read()
            except (ValueError, OSError) as error:
                logger.error("the new Twilio prices cannot be used, the old ones stay in force: %s", error)
            else:
                logger.info("Twilio prices are read from %s anew", self._path)
        return self._prices

    def _stat(self) -> tuple[int, int, int] | None:
        """What changes when the file does; None if there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> Prices:
        if self._version is None:
            return Prices.bundled()
        try:
            return Prices.from_dict(json.loads(read_private(self._path)))
        except FileNotFoundError:
            return Prices.bundled()
        except HomeError:
            raise
        except (ValueError, KeyError, AttributeError) as e:
            raise ValueError(f"{self._path}: {e}") from e
