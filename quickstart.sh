#!/bin/bash
set -euo pipefail

readonly USAGE="usage: ./quickstart.sh [--serve | --web]

Shows datanommer at work on a bus of its own: it installs datanommer, starts a PostgreSQL, a
fedmsg-relay and a fedmsg-hub, publishes messages, and asks the archive about them. It echoes what
it runs. All of it stays in two folders of this checkout, .venv and .datanommer; remove them to
start afresh. Run it again, and the messages are published again.

  --serve   keep the hub and its bus, until Ctrl-C
  --web     the same, with datagrepper, which shows the archive in a browser
  --help    show this text

  VENV      (environment) the virtual environment; made where it is missing (default: .venv)
  PYTHON    (environment) the interpreter that makes it, of Python 3.11 or later
"

readonly PATIENCE=60 # seconds, for a daemon to be ready: a busy machine imports slowly
readonly READY="Running the MokshaHub reactor"

say() { printf '\n# %s\n' "$*"; }
give_up() {
    printf 'quickstart.sh: %s\n' "$*" >&2
    exit 1
}

# Shows a command in a form that can be pasted into a shell.
show() {
    local word line='$'
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]]; then line+=" $word"; else line+=" ${word@Q}"; fi
    done
    printf '%s\n' "$line"
}

run() {
    show "$@"
    "$@"
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
        run "$python" -m venv "$VENV" || give_up "cannot make the virtual environment $VENV."
    fi
    is_new_enough "$VENV/bin/python" || give_up "$VENV has a Python before 3.11: remove it."
}

# Builds leave files behind, and an old build would ship modules that are gone: what is installed is
# a copy without them.
copy_of_sources() {
    tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
        --exclude=build --exclude='*.egg-info' --exclude=__pycache__ \
        alembic alembic.ini datanommer.{models,consumer,commands} setup.py distribution.py \
        README.rst LICENSE
}

# Without a way to the index of pip, a second run still works: it installs only what has changed.
install() {
    local sources copy
    sources=$(
        copy_of_sources | sha256sum
        "$VENV/bin/python" -VV
    )
    if [[ $(cat "$VENV/quickstart.done" 2>/dev/null) == "$sources" ]]; then return; fi
    rm -f "$VENV/quickstart.done"
    say "Installing datanommer (the first time, this takes a minute)"
    copy=$WORK/copy
    rm -rf "$copy"
    mkdir "$copy"
    copy_of_sources | tar --extract --directory="$copy"
    (
        cd "$copy"
        # The pip of Debian 12 cannot build what has no wheel and no pyproject.toml, such as txWS.
        run "$VENV/bin/pip" install --quiet --upgrade pip &&
            run "$VENV/bin/pip" install --quiet --no-warn-conflicts \
                "./datanommer.models[embedded,fedora]" ./datanommer.consumer ./datanommer.commands .
    ) || give_up "datanommer cannot be installed, for the reason above."
    rm -rf "$copy"
    echo "$sources" >"$VENV/quickstart.done"
}

# Its metadata asks for other models, so pip must not read it: docs/datagrepper.rst.
install_datagrepper() {
    if python -c 'import datagrepper, fedora_messaging, flask_healthz' 2>/dev/null; then return; fi
    say "Installing datagrepper"
    {
        run pip install --quiet -r contrib/datagrepper/requirements.txt &&
            run pip install --quiet --no-deps datagrepper==1.1.0
    } || give_up "datagrepper cannot be installed, for the reason above."
}

# Three ports that nobody has; all are held until all are found.
free_ports() {
    python -c '
import socket
servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(server.getsockname()[1] for server in servers))'
}

configure() {
    local relay_in relay_out
    read -r relay_in relay_out web_port < <(free_ports)
    python - "$WORK" "$relay_in" "$relay_out" >"$CONFIG" <<'PYTHON'
import pprint, sys

work, relay_in, relay_out = sys.argv[1:]
config = {
    "topic_prefix": "org.fedoraproject",
    "environment": "stg",
    # The bus: fedmsg-relay takes messages on the one port and publishes them on the other.
    "relay_inbound": f"tcp://127.0.0.1:{relay_in}",
    "endpoints": {"relay_outbound": [f"tcp://127.0.0.1:{relay_out}"]},
    "zmq_enabled": True,
    "zmq_publish_endpoints": "",
    "sign_messages": False,
    "validate_signatures": False,
    # The archive.
    "datanommer.enabled": True,
    "datanommer.sqlalchemy.url": f"embedded://{work}",
    "datanommer.spool_dir": f"{work}/spool",
}
print("# The bus of quickstart.sh, which writes this file anew each time.")
print("config =", pprint.pformat(config, sort_dicts=False))
PYTHON
}

daemons=()

# Starts a daemon, whose log has the name of its program.
launch() {
    printf '%s &\n' "$(show "$@")"
    "$@" >"$WORK/$1.log" 2>&1 9>&- &
    daemons+=($!)
}

# Waits until the log of the daemon that was just launched says each of the texts.
await() {
    local name=$1 text log=$WORK/$1.log end=$((SECONDS + PATIENCE))
    shift
    for text in "$@"; do
        until grep -qF "$text" "$log"; do
            kill -0 "${daemons[-1]}" 2>/dev/null || give_up "$name ended before it was ready."
            ((SECONDS < end)) || give_up "$name is not ready after $PATIENCE seconds."
            sleep 0.1
        done
    done
}

# Starts a daemon of fedmsg, and waits until it is ready.
start() {
    launch "$1" --config-filename "$CONFIG"
    await "$@"
}

start_datagrepper() {
    say "datagrepper, which shows the archive in a browser"
    # The archive is the one that the variable of that name says.
    echo "DATANOMMER_SQLALCHEMY_URL = None" >"$WORK/datagrepper.py"
    run export DATAGREPPER_CONFIG="$WORK/datagrepper.py" TZ=UTC
    launch flask --app datagrepper.app run --port "$web_port"
    await flask "Running on"
}

stored_by_logger() { datanommer-stats --category logger; }

# A PUB socket drops what nobody has joined for yet, so fedmsg-logger has more than one try.
log_a_line() {
    local before try end
    before=$(stored_by_logger)
    for try in 1 2 3; do
        run fedmsg-logger --config-filename "$CONFIG" --message "Hai there, datanommer."
        end=$((SECONDS + 5))
        while ((SECONDS < end)); do
            if [[ $(stored_by_logger) != "$before" ]]; then return; fi
        done
        say "The line of try $try did not arrive"
    done
    give_up "the line of fedmsg-logger did not arrive."
}

stop_daemons() {
    local pid
    if ((${#daemons[@]})); then
        kill "${daemons[@]}" 2>/dev/null || true
        for pid in "${daemons[@]}"; do
            timeout 10 tail --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
        done
        wait "${daemons[@]}" 2>/dev/null || true
        daemons=()
    fi
}

# Runs however the script ends.
clean_up() {
    local code=$?
    trap '' INT TERM HUP
    stop_daemons
    if ((code != 0 && code < 128)); then
        for log in "$WORK"/{fedmsg-relay,fedmsg-hub,flask}.log; do
            if [[ -s $log ]]; then
                printf '\nquickstart.sh: the end of %s:\n' "$log" >&2
                tail -n 20 "$log" >&2
            fi
        done
        printf '\nquickstart.sh failed, for the reason that stands before these logs.\n' >&2
    fi
    if [[ $starts_server == yes ]]; then datanommer-embedded stop >/dev/null 2>&1 || true; fi
    exit "$code"
}

serve() {
    say "The hub runs, and this is its log. Ctrl-C ends it. In another shell:"
    show_environment
    show fedmsg-logger --config-filename "$CONFIG" --message "Hello"
    show datanommer-latest --category logger
    if [[ $1 == --web ]]; then
        local web=http://127.0.0.1:$web_port/
        say "The archive in a browser: $web (its messages: ${web}raw)"
    fi
    echo
    trap 'exit 0' INT TERM
    tail -n +1 -f "$WORK/fedmsg-hub.log" 9>&- &
    daemons+=($!)
    wait -n "${daemons[@]}" || true
    give_up "a daemon has ended."
}

show_environment() {
    printf '%s:"%sPATH"\n' "$(show export PATH="$VENV/bin")" "$"
    show export DATANOMMER_SQLALCHEMY_URL="$DATANOMMER_SQLALCHEMY_URL"
}

case ${1-} in
    "" | --serve | --web) ;;
    --help | -h)
        printf '%s' "$USAGE"
        exit
        ;;
    *)
        printf '%s' "$USAGE" >&2
        exit 2
        ;;
esac

VENV=$(realpath -m "${VENV:-$(dirname "${BASH_SOURCE[0]}")/.venv}")
cd "$(dirname "${BASH_SOURCE[0]}")"
WORK=$PWD/.datanommer
CONFIG=$WORK/fedmsg.py
starts_server=no

# Nothing that the caller's shell says about other buses, databases or Pythons counts here.
unset "${!PG@}" "${!FEDMSG@}" "${!DATANOMMER_@}" PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK=1
# The imports of fedmsg warn that pkg_resources will go.
export PYTHONWARNINGS=ignore

mkdir -p "$WORK"
exec 9>"$WORK/quickstart.lock"
flock --nonblock 9 || give_up "it is running here already, perhaps with --serve."

make_venv
install
export PATH=$VENV/bin:$PATH
export DATANOMMER_SQLALCHEMY_URL=embedded://$WORK
if [[ ${1-} == --web ]]; then install_datagrepper; fi

rm -f "$WORK"/{fedmsg-*,flask}.log
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "What follows can be typed in any shell, after these two lines"
show_environment

say "A PostgreSQL in .datanommer, with the tables of datanommer"
datanommer-embedded status >/dev/null 2>&1 || starts_server=yes
run datanommer-create-db 9>&-

say "A bus, and the hub that stores what crosses it"
configure
start fedmsg-relay "$READY"
start fedmsg-hub "datanommer writes to" "$READY"

say "Messages, such as services of Fedora publish them, and a line of fedmsg-logger"
run python docs/quickstart/publish.py "$CONFIG"
log_a_line

say "What the archive says"
run datanommer-stats --topic
run datanommer-grep -n 5
run datanommer-latest --category bodhi
run datanommer-latest --category bodhi --timesince --human

if [[ ${1-} == --web ]]; then start_datagrepper; fi
if [[ -n ${1-} ]]; then serve "$1"; fi

say "Done. The bus is stopped, and the messages stay. To go on, in any shell:"
show_environment
show datanommer-dump
show datanommer-embedded stop
say "Every command starts the server if need be. ./quickstart.sh --serve keeps the bus, too, and
# ./quickstart.sh --web shows them in a browser."
