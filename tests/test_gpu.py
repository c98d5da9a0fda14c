"""A real device, where there is one: it does what the simulated one does."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np
import pytest
from device_cases import CASES

import gpuzarr
from gpuzarr.cuda import device as devices
from gpuzarr.cuda.device import Device
from gpuzarr.memory import memory_of

REASON = devices.why_not()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=f"no GPU: {REASON}")]


@pytest.fixture
def device() -> Iterator[Device]:
    found = devices.device_named("cuda")
    yield found
    found.pool.clear()


@pytest.mark.parametrize("name", CASES)
def test_a_gpu(name: str, device: Device) -> None:
    CASES[name](device)


def test_every_kernel_compiles_for_this_gpu(device: Device) -> None:
    from gpuzarr.cuda.kernels import Kernels, kernel_files

    kernels = Kernels(device.name)
    assert all(kernels.function(name).num_regs <= 64 for name in kernel_files())


def test_auto_is_the_gpu(device: Device) -> None:
    assert memory_of("auto").device is device


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_results_are_torch_tensors_in_its_own_memory(device: Device) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this build of torch has no CUDA")
    for kind in (torch.bfloat16, torch.float32, torch.uint16):
        memory = memory_of(torch.empty((), dtype=kind, device=device.name))
        assert memory.device is device
    array = gpuzarr.array(np.arange(1000.0).reshape(10, 100), store={}, chunks=(3, 30)).configure(
        meta_array=torch.empty((), device=device.name)
    )
    found = array[2:9, 5:50]
    assert found.device.type == "cuda"
    assert torch.equal(found.cpu(), torch.arange(1000.0, dtype=torch.float64).reshape(10, 100)[2:9, 5:50])
