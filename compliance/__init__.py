"""What must hold of every turn: sensitive words stay out of it, and it leaves a record."""
