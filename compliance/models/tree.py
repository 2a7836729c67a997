"""The journal's tree as tables, beside the journal. Only the sequencer (`compliance.tree`) writes them.

On SQLite they are filled in the sequencer's own file alone. An entry costs 36 bytes here, and a row's share."""

from __future__ import annotations

from django.db import models

from tenants.scoping import ScopedManager


class TreeRun(models.Model):
    """Neighbouring leaves of a tenant whose entries stand in one source, in the order of the tree.

    `hashes`: 32 bytes a leaf. `offsets`: of each entry's id above `first_id`, 4 bytes each, the highest first."""

    tenant_id = models.BigIntegerField()
    position = models.BigIntegerField(help_text="Of the first leaf.")
    count = models.PositiveSmallIntegerField()
    source = models.PositiveSmallIntegerField(help_text="The number of the journal file; 0 on a server.")
    first_id = models.BigIntegerField(help_text="The lowest id of an entry here.")
    last_id = models.BigIntegerField(help_text="The highest id of an entry here.")
    first_at = models.FloatField(help_text="Unix seconds of the earliest entry here.")
    last_at = models.FloatField(help_text="Unix seconds of the latest entry here.")
    hashes = models.BinaryField()
    offsets = models.BinaryField()

    objects = ScopedManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id", "position"], name="tree_run_once")]
        indexes = [models.Index(fields=["source", "first_id"], name="tree_run_by_entry")]

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.count} from {self.position}"


class TreeNode(models.Model):
    """The root of a complete subtree of 2**8, 2**16 or 2**24 leaves, so that proofs need not read all leaves."""

    tenant_id = models.BigIntegerField()
    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    objects = ScopedManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id", "level", "index"], name="tree_node_once")]

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.level}/{self.index}"


class TreeHead(models.Model):
    """How large a tenant's tree is. `frontier`: the roots of its complete subtrees, the largest first, 32 bytes each.

    All entries at positions below `pruned` were removed by retention."""

    tenant_id = models.BigIntegerField(primary_key=True)
    size = models.BigIntegerField()
    frontier = models.BinaryField()
    pruned = models.BigIntegerField(default=0)

    objects = ScopedManager()

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.size}"


class TreeCursor(models.Model):
    """How far a source has been folded: all its entries up to `entry_id` (on PostgreSQL up to `xid`, `entry_id`)."""

    source = models.PositiveSmallIntegerField(primary_key=True)
    xid = models.BigIntegerField(default=0)
    entry_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.source}: {self.entry_id}"


class Checkpoint(models.Model):
    """A signed size and root of a tenant's tree. `note` is the signed text; `published`: it was written outside."""

    tenant_id = models.BigIntegerField()
    size = models.BigIntegerField()
    at = models.FloatField(help_text="Unix seconds.")
    note = models.TextField()
    published = models.BooleanField(default=False)

    objects = ScopedManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id", "size"], name="checkpoint_once")]
        indexes = [
            models.Index(fields=["id"], name="checkpoint_unpublished", condition=models.Q(published=False)),
        ]

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.size}"


class PruneStatement(models.Model):
    """What retention removes of a tenant, signed before it does. `done`: it is gone."""

    tenant_id = models.BigIntegerField()
    at = models.FloatField(help_text="Unix seconds.")
    first = models.BigIntegerField(help_text="The lowest position that is named.")
    note = models.TextField()
    done = models.BooleanField(default=False)

    objects = ScopedManager()

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "id"], name="prune_by_tenant")]

    def __str__(self) -> str:
        return f"{self.tenant_id}: from {self.first}"
