"""Format in x adapter out x feature, each really run; `python -m tests.conformance.matrix` writes the page,
`docs/conformance.md`.

A cell is one request of a client, through the whole gateway in this process, to a double of the vendor's service on a
loopback socket; it is judged by what the service was sent and by what the client got. `features.py` says what is asked
and what should come of it, `vendors.py` how each service should be told, `formats.py` how each format asks. Whatever is
neither carried nor refused with the field's name is a failure, unless a note says what becomes of it.
"""
