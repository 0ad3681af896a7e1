#!/bin/bash
# usage: ./runtests.sh [OPTION OF pytest ...]        such as: ./runtests.sh -k dump
#
# Lint, types, tests, and the site of the documentation (into site/ of the virtual environment). The
# tests run against the wheels, built from a clean copy and installed. Those that use a database
# (without a hub) run on the PostgreSQL at 127.0.0.1:5432 where one answers, and all others on the
# embedded one. What concerns AMQP is tested where a RabbitMQ answers at 127.0.0.1:5672 (guest,
# guest). Needs Python 3.11 or later, git and pip's index.
# A process that still runs when the tests have ended is named and killed, and the run fails.
#
#   VENV              the virtual environment; made where it is missing (default: .venv-tests)
#   PYTHON            the interpreter that makes it (default: the first python3 that is new enough)
#   PGUSER            the role to use at 127.0.0.1:5432 (default: your name, else postgres), and
#   PGPASSWORD        its password; it must be allowed to create databases
#   REQUIRE_SERVICES  set to 1: fail where a test would be skipped because a service is missing,
#                     run what takes long on real brokers (CONTRIBUTING.rst says which), and fetch
#                     Spark (400 MB), which needs a Java
#   COVERAGE          set to 1: say which lines no test runs, and fail where those are too many (see
#                     pyproject.toml); the tests need half as much time again, and more
#   VERSIONS          set to lowest: install the lowest releases that the setup.py files allow, with
#                     Python 3.11, and run no linter (default: the newest). Give it a VENV of its own
set -euo pipefail

VENV=$(realpath -m "${VENV:-$(dirname "${BASH_SOURCE[0]}")/.venv-tests}")
cd "$(dirname "${BASH_SOURCE[0]}")"
ARTIFACTS=$VENV/artifacts
# More than there are cores: many tests wait for a hub or a server that they started.
WORKERS=$(($(nproc) * 3 / 2))
DEPENDENCIES=$ARTIFACTS/dependencies
CONSTRAINTS=$VENV/constraints.txt
REQUIREMENTS=(-r tests/requirements.txt)
# The linters need newer releases, and the types that they read are those of the newest.
if [[ ${VERSIONS:-} != lowest ]]; then REQUIREMENTS+=(-r tests/requirements-lint.txt); fi
PACKAGES=(datanommer.models/datanommer datanommer.consumer/datanommer datanommer.commands/datanommer)

# What is tested is what is installed, whatever the caller's Python is told to look at.
unset PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1
export RUFF_CACHE_DIR=$VENV/cache/ruff
export HYPOTHESIS_STORAGE_DIRECTORY=$VENV/cache/hypothesis

summary=()
failed=0

say() { printf '\n==> %s\n' "$*"; }
give_up() {
    echo "runtests.sh: $*" >&2
    exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if is_new_enough "$name"; then
            command -v "$name"
            return
        fi
    done
    give_up "Python 3.11 or later is needed: name it with PYTHON=/path/of/python3."
}

make_venv() {
    if [[ ! -x $VENV/bin/pip ]]; then
        local python
        python=$(find_python)
        say "making $VENV with $python"
        "$python" -m venv "$VENV" || give_up "cannot make the virtual environment $VENV."
    fi
    is_new_enough "$VENV/bin/python" || give_up "$VENV has a Python before 3.11: remove it."
    mkdir -p "$DEPENDENCIES"
    echo '*' >"$VENV/.gitignore"
}

# What a step was done for is kept beside what it made; the same again need not be done again.
is_done() { [[ $(cat "$VENV/$1.done" 2>/dev/null) == "$2" ]]; }

digest_of_sources() {
    local copy
    copy=$(mktemp -d)
    packaging/clean-copy.sh "$copy"
    tar --create --directory="$copy" --sort=name --mtime=@0 --owner=0 --group=0 \
        alembic alembic.ini datanommer.{models,consumer,commands} setup.py distribution.py \
        pyproject.toml MANIFEST.in LICENSE README.rst packaging/build-dists.sh | sha256sum
    rm -rf "$copy"
}

digest_of_requirements() {
    { "$VENV/bin/python" -VV && cat tests/requirements*.txt contrib/datagrepper/requirements.txt \
        setup.py datanommer.*/setup.py && echo "${VERSIONS:-}"; } | sha256sum
}

build_wheels() {
    say "building the wheels"
    rm -f "$ARTIFACTS"/datanommer*
    PYTHON=$VENV/bin/python packaging/build-dists.sh "$ARTIFACTS" --no-isolation
}

# The wheel by its path: pip must not take a package of the same name from its index.
wanted() { printf '%s[amqp,embedded,fedora,metrics,parquet,report,schemas]' "$ARTIFACTS"/datanommer-*.whl; }

# Which releases pip has to choose: of what a setup.py names. What those need is the newest.
choose_versions() {
    : >"$CONSTRAINTS"
    case ${VERSIONS:-} in
        "") ;;
        lowest)
            {
                "$VENV/bin/pip" install -qq uv &&
                    "$VENV/bin/uv" pip compile --quiet --resolution lowest-direct --all-extras \
                        --python "$VENV/bin/python" --cache-dir "$VENV/cache/uv" \
                        --find-links "$ARTIFACTS" --no-emit-package datanommer-models \
                        --constraints tests/requirements.txt --output-file "$CONSTRAINTS" \
                        datanommer.*/setup.py
            } || give_up "uv cannot tell the lowest releases, for the reason above."
            ;;
        *) give_up "VERSIONS is '$VERSIONS'. It can be 'lowest', or nothing." ;;
    esac
}

fetch_dependencies() {
    say "fetching what datanommer and the tests need"
    choose_versions
    "$VENV/bin/pip" wheel -qq --wheel-dir "$DEPENDENCIES" --find-links "$ARTIFACTS" \
        --constraint "$CONSTRAINTS" "${REQUIREMENTS[@]}" "$(wanted)" ||
        give_up "pip cannot fetch what datanommer needs: is its index within reach?"
    # What the metadata of datagrepper requires cannot be installed beside datanommer:
    # docs/datagrepper.rst. quickstart.sh brings its pip up to date.
    {
        "$VENV/bin/pip" wheel -qq --wheel-dir "$DEPENDENCIES" --no-deps datagrepper==1.1.0 &&
            "$VENV/bin/pip" wheel -qq --wheel-dir "$DEPENDENCIES" --find-links "$DEPENDENCIES" \
                pip -r contrib/datagrepper/requirements.txt
    } || give_up "pip cannot fetch datagrepper and what it needs: is its index within reach?"
    rm -f "$DEPENDENCIES"/datanommer*
}

install() {
    local sources requirements
    requirements=$(digest_of_requirements)
    sources=$(digest_of_sources)
    if is_done dependencies "$requirements" && is_done install "$sources"; then return; fi
    rm -f "$VENV/install.done"
    if ! is_done dependencies "$requirements"; then
        rm -rf "$VENV/dependencies.done" "$DEPENDENCIES"
        "$VENV/bin/pip" install -qq "${REQUIREMENTS[@]}" ||
            give_up "pip cannot install what the tests need: is its index within reach?"
        build_wheels
        fetch_dependencies
    else
        build_wheels
    fi
    say "installing the wheels"
    "$VENV/bin/pip" install -qq --no-index --find-links "$ARTIFACTS" \
        --find-links "$DEPENDENCIES" --constraint "$CONSTRAINTS" "${REQUIREMENTS[@]}" "$(wanted)"
    "$VENV/bin/pip" install -qq --no-index --no-deps --force-reinstall "$ARTIFACTS"/*.whl
    echo "$requirements" >"$VENV/dependencies.done"
    echo "$sources" >"$VENV/install.done"
}

# Too large for everybody; once it is there, its tests run.
install_spark() {
    local requirements
    requirements=$(<tests/requirements-spark.txt)
    if is_done spark "$requirements"; then return; fi
    say "fetching Spark"
    "$VENV/bin/pip" install -qq -r tests/requirements-spark.txt ||
        give_up "pip cannot install Spark: is its index within reach?"
    echo "$requirements" >"$VENV/spark.done"
}

note() {
    summary+=("$1: $2")
    if [[ $1 == FAILED ]]; then failed=1; fi
}

# All at the same time: one of them alone leaves the other cores idle.
run_checks() {
    local -A pids=()
    local name
    start_check "ruff check" ruff check
    start_check "ruff format" ruff format --check
    start_check "types" mypy --cache-dir "$VENV/cache/mypy" "${PACKAGES[@]}"
    # A cache of its own: with other options, none of the other's is of use.
    start_check "types of the tests" mypy --cache-dir "$VENV/cache/mypy-tests" \
        --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls tests
    start_check "layers" lint-imports --cache-dir "$VENV/cache/import-linter"
    start_check "site" sphinx-build -q --nitpicky --fail-on-warning --keep-going docs "$VENV/site"
    for name in "${checks[@]}"; do
        say "$name"
        if wait "${pids[$name]}"; then note passed "$name"; else note FAILED "$name"; fi
        cat "$VENV/$name.out"
    done
}

checks=()
start_check() {
    local name=$1 program=$VENV/bin/$2
    shift 2
    checks+=("$name")
    "$program" "$@" >"$VENV/$name.out" 2>&1 &
    pids[$name]=$!
}

run_pytest() {
    local name=$1 code=0 color=auto
    shift
    if [[ -t 1 ]]; then color=yes; fi
    say "$name"
    "$VENV/bin/python" tests/left_running.py \
        "$VENV/bin/pytest" -n "$WORKERS" --maxprocesses 8 --maxschedchunk 1 --durations 5 \
        --artifacts="$ARTIFACTS" --color "$color" -o cache_dir="$VENV/cache/pytest" "$@" |
        tee "$VENV/pytest.out" || code=$?
    mapfile -t -O "${#closing[@]}" closing < <(
        grep -v '^LEFT RUNNING ' "$VENV/pytest.out" | tail -n 1
        # The names of what failed, without colours; what was wrong stands above.
        sed 's/\x1b\[[0-9;]*m//g' "$VENV/pytest.out" | grep -E '^(FAILED|ERROR|LEFT RUNNING) ' |
            sed 's/ - .*//' | head -n 20
    )
    return "$code"
}

# Prints the URL of the PostgreSQL at 127.0.0.1:5432, with a role that may create databases.
find_server() {
    "$VENV/bin/python" - <<'PYTHON'
import getpass, os, sys, urllib.parse
import psycopg2

password = os.environ.pop("PGPASSWORD", None)
reasons = []
for role in dict.fromkeys([os.environ.get("PGUSER") or getpass.getuser(), "postgres"]):
    try:
        connection = psycopg2.connect(
            host="127.0.0.1", port=5432, user=role, password=password, dbname="postgres",
            connect_timeout=5,
        )
    except psycopg2.OperationalError as error:
        reasons.append(" ".join(str(error).split()))
        continue
    cursor = connection.cursor()
    cursor.execute("SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user")
    if cursor.fetchone()[0]:
        secret = f":{urllib.parse.quote(password, safe='')}" if password else ""
        print(f"postgresql://{urllib.parse.quote(role, safe='')}{secret}@127.0.0.1:5432/postgres")
        sys.exit()
    reasons.append(f"the role {role} may not create databases")
sys.exit("; ".join(reasons))
PYTHON
}

require_server() {
    if [[ -n ${REQUIRE_SERVICES:-} ]]; then
        give_up "a PostgreSQL at 127.0.0.1:5432 is required, and cannot be used: see above."
    fi
    echo "runtests.sh: the PostgreSQL at 127.0.0.1:5432 is left out, for the reason above." >&2
}

test_on() {
    local server=$1 name=$2 code=0
    shift 2
    # By the environment and not as an argument, which everybody on the machine could read.
    PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-} --server=$server" run_pytest "$name" "$@" || code=$?
    case $code in
        0) note passed "$name" ;;
        5) note passed "$name (there is none among those that were asked for)" ;;
        *) note FAILED "$name" ;;
    esac
}

# From here on, each Python of $VENV that inherits these variables is measured from its start.
start_coverage() {
    # Every user of the tests writes here, and not all of them may look into $VENV.
    coverage=$(mktemp -d)
    trap 'rm -rf "$coverage"' EXIT
    chmod 1777 "$coverage"
    export COVERAGE_PROCESS_START=$PWD/pyproject.toml COVERAGE_FILE=$coverage/coverage
}

report_coverage() {
    local report=("$VENV/bin/coverage" report --data-file="$VENV/coverage") total
    # What some of the tests leave out, others run.
    if (($#)); then report+=(--fail-under=0); fi
    say "coverage"
    unset COVERAGE_PROCESS_START
    # Modules that nobody imported are left out as well.
    "$VENV/bin/coverage" run --source="$(echo "$VENV"/lib/python*/site-packages/datanommer)" \
        /dev/null
    "$VENV/bin/coverage" combine --quiet --data-file="$VENV/coverage" "$coverage"
    total=$("${report[@]}" --format=total --fail-under=0)
    if "${report[@]}"; then note passed "coverage: $total %"; else note FAILED "coverage: $total %"; fi
}

closing=()
make_venv
install
if [[ -n ${REQUIRE_SERVICES:-} ]]; then install_spark; fi
# Asked first: who requires it need not wait for the tests to hear that it is not there.
url=$(find_server) || require_server
if [[ ${VERSIONS:-} != lowest ]]; then run_checks; fi
if [[ -n ${COVERAGE:-} ]]; then start_coverage; fi
if [[ -n $url ]]; then
    test_on "$url" "database tests on the PostgreSQL at 127.0.0.1:5432" -m database "$@"
    test_on embedded "all other tests, on the embedded PostgreSQL" -m "not database" "$@"
else
    test_on embedded "tests on the embedded PostgreSQL" "$@"
fi
if [[ -n ${COVERAGE:-} ]]; then report_coverage "$@"; fi

say "summary"
printf '%s\n' "${summary[@]}" "${closing[@]}" "$((SECONDS / 60)) min $((SECONDS % 60)) s in all"
exit "$failed"
