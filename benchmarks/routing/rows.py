"""`python -m benchmarks.routing.rows PORT…`: one tenant and a pool of as many instances; prints the tenant's key."""

from __future__ import annotations

import sys

from benchmarks.rows import ModelInstance, create_api_key, create_tenant, migrate, save_instance


def main() -> None:
    migrate()
    tenant = create_tenant(slug="pool", name="A pool of models")
    for number, port in enumerate(sys.argv[1:]):
        endpoint = f"http://127.0.0.1:{port}/v1"
        save_instance(
            instance=ModelInstance(name="pool", label=f"{number:02}", endpoint=endpoint, allow_private=True),
            api_key="sk-of-the-pool",
        )
    print(create_api_key(tenant=tenant, name="benchmark")[1])


if __name__ == "__main__":
    main()
