"""What is said in a turn is recorded sealed: with a key of its user, which the tenant's key wraps, which the master key
wraps. Destroying the user's key erases the text and leaves every entry where it is (see `docs/erasure.md`)."""
