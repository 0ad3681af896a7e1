#!/bin/bash
# usage: packaging/try-pythons.sh [PYTHON ...]
#
# Runs quickstart.sh (a bus, a hub, a PostgreSQL, and commands that ask it) with each Python that is
# named, or with every version from 3.11 on that is on PATH or in pyenv. Needs git and pip's index;
# each Python takes a minute or two, most of it pip's.
set -euo pipefail

scripts=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

# One Python of each version: find_pythons CANDIDATE ...
find_pythons() {
    local python version
    local -A found=()
    for python in "$@"; do
        # A shim of pyenv that leads nowhere says so and fails.
        version=$("$python" -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null) || continue
        ((${version#* } >= 11)) && [[ -z ${found[$version]:-} ]] || continue
        found[$version]=$python
        printf '%s\n' "$python"
    done
}

pythons=("$@")
if ((!$#)); then
    shopt -s nullglob
    mapfile -t on_path < <(compgen -c python3. | grep -E '^python3\.[0-9]+$' | sort -Vu)
    mapfile -t pythons < <(find_pythons "${on_path[@]}" python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3)
fi

summary=()
failed=0
for python in "${pythons[@]}"; do
    printf '\n==> %s\n' "$python"
    rm -rf "$copy/checkout"
    "$scripts/clean-copy.sh" "$copy/checkout"
    start=$SECONDS
    if PYTHON=$python VENV=$copy/checkout/.venv "$copy/checkout/quickstart.sh"; then
        result=passed
    else
        result=FAILED failed=1
    fi
    summary+=("$result: $("$python" -V 2>&1) ($python, $((SECONDS - start)) s)")
done

printf '\n==> summary\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
