#!/usr/bin/env bash
# Install Slurm and PostgreSQL, if this is Debian and we are root. Elsewhere, and without a network, the tests say what is
# missing, and are skipped.
set -uo pipefail
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    exit 0
fi
if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null || ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends slurm-wlm munge postgresql >/dev/null ||
        echo "Slurm and PostgreSQL could not be installed" >&2
fi
