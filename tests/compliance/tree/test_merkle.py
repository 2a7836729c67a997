"""The tree of RFC 6962: known roots, and proofs for every pair of sizes of a small one."""

import hashlib

import pytest

from compliance.tree.hashing import Broken, Frontier, node_hash, subtrees
from compliance.tree.merkle import consistency_proof, extends, includes, inclusion_proof, range_root

# The leaves and roots of Certificate Transparency's own tests (google/certificate-transparency, merkle_tree_test.cc).
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [hashlib.sha256(b"leaf %d" % number).digest() for number in range(40)]


def node(level, index):
    if level == 0:
        return LEAVES[index]
    return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))


def root(size):
    tree = Frontier()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    return tree.root()


def test_it_has_the_roots_of_the_specification():
    tree = Frontier()
    assert tree.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for text, expected in zip(INPUTS, ROOTS, strict=True):
        tree.append(hashlib.sha256(b"\x00" + bytes.fromhex(text)).digest())
        assert tree.root().hex() == expected


def test_it_goes_on_from_its_saved_state():
    tree = Frontier()
    for leaf in LEAVES:
        tree = Frontier(tree.size, tree.hashes)
        tree.append(leaf)
    assert tree.root() == root(40) == range_root(node, 0, 40)


@pytest.mark.parametrize(("start", "end"), [(0, 40), (3, 29), (8, 16), (17, 18), (5, 5)])
def test_it_fills_a_gap_with_the_largest_subtrees(start, end):
    tree = Frontier()
    for leaf in LEAVES[:start]:
        tree.append(leaf)
    for level, index in subtrees(start, end):
        assert index << level == tree.size
        tree.append(node(level, index), level)
    for leaf in LEAVES[end:]:
        tree.append(leaf)
    assert tree.root() == root(40)


def test_it_takes_no_subtree_where_none_begins():
    tree = Frontier()
    tree.append(LEAVES[0])
    with pytest.raises(Broken):
        tree.append(node(1, 0), 1)


def test_it_proves_every_leaf_of_every_size_and_no_other():
    for size in range(1, 41):
        for position in range(size):
            proof = inclusion_proof(node, position, size)
            assert includes(LEAVES[position], position, size, proof, root(size))
            assert not includes(LEAVES[position - 1], position, size, proof, root(size)) or size == 1
            assert not includes(LEAVES[position], position, size, [*proof, LEAVES[0]], root(size))
            assert not includes(LEAVES[position], size, size, proof, root(size))
            if size > 1:
                assert not includes(LEAVES[position], position, size, proof[:-1], root(size))


def test_it_proves_that_every_size_extends_every_smaller_one():
    for new in range(1, 41):
        for old in range(1, new + 1):
            proof = consistency_proof(node, old, new)
            assert extends(old, new, root(old), root(new), proof)
            assert not extends(old, new, LEAVES[0][::-1], root(new), proof)
            assert not extends(old, new, root(old), LEAVES[0][::-1], proof)
            if proof:
                assert not extends(old, new, root(old), root(new), [*proof[:-1], LEAVES[0][::-1]])
    assert not extends(0, 5, root(0), root(5), [])
