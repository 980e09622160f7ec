"""The one place for atomic writes, locks, content keys and calls that differ between systems."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from headstart.errors import RunError

# Seconds that a shared lock waits for an exclusive one, which is held for a rename.
LOCK_PATIENCE = 60.0

# On Windows: processes that can hold a shared lock at the same time.
LOCK_PLACES = 64

REMOVED = ".removed"
"""Ending of folders that are being removed."""

FREE_SPACE = "; free space, for example with 'headstart cache --clear', and repeat the command"


def content_key(*parts: Any) -> str:
    """Key of 32 hex digits for JSON-like values; equal values give equal keys on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def seed_from(*parts: Any) -> int:
    """A 63-bit seed that is a function of the parts alone; ``hash`` would differ by process."""
    return int(content_key(*parts)[:16], 16) >> 1


def fraction_from(*parts: Any) -> float:
    """A number in [0, 1) that is a function of the parts alone."""
    return seed_from(*parts) / 2**63


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets ``write`` fill a temporary file beside ``path``, then puts it in place in one step.

    A kill at any moment leaves either the old file or the new one, never half of one.

    Raises:
        RunError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}{room_hint(error)}"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def room_hint(error: BaseException) -> str:
    """What to do about a full disk, as the end of a sentence; empty for any other error."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # What sqlite says of it.
    return FREE_SPACE if full or "disk is full" in str(error) else ""


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically, with line ends as they are on every system."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically, indented, with a final newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file; the caller handles ``OSError`` and ``ValueError``."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def exclusive_lock(path: Path, message: str) -> Iterator[None]:
    """Holds a lock that the system releases when the process ends, however it ends.

    Raises:
        RunError: another process holds it; the text is ``message``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if not _try_lock(file.fileno()):
            raise RunError(message)
        yield


def hold_shared(path: Path) -> Callable[[], None]:
    """Takes a lock that any number of holders share, and that keeps an exclusive one away.

    It is held until the returned function is called, or the process ends. Where the file cannot be
    made or the file system knows no locks, nothing is held: an exclusive lock is not to be had
    there either.

    Raises:
        RunError: an exclusive lock is held for longer than ``LOCK_PATIENCE``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return lambda: None
    end = time.monotonic() + LOCK_PATIENCE
    while (held := _try_shared(handle)) is False:
        if time.monotonic() > end:
            os.close(handle)
            raise RunError(f"another process holds {path}: try again when it has ended")
        time.sleep(0.01)
    if held is None:
        os.close(handle)
        return lambda: None
    return lambda: os.close(handle)


def lock_path(folder: Path) -> Path:
    """The lock of a folder of the cache, beside it, where it outlives the folder's removal."""
    return folder.with_name(f"{folder.name}.lock")


def is_locked(path: Path) -> bool:
    """Whether anybody, this process included, holds a lock on an existing file."""
    try:
        with path.open("r+b") as file:
            return not _try_lock(file.fileno())
    except FileNotFoundError:
        return False
    except OSError:
        return True


def hide_folder(folder: Path) -> Path:
    """Frees the name of a folder that is to be removed, in one step.

    Returns:
        Where it lies now: a hidden name that ends in ``REMOVED``, so that what a kill leaves behind
        is recognised.

    Raises:
        OSError: it cannot be renamed.
    """
    hidden = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}{REMOVED}")
    return folder.rename(hidden)


def cache_dir() -> Path:
    """Where things lie that can be computed again (``HEADSTART_CACHE`` overrides it)."""
    chosen = os.environ.get("HEADSTART_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("headstart"))


def state_dir() -> Path:
    """Where decisions lie that must not be lost (``HEADSTART_STATE`` overrides it)."""
    chosen = os.environ.get("HEADSTART_STATE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_data_dir("headstart"))


def cpu_count() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_bytes() -> int | None:
    """Largest resident size of this process so far, or None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable; systems without folder handles (Windows) do it by themselves."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            _lock_bytes(handle, 0, LOCK_PLACES)
    except OSError:
        return False
    return True


def _try_shared(handle: int) -> bool | None:
    """Whether the shared lock was taken; None where there are no locks."""
    if os.name != "posix":
        # Windows knows exclusive locks on bytes only: each holder takes one of the places, and an
        # exclusive lock takes all of them.
        for place in range(LOCK_PLACES):
            with contextlib.suppress(OSError):
                _lock_bytes(handle, place, 1)
                return True
        return False
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _lock_bytes(handle: int, start: int, count: int) -> None:
    import msvcrt

    os.lseek(handle, start, os.SEEK_SET)
    msvcrt.locking(handle, msvcrt.LK_NBLCK, count)  # type: ignore[attr-defined,unused-ignore]
