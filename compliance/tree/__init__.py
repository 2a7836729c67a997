"""Tamper evidence: the journal's entries as leaves of a Merkle tree a tenant, with signed checkpoints of its root."""
