"""Signing in, second factors, web sessions, invitations and sign-up: the pages under `/accounts/`."""
