"""What turns used: counted with the journal's completions, read by consoles, the API and budgets."""
