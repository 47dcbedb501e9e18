#!/bin/sh
# How files get into containers where there is nothing better: encrypt with openssl, serve with an
# HTTP container, fetch and decrypt inside. Usage: openssl-http.sh IMAGE FILE CONTAINER DESTINATION
set -eu
image=$1 file=$2 container=$3 destination=$4

folder=$(mktemp -d)
server=
trap 'rm -rf "$folder"; [ -z "$server" ] || docker rm --force "$server" >/dev/null' EXIT

key=$(openssl rand -hex 32)
echo "$key" | openssl enc -aes-256-cbc -pbkdf2 -pass stdin -in "$file" -out "$folder/payload"
chmod -R a+rX "$folder"
server=$(docker run --detach --label "sealock-test=${SEALOCK_TEST_RUN:-bench}" \
  --volume "$folder:/srv:ro" "$image" /bin/busybox httpd -f -p 80 -h /srv)
address=$(docker inspect --format '{{.NetworkSettings.IPAddress}}' "$server")
echo "$key" | docker exec --interactive "$container" sh -euc '
  wget -q -O /tmp/payload "http://$1/payload"
  openssl enc -d -aes-256-cbc -pbkdf2 -pass stdin -in /tmp/payload -out "$2"
  rm /tmp/payload' - "$address" "$destination"
