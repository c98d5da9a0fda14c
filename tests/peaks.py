"""Peak memory of what a fresh interpreter does: this one has held too much already to tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MIB = 1 << 20

needs_linux = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="peak memory is read from Linux's /proc"
)

PRELUDE = """
import gc, json, os, sys

def _status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))

def grown(task):
    '''Bytes by which memory in use grew at most while the task ran, over what was in use before.'''
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = _status("VmRSS:")
    task()
    return _status("VmHWM:") - before
"""


def run(code: str, *arguments: Any, timeout: float = 120) -> Any:
    """What `code` prints, which is JSON; it finds its arguments in `sys.argv[1:]`, and `grown`."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Allocators that keep what was freed, or give every thread an arena of its own, would be measured as well.
    env = {**os.environ, "PYTHONPATH": path, "MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", PRELUDE + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
