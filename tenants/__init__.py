"""Who is calling and what is theirs: tenants, members, keys, limits, isolation, and how changes become live."""
