"""What all tests share: how hypothesis runs, and stores to put arrays into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# No deadline: these machines are shared. In CI the same examples every time: a red build can be run again.
settings.register_profile(
    "gpuzarr",
    deadline=None,
    max_examples=50,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("gpuzarr")


@pytest.fixture(params=["memory", "local"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What names a store: a mapping, or a folder."""
    return {} if request.param == "memory" else tmp_path / "store"
