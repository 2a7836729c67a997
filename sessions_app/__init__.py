"""Conversations: where they are kept, and how much of one goes to a model."""
