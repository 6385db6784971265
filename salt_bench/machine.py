"""What a measurement ran on, as the driver tells: clocks, power, versions. Needs no torch until a GPU is asked for."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import time
from importlib import metadata
from typing import Any

from salt_bench.executors.base import cores
from salt_bench.publish import device as processor

_ASKED = (
    "name",
    "driver_version",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "power.limit",
    "temperature.gpu",
)
_PACKAGES = ("torch", "diffusers", "transformers")


def described(device: str) -> dict[str, Any]:
    """The machine, as JSON: its processor, and the GPU that `device` ("cpu", "cuda", "cuda:1") names."""
    found: dict[str, Any] = {"processor": processor(), "cores": cores(), "versions": versions()}
    return found | ({"gpu": gpu(device)} if device.startswith("cuda") else {})


def versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def gpu(device: str) -> dict[str, str]:
    """What nvidia-smi says of a GPU; empty where there is no such program."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    command = [program, f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader", f"--id={device.partition(':')[2] or 0}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    rows = list(csv.reader(io.StringIO(done.stdout), skipinitialspace=True))
    return dict(zip(_ASKED, rows[0], strict=False)) if done.returncode == 0 and rows else {}


def joules(device: str) -> float | None:
    """Energy that the GPU has used since its driver was loaded; None where nobody tells (no GPU, no nvidia-ml-py)."""
    if not device.startswith("cuda"):
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(device.partition(":")[2] or 0))
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
    except Exception:  # whatever a driver does not tell is no reason to lose a measurement
        return None


def matmul_peak(device: str, dtype: str) -> float:
    """Floating-point operations a second of a large matrix product, the best of five."""
    import torch

    size, repeats = (8192, 20) if device.startswith("cuda") else (1024, 2)
    a, b = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))

    def seconds() -> float:
        wait()
        began = time.perf_counter()
        for _ in range(repeats):
            a @ b
        wait()
        return time.perf_counter() - began

    def wait() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    seconds()
    return 2 * size**3 * repeats / min(seconds() for _ in range(5))
