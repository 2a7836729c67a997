"""Made by `make proto`."""
