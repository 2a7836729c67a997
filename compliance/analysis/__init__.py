"""What the journal says in sum: read off the request path, page by page, and shown to people: `docs/insights.md`."""
