#!/bin/sh
# In the container of a replica: a copy of the primary if the data folder is new, then the server.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    until pg_basebackup --pgdata="$PGDATA" --wal-method=stream --checkpoint=fast --write-recovery-conf \
        --create-slot --slot="$REPLICA" \
        --dbname="host=primary user=safeweave_replica password=$SAFEWEAVE_PASSWORD application_name=$REPLICA"
    do
        sleep 2
    done
    chown -R postgres "$PGDATA"
    chmod 700 "$PGDATA"
fi
exec docker-entrypoint.sh "$@"
