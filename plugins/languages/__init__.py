"""Which language a text is in, found out on this machine (`docs/languages.md`)."""
