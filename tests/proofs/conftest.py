"""What every proof that sends Ctrl-C relies on."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def heard() -> Iterator[None]:
    """A shell starts what runs behind it deaf to Ctrl-C, and so its children; here they hear it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
