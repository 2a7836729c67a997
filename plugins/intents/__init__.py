"""What somebody wants, told from a tenant's own examples: trained in seconds on this machine, without a network."""
