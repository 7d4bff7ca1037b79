#!/bin/sh
# In the container of the primary, once, when its data folder is new: roles and their passwords.
set -eu
cd /etc/safeweave
psql --set ON_ERROR_STOP=1 --quiet --username postgres --file roles.sql
for role in safeweave_owner safeweave safeweave_reader safeweave_replica; do
    psql --set ON_ERROR_STOP=1 --quiet --username postgres --set "role=$role" --set "password=$SAFEWEAVE_PASSWORD" <<'SQL'
alter role :"role" password :'password';
SQL
done
