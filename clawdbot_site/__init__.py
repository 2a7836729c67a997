"""The project: configuration and wiring. It knows every app; nobody imports it."""
