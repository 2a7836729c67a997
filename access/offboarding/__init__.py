"""A tenant leaves: a full export, closing, which can be taken back for a while, and deletion for good."""
