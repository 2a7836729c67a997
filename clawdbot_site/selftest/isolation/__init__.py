"""Two tenants on an instance of its own, and everything one can ask for, asked by everybody it is not for."""
