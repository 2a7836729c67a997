"""A server of gRPC in the event loop: HTTP/2 (RFC 9113) as far as gRPC needs it."""
