"""Proofs about a tree of which only some nodes are at hand (RFC 6962, sections 2.1.1 and 2.1.2), and their checks (RFC
9162, sections 2.1.3.2 and 2.1.4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from compliance.tree.hashing import node_hash, subtrees

# The root of the complete subtree of 2**level leaves that is the index-th of its level.
Node = Callable[[int, int], bytes]


def range_root(node: Node, start: int, end: int) -> bytes:
    """The root over the leaves `start` to `end`, where a subtree of that size may begin."""
    hashes = [node(level, index) for level, index in subtrees(start, end)]
    value = hashes.pop()
    while hashes:
        value = node_hash(hashes.pop(), value)
    return value


def inclusion_proof(node: Node, position: int, size: int) -> list[bytes]:
    """The siblings on the way from the leaf to the root of the tree of `size`, from the bottom."""
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if position < middle:
            proof.append(range_root(node, middle, end))
            end = middle
        else:
            proof.append(range_root(node, start, middle))
            start = middle
    return proof[::-1]


def consistency_proof(node: Node, old: int, new: int) -> list[bytes]:
    """That the tree of size `new` only adds to the one of size `old` (0 < old <= new)."""
    proof: list[bytes] = []
    start, end, whole = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(range_root(node, middle, end))
            end = middle
        else:
            proof.append(range_root(node, start, middle))
            start, whole = middle, False
    if not whole:
        proof.append(range_root(node, start, end))
    return proof[::-1]


def includes(leaf: bytes, position: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof leads from the leaf to the root."""
    if not 0 <= position < size:
        return False
    index, last, value = position, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if index & 1 or index == last:
            value = node_hash(sibling, value)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and value == root


def extends(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the new tree begins with the old one."""
    if old == new:
        return not proof and old_root == new_root
    if not 0 < old < new or not proof:
        return False
    rest = list(proof) if old & (old - 1) else [old_root, *proof]
    index, last = old - 1, new - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    one = other = rest[0]
    for sibling in rest[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            one, other = node_hash(sibling, one), node_hash(sibling, other)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            other = node_hash(other, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and one == old_root and other == new_root


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
