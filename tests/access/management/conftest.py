import pytest

from tests.access.managed import managed

UNKNOWN = ["999999", "0", "-1", "01", "1.0", "x", "%00", "9" * 30, "١", "{}", "null", "%F0%9F%90%99"]


@pytest.fixture
async def site(transactional_db, cast):
    async with managed() as site:
        yield site


@pytest.fixture
def unknown():
    """Texts in the place of an id that no row can have."""
    return UNKNOWN
