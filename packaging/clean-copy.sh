#!/bin/bash
# usage: packaging/clean-copy.sh FOLDER
#
# Copies what git knows of this checkout, and what is new and not ignored, into FOLDER.
# An old build/ ships modules and migrations that are gone, so everything is built from such a copy.
set -euo pipefail

target=$(realpath -m "${1:?usage: packaging/clean-copy.sh FOLDER}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Another user's checkout is read here and nothing of it is run: git need not refuse it.
if ! files=$(git -c safe.directory='*' -c core.quotePath=false \
    ls-files --cached --others --exclude-standard); then
    echo "clean-copy.sh: needs git, and a git checkout of datanommer (not an unpacked archive)." >&2
    exit 1
fi
mkdir -p "$target"
while IFS= read -r file; do
    # git lists what was removed and not yet committed, too.
    if [[ -e $file || -L $file ]]; then printf '%s\n' "$file"; fi
done <<<"$files" | tar --create --files-from=- | tar --extract --directory="$target"
