#!/bin/bash
# usage: packaging/build-rpms.sh FOLDER
#
# Builds the three RPMs and the source RPM into FOLDER. Needs rpmbuild, and the system's Python
# with pip, setuptools and wheel; no network, and no root.
#   Fedora:  dnf install rpm-build python3-devel python3-pip python3-setuptools python3-wheel
#   Debian:  apt-get install rpm cpio python3-pip python3-setuptools python3-wheel
set -euo pipefail

out=$(realpath -m "${1:?usage: packaging/build-rpms.sh FOLDER}")
if ! command -v rpmbuild >/dev/null; then
    echo "build-rpms.sh: there is no rpmbuild; the head of this script says what to install." >&2
    exit 1
fi
scripts=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
topdir=$(mktemp -d)
trap 'rm -rf "$topdir"' EXIT

version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$scripts/../distribution.py")
"$scripts/clean-copy.sh" "$topdir/datanommer-$version"
spec=$topdir/datanommer-$version/packaging/datanommer.spec
mkdir "$topdir/SOURCES"
tar --create --gzip --directory="$topdir" --file="$topdir/SOURCES/datanommer-$version.tar.gz" \
    "datanommer-$version"

options=()
# Where no RPM is installed (Debian), rpmbuild cannot see that what the build needs is there.
rpm --query rpm >/dev/null 2>&1 || options+=(--nodeps)
rpmbuild -ba "${options[@]}" --define "_topdir $topdir" "$spec"
mkdir -p "$out"
find "$topdir/RPMS" "$topdir/SRPMS" -name '*.rpm' -exec mv {} "$out" \;
ls "$out"
