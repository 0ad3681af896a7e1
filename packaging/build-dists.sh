#!/bin/bash
# usage: packaging/build-dists.sh FOLDER [OPTION OF python -m build ...]
#
# Builds the sdist and the wheel of each distribution into FOLDER: each wheel from its sdist, and
# that from a clean copy. PYTHON names the interpreter (default: python3); it needs the module
# `build`: pip install build.
set -euo pipefail

out=$(realpath -m "${1:?usage: packaging/build-dists.sh FOLDER [OPTION ...]}")
shift
python=$(command -v "${PYTHON:-python3}")
[[ $python == /* ]] || python=$PWD/$python
if ! (cd / && "$python" -c 'import build') 2>/dev/null; then
    echo "build-dists.sh: $python -m build does not run. Type: $python -m pip install build" >&2
    exit 1
fi
scripts=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

"$scripts/clean-copy.sh" "$copy/source"
mkdir -p "$copy/dist" "$out"
cd "$copy/source"
builds=()
for folder in datanommer.models datanommer.consumer datanommer.commands .; do
    log=$copy/$(basename "$(realpath "$folder")").log
    (cd "$folder" && exec "$python" -P -m build --outdir "$copy/dist" "$@") >"$log" 2>&1 &
    builds+=("$!:$log")
done
for build in "${builds[@]}"; do
    if ! wait "${build%%:*}"; then
        cat "${build#*:}" >&2
        exit 1
    fi
    grep -E 'Warning|Deprecat' "${build#*:}" >&2 || true
done
mv "$copy"/dist/* "$out"
ls "$out"
