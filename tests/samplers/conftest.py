"""Pipelines are built where the trainer's tests build theirs; digests are kept where nobody else looks."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "train"))


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """An own cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SALT_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()
