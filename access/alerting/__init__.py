"""The product's own alerts: looks each minute, remembers what it saw, tells by mail and webhook."""
