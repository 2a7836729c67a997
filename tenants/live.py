"""How a saved change reaches every worker."""
