"""As for the tests of explain: many small networks, one thread per operation."""

from tests.explain.conftest import one_thread

__all__ = ["one_thread"]
