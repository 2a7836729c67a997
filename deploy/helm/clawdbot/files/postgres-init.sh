#!/bin/sh
# Run once by the database's image, on an empty disk: the product's own role, which is no superuser (row-level security
# binds it), the role that it takes on for one tenant's work (docs/isolation.md), and its two databases.
set -eu
psql --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set password="$(cat "$DATABASE_PASSWORD_FILE")" <<'SQL'
CREATE ROLE clawdbot LOGIN PASSWORD :'password';
CREATE ROLE clawdbot_request NOLOGIN NOSUPERUSER NOBYPASSRLS NOINHERIT;
GRANT clawdbot_request TO clawdbot;
CREATE DATABASE clawdbot OWNER clawdbot;
CREATE DATABASE journal OWNER clawdbot;
SQL
