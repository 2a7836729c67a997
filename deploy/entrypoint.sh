#!/bin/sh
# The words of the image: `docker run IMAGE web`, … What is no word is run as it is. Every service replaces this shell, so
# that it is process 1 and hears SIGTERM itself.
set -eu
umask 077 # what is written is for its owner: keys, journal, logs
cd "$(dirname "$0")/.."

background() { # background QUEUES CONCURRENCY NAME
    exec celery -A clawdbot_site worker --pool threads --loglevel INFO --without-gossip --without-mingle \
        --without-heartbeat --queues "$1" --concurrency "$2" --hostname "$3@%h"
}

word=${1:-web}
[ $# = 0 ] || shift
case "$word" in
web) exec python manage.py webserver "$@" ;;
grpc) exec python manage.py grpcserver "$@" ;;
worker) background celery 2 worker ;;
replays) background replays 1 replays ;;
beat) exec celery -A clawdbot_site beat --schedule "${TMPDIR:-/tmp}/beat" --pidfile "" --loglevel INFO ;;
sequencer) exec python manage.py sequencer "$@" ;;
publisher) exec python manage.py publisher "$@" ;;
migrate) exec python manage.py prepare "$@" ;;
wait) exec python manage.py prepare --wait-only "$@" ;;
first-access) exec python manage.py firstaccess "$@" ;;
backup) exec python manage.py backup "$@" ;;
manage) exec python manage.py "$@" ;;
healthy) exec python deploy/healthy.py "$@" ;;
all) exec python manage.py up "$@" ;;
*) exec "$word" "$@" ;;
esac
