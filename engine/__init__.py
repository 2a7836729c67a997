"""The one chat engine: plain asyncio, no framework, imports nothing else of this project."""
