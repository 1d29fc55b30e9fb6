#!/bin/sh
# Makes a Debian package of a built binary: host/packaging/deb.sh BINARY FOLDER
# Prints the package's path. Needs dpkg-deb and strip, nothing of a Rust toolchain; see `./dev deb`.
set -eu

binary=$1
out=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
architecture=$(dpkg --print-architecture)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

place() { install -D -m "$1" "$2" "$stage/$3"; }
place 0755 "$binary" usr/bin/sandbook
strip --strip-debug "$stage/usr/bin/sandbook"
place 0644 "$root/host/packaging/sandbook.service" lib/systemd/system/sandbook.service
place 0640 "$root/host/packaging/sandbook.toml" etc/sandbook/sandbook.toml
mkdir -p "$stage/etc/sandbook/runbooks" "$stage/etc/sandbook/policy"
for page in operating.md security.md writing-runbooks.md reference/config.md reference/cli.md; do
    place 0644 "$root/docs/$page" "usr/share/doc/sandbook/$page"
done
place 0644 "$root/LICENSE" usr/share/doc/sandbook/copyright
mkdir -p "$stage/usr/share/sandbook"
cp -R "$root/monitoring" "$stage/usr/share/sandbook/monitoring"
find "$stage/usr/share" -type d -exec chmod 0755 {} + -o -type f -exec chmod 0644 {} +
mkdir -p "$stage/usr/share/bash-completion/completions"
"$binary" completions bash >"$stage/usr/share/bash-completion/completions/sandbook"

mkdir "$stage/DEBIAN"
for script in postinst prerm postrm; do
    install -m 0755 "$root/host/packaging/debian/$script" "$stage/DEBIAN/$script"
done
echo /etc/sandbook/sandbook.toml >"$stage/DEBIAN/conffiles"
cat >"$stage/DEBIAN/control" <<CONTROL
Package: sandbook
Version: $version
Architecture: $architecture
Maintainer: The Sandbook authors <sandbook@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$stage" | cut -f1)
Depends: libc6 (>= 2.34), libgcc-s1, passwd
Recommends: ca-certificates, docker.io | docker-ce
Suggests: prometheus, prometheus-alertmanager
Section: admin
Priority: optional
Description: runbook engine an on-call engineer can trust with the Docker socket
 Takes alerts, picks a runbook and runs it in a sandbox whose only way out is a
 small set of effects that the operator permits one by one. Every runbook can be
 planned before it may act, and a crash loses nothing and repeats nothing.
CONTROL
package="$out/sandbook_${version}_$architecture.deb"
dpkg-deb --build --root-owner-group "$stage" "$package" >&2
echo "$package"
