#!/bin/sh
# certificate.sh: prints the certificate blocks of the node's swarm
# certificate, whole ones only, and nothing else of what the file may hold. As
# root. Exit status 3 where there is none.
set -u
file=/var/lib/docker/swarm/certificates/swarm-node.crt
[ -e "$file" ] || exit 3
awk '
/^-----BEGIN CERTIFICATE-----/ { block = $0; on = 1; next }
on && /^-----END CERTIFICATE-----/ { print block; print; on = 0; next }
/^-----/ { on = 0 }
on { block = block "\n" $0 }
' "$file"
