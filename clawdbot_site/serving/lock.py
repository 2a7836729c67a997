"""One `make run` a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


class FolderInUse(Exception):
    """Its text is one clear line."""


def hold(folder: Path) -> IO[str]:
    """Locks `folder` until the returned file is closed or the process ends, however it ends. Raises FolderInUse."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "run.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise FolderInUse(
            f"Already running in {folder} (process {holder}). Stop it, or choose another folder: VAR_DIR=… make run"
        ) from None
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file
