"""The management API: sign-in, and (as it grows) what the consoles can do."""
