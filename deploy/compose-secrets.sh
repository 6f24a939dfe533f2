#!/usr/bin/env bash
# Makes the secrets that docker-compose.yml mounts, once. What is there stays.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
make_secret() { [ -s "secrets/$1" ] || head -c 32 /dev/urandom | base64 -w0 | tr -d '\n' > "secrets/$1"; }
make_secret master.key
[ -s secrets/admin.token ] || { printf 'symbi_'; head -c 32 /dev/urandom | base64 -w0 | tr '+/' '-_' | tr -d '=\n'; } > secrets/admin.token
[ -s secrets/postgres.password ] || head -c 24 /dev/urandom | base64 -w0 | tr '+/' '-_' | tr -d '=\n' > secrets/postgres.password
password=$(cat secrets/postgres.password)
printf 'postgres:5432:*:symbi:%s\n' "$password" > secrets/pgpass
printf 'POSTGRES_PWD=%s\n' "$password" > secrets/temporal.env
echo "secrets are in deploy/secrets; the admin token is deploy/secrets/admin.token"
