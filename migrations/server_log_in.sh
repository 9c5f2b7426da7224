#!/usr/bin/env bash
# Makes `jolda_server`, the log-in of `serve`: it owns nothing, may do nothing as itself, and acts as
# the roles it is granted.
# PostgreSQL's image runs this when it makes its data. Run again, it sets the password and grants
# what is missing.
#
#   POSTGRES_USER, POSTGRES_DB  the owner and its database, as the image names them
#   SERVER_ROLES                the roles, with spaces between; the migrations find them made
#   SERVER_PASSWORD_FILE        the password, in one line
set -euo pipefail

# As the server reads the same file: without blanks around it.
SERVER_PASSWORD=
read -r SERVER_PASSWORD <"$SERVER_PASSWORD_FILE" || true
if [ -z "$SERVER_PASSWORD" ]; then
  printf 'There is no password in %s.\n' "$SERVER_PASSWORD_FILE" >&2
  exit 1
fi
# By the environment: everybody on the machine sees a command's words.
export SERVER_PASSWORD SERVER_ROLES

# Terse: an error in full could quote the statement, with the password.
psql --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" --no-psqlrc --no-password --quiet \
  --single-transaction --set=ON_ERROR_STOP=1 --set=VERBOSITY=terse <<'SQL'
\getenv password SERVER_PASSWORD
\getenv roles SERVER_ROLES
SET client_min_messages = warning;

SELECT format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', name)
FROM regexp_split_to_table(:'roles', ' +') AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec
-- NOINHERIT: all roles together would see more than each of them.
SELECT 'CREATE ROLE jolda_server NOINHERIT NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'jolda_server')
\gexec
ALTER ROLE jolda_server LOGIN PASSWORD :'password';
SELECT format('GRANT %I TO jolda_server', name)
FROM regexp_split_to_table(:'roles', ' +') AS name
\gexec
SQL
