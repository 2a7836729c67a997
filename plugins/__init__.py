"""Plugins: code of a company's own, before and after the model (`docs/plugins.md`)."""
