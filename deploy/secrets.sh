#!/bin/sh
# Makes what is missing of the secrets, one file each, named as the setting it is: `deploy/secrets.sh [FOLDER]`. What is
# there is never changed. POSTGRES_HOST, VALKEY_HOST and API_KEY of the environment go into them.
#   compose      deploy/secrets.sh
#   Kubernetes   POSTGRES_HOST=clawdbot-postgres VALKEY_HOST=clawdbot-valkey deploy/secrets.sh secrets
#                kubectl --namespace clawdbot create secret generic clawdbot --from-file=secrets
# Keep a copy of MASTER_KEY elsewhere: without it nothing that was recorded can be read again.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"

keep() { # keep NAME VALUE: no newline, and readable for the container's user; the folder is for nobody else
    [ -e "$folder/$1" ] || { printf %s "$2" >"$folder/.$1" && chmod 444 "$folder/.$1" && mv "$folder/.$1" "$folder/$1"; }
}
random() { head -c 36 /dev/urandom | base64 | tr -d '\n=' | tr '+/' 'ab'; }

keep SECRET_KEY "$(random)"
keep JWT_KEY "$(random)"
keep MASTER_KEY "$(random)"
keep SIGNING_KEY "$(head -c 32 /dev/urandom | base64)"
keep METRICS_TOKEN "$(random)"
keep API_KEY "${API_KEY:-}"
keep POSTGRES_PASSWORD "$(random)"
keep DATABASE_PASSWORD "$(random)"
keep REDIS_PASSWORD "$(random)"
keep GRAFANA_PASSWORD "$(random)"
sql="postgresql://clawdbot:$(cat "$folder/DATABASE_PASSWORD")@${POSTGRES_HOST:-postgres}:5432"
valkey="redis://:$(cat "$folder/REDIS_PASSWORD")@${VALKEY_HOST:-valkey}:6379"
keep DATABASE_URL "$sql/clawdbot"
keep JOURNAL_URL "$sql/journal"
keep BROKER_URL "$valkey/1"
keep CHANNEL_URL "$valkey/2"
keep CACHE_URL "$valkey/3"
echo "$folder has: $(ls "$folder" | tr '\n' ' ')"
