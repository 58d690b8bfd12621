import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(TESTS), str(TESTS / "export")]

import backends  # noqa: E402


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory):
    with backends.Jaeger(tmp_path_factory.mktemp("jaeger")) as b:
        yield b


@pytest.fixture
def fresh_jaeger(tmp_path):
    """One that has nothing yet."""
    with backends.Jaeger(tmp_path) as b:
        yield b


@pytest.fixture(scope="session")
def collector(tmp_path_factory):
    with backends.Collector(tmp_path_factory.mktemp("collector")) as b:
        yield b


@pytest.fixture(scope="session")
def zipkin(tmp_path_factory):
    with backends.Zipkin(tmp_path_factory.mktemp("zipkin")) as b:
        yield b


@pytest.fixture
def prometheus(tmp_path):
    with backends.Prometheus(tmp_path) as b:
        yield b
