"""Usage in the matrix of `tests.product.test_isolation`: each caller's own, in the same form."""

# Routes that show a caller only what is theirs; all need a credential.
ANYBODYS: dict[str, tuple[str, dict | None]] = {"/api/usage": ("GET", None)}
