"""What all tests share: bounded reliability runs and long forms run only when asked for."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `reliability` or `long`, unless the command line chooses by marker itself."""
    if config.option.markexpr:
        return
    chosen = [item for item in items if not any(item.get_closest_marker(name) for name in ("reliability", "long"))]
    if len(chosen) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen
