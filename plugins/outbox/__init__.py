"""Events of a tenant on their way to its message queues and webhooks, at least once and in order (`docs/events.md`)."""
