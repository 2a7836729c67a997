import pytest

from plugins.outbox import holding


@pytest.fixture
def acme(cast):
    return cast.acme


@pytest.fixture
def no_pause(monkeypatch):
    """What is held is tried again at once."""
    monkeypatch.setattr(holding, "pause_after", lambda attempts: 0.0)
