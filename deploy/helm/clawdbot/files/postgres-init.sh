#!/bin/sh
# Run once by the database's image, on an empty disk: the product's own role, which is no superuser (row-level security
# binds it), and its two databases.
set -eu
psql --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set password="$(cat "$DATABASE_PASSWORD_FILE")" <<'SQL'
CREATE ROLE clawdbot LOGIN PASSWORD :'password';
CREATE DATABASE clawdbot OWNER clawdbot;
CREATE DATABASE journal OWNER clawdbot;
SQL
