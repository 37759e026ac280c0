"""The home folder and its files stay private."""

import os
import threading
from pathlib import Path

import pytest

from runcap.home import HomeError, locked, prepare, read_private, write_file


def mode_of(path: Path) -> int:
    """The permission bits."""
    return path.stat().st_mode & 0o777


def test_a_new_home_is_private(tmp_path: Path) -> None:
    """It is made with mode 0700, whatever the umask."""
    before = os.umask(0)
    try:
        home = prepare(tmp_path / "home")
    finally:
        os.umask(before)
    assert 0o700 == mode_of(home)


def test_an_empty_open_folder_is_tightened(tmp_path: Path) -> None:
    """A folder that `mkdir` made has nothing to hide yet, so it becomes private."""
    tmp_path.chmod(0o755)
    assert 0o700 == mode_of(prepare(tmp_path))


def test_a_filled_open_folder_is_refused(tmp_path: Path) -> None:
    """It may be a folder that is meant to be shared, or one that has been read: runcap changes nothing."""
    (tmp_path / "something").touch()
    tmp_path.chmod(0o750)
    with pytest.raises(HomeError, match="chmod 700"):
        prepare(tmp_path)
    assert 0o750 == mode_of(tmp_path)


def test_a_file_in_the_place_of_the_home_is_refused(tmp_path: Path) -> None:
    """The error names the folder."""
    (tmp_path / "home").touch()
    with pytest.raises(HomeError, match=r"home.*cannot be made"):
        prepare(tmp_path / "home")


def test_files_are_private_and_whole(tmp_path: Path) -> None:
    """A file replaces its forerunner in one step, has mode 0600 and leaves nothing beside it."""
    before = os.umask(0)
    try:
        write_file(tmp_path / "key", b"old")
        write_file(tmp_path / "key", b"new")
    finally:
        os.umask(before)
    assert b"new" == read_private(tmp_path / "key")
    assert 0o600 == mode_of(tmp_path / "key")
    assert [tmp_path / "key"] == list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_an_open_file_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that others can read or write is not used."""
    write_file(tmp_path / "key", b"secret", mode=mode)
    with pytest.raises(HomeError, match="chmod 600"):
        read_private(tmp_path / "key")


def test_a_lock_is_held_alone(tmp_path: Path) -> None:
    """Of two holders the second waits until the first has left."""
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with locked(tmp_path / ".lock"):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path / ".lock"):
        thread.start()
        waiting.wait()
        order.append("first")
    thread.join()
    assert ["first", "second"] == order
