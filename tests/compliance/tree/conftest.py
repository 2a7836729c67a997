"""The fixtures of the trees, for every suite of this folder."""

from tests.compliance.tree.trees import seeded, tree

__all__ = ["seeded", "tree"]
