# shellcheck shell=bash
#
# Messages over the bus from a script. To be sourced by bash (4.4 or later):
#
#     . /path/of/send_bus_msg.sh
#     send_bus_msg TOPIC KEY[:int]=VALUE ...
#
# publishes a message with these keys in its body, by way of `fedora-messaging publish`. A value is
# text; with :int it is a whole number. `host`, the full name of this host, is added where it is
# not given.
#
# A script never fails or hangs because of this: the function returns 0 whatever happens, and says
# on standard error, in one line, what went wrong. It prints nothing else, reads nothing from
# standard input, and leaves no variables, options or other functions behind.
#
#   SEND_BUS_MSG_DRY_RUN  1: print the line that would be published, and publish nothing
#   SEND_BUS_MSG_TIMEOUT  how many seconds publishing may take (default: 30)
#
# TOPIC is words of ASCII letters, digits, _ and - with dots between them; KEY is one such word.
# Where an argument is wrong, nothing is sent. Bytes that are not UTF-8 are sent as U+FFFD, one for
# each piece of a character, as browsers and Python's errors="replace" do it.
#
# Needs coreutils, fedora-messaging, and uuidgen or Linux.
send_bus_msg() {
    # In a subshell nothing reaches the caller. Left of `||` neither `set -e` nor an ERR trap counts.
    # The names begin with _ because what the caller made readonly is readonly in here, too.
    (
        set +u +x +v +m +o pipefail +o posix
        shopt -u nocasematch
        shopt -u localvar_inherit 2>/dev/null # bash 5

        _warn() { printf 'send_bus_msg: %s\n' "$1" >&2; }

        _refuse() { # REASON ARGUMENT: ends the subshell
            _warn "$1: $(printf %q "${2::200}"). The message was not sent."
            exit 0
        }

        _check_topic() {
            local LC_ALL=C
            [[ $1 =~ ^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$ && ${#1} -le 255 ]] ||
                _refuse "the topic must be words of letters, digits, _ and - with dots between" "$1"
        }

        _check_fields() {
            local LC_ALL=C _field _key _value _known=" "
            for _field in "$@"; do
                _key=${_field%%=*}
                _value=${_field#*=}
                [[ $_field == *=* && ${_key%:int} =~ ^[A-Za-z0-9_-]+$ ]] ||
                    _refuse "this is not KEY=VALUE or KEY:int=VALUE" "$_field"
                [[ $_key != *:int || $_value =~ ^[+-]?[0-9]+$ ]] ||
                    _refuse "${_key%:int} must be a whole number" "$_value"
                _key=${_key%:int}
                [[ $_known != *" $_key "* ]] || _refuse "$_key is given twice" "$_field"
                _known+="$_key "
            done
            [[ $_known == *" host "* ]] # what the function returns
        }

        _full_name() {
            local _name _full
            _name=$(command uname -n) || _name=$HOSTNAME
            if [[ $_name != *.* ]]; then
                _full=$(command timeout 5 hostname -f 2>/dev/null </dev/null)
                if [[ $_full == "$_name".* ]]; then _name=$_full; fi
            fi
            printf %s "$_name"
        }

        _uuid() {
            local _found _form='^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
            _found=$(command uuidgen -r 2>/dev/null </dev/null)
            if [[ ! $_found =~ $_form ]]; then
                { _found=$(</proc/sys/kernel/random/uuid); } 2>/dev/null
            fi
            printf %s "$_found"
            [[ $_found =~ $_form ]]
        }

        _print_line() { # ID SENT_AT TOPIC FIELD ...
            # Bytes are what the patterns below are about.
            local LC_ALL=C _field _key _value _comma=""
            printf '{"body": {'
            for _field in "${@:4}"; do
                _key=${_field%%=*}
                _value=${_field#*=}
                printf '%s"%s": ' "$_comma" "${_key%:int}"
                if [[ $_key == *:int ]]; then
                    _print_integer "$_value"
                else
                    printf '"'
                    _print_escaped "$_value"
                    printf '"'
                fi
                _comma=", "
            done
            printf '}, "headers": {"fedora_messaging_schema": "base.message", '
            printf '"fedora_messaging_severity": 20, "sent-at": "%s"}, ' "$2"
            printf '"id": "%s", "queue": "queue", "topic": "%s"}\n' "$1" "$3"
        }

        _print_integer() { # JSON knows neither +7 nor 007
            local _sign="" _digits=${1#[+-]}
            _digits=${_digits#"${_digits%%[!0]*}"}
            if [[ $1 == -* && -n $_digits ]]; then _sign=-; fi
            printf '%s%s' "$_sign" "${_digits:-0}"
        }

        local _continuing=$'[\x80-\xbf]'
        # The first two bytes of the characters that have three bytes, and of those that have four.
        local _threes=($'\xe0[\xa0-\xbf]' $'[\xe1-\xec\xee\xef][\x80-\xbf]' $'\xed[\x80-\x9f]')
        local _fours=($'\xf0[\x90-\xbf]' $'[\xf1-\xf3][\x80-\xbf]' $'\xf4[\x80-\x8f]')

        # Prints a text as it stands between the quotes of JSON.
        _print_escaped() {
            local _text=$1 _code _octal _byte
            if [[ $_text != *[\"\\$'\x01'-$'\x1f'$'\x80'-$'\xff']* ]]; then
                printf %s "$_text"
                return
            fi
            if ((${#_text} > 1024)); then
                _by_halves _print_escaped "$_text"
                return
            fi
            _text=${_text//\\/"\\\\"}
            _text=${_text//\"/'\"'}
            _text=${_text//$'\n'/'\n'}
            _text=${_text//$'\t'/'\t'}
            if [[ $_text == *[$'\x01'-$'\x1f']* ]]; then
                for _code in {1..31}; do
                    printf -v _octal %03o "$_code"
                    printf -v _byte %b "\\0$_octal"
                    printf -v _code '\\u%04x' "$_code"
                    _text=${_text//"$_byte"/"$_code"}
                done
            fi
            # fedora-messaging reads a line with str.splitlines, which ends it at these, too.
            _text=${_text//$'\xc2\x85'/'\u0085'}
            _text=${_text//$'\xe2\x80\xa8'/'\u2028'}
            _text=${_text//$'\xe2\x80\xa9'/'\u2029'}
            if [[ $_text == *[$'\x80'-$'\xff']* ]]; then
                _print_as_utf8 "$_text"
            else
                printf %s "$_text"
            fi
        }

        # Prints a text with U+FFFD for what is not UTF-8. That is found on a copy of the same
        # length, in which each character of several bytes gives its place to ASCII.
        _print_as_utf8() {
            local _text=$1 _copy=$1 _start _good _bad _done=""
            _copy=${_copy//[$'\xc2'-$'\xdf']$_continuing/--}
            for _start in "${_threes[@]}"; do _copy=${_copy//$_start$_continuing/---}; done
            for _start in "${_fours[@]}"; do
                _copy=${_copy//$_start$_continuing$_continuing/----}
            done
            if [[ $_copy != *[$'\x80'-$'\xff']* ]]; then
                printf %s "$_text"
                return
            fi
            if ((${#_text} > 256)); then
                _by_halves _print_as_utf8 "$_text"
                return
            fi
            # What is left is wrong. Of a character that is cut off, the first byte counts (\x02),
            # and not the others (\x03).
            for _start in "${_fours[@]}"; do
                _copy=${_copy//$_start$_continuing/$'\x02\x03\x03'}
            done
            for _start in "${_threes[@]}" "${_fours[@]}"; do
                _copy=${_copy//$_start/$'\x02\x03'}
            done
            while [[ -n $_copy ]]; do
                _good=${_copy%%[$'\x02'$'\x80'-$'\xff']*}
                _done+=${_text::${#_good}}
                _text=${_text:${#_good}}
                _copy=${_copy:${#_good}}
                _bad=${_copy%%[!$'\x02'$'\x03'$'\x80'-$'\xff']*}
                _text=${_text:${#_bad}}
                _copy=${_copy:${#_bad}}
                _bad=${_bad//$'\x03'/}
                _done+=${_bad//?/'\ufffd'}
            done
            printf %s "$_done"
        }

        # The time that a substitution takes in bash grows with the square of the length: long
        # texts are cut in two, over and over, but never between the bytes of a character.
        _by_halves() { # FUNCTION TEXT
            local _half=$((${#2} / 2)) _next
            _next=${2:_half:3} # at most three bytes continue a character
            while [[ $_next == $_continuing* ]]; do
                _next=${_next:1}
                _half=$((_half + 1))
            done
            "$1" "${2::_half}"
            "$1" "${2:_half}"
        }

        _publish() { # what _print_line takes
            local _limit=${SEND_BUS_MSG_TIMEOUT:-30} _said _status
            if [[ ! $_limit =~ ^[0-9]+(\.[0-9]+)?$ || $_limit != *[1-9]* ]]; then
                _warn "SEND_BUS_MSG_TIMEOUT must be a number of seconds; 30 is used."
                _limit=30
            fi
            # `timeout` puts itself, and what it runs, out of the reach of Ctrl-C; `wait` is in it.
            _said=$(
                exec 2>&1
                trap 'kill "$!"' INT
                _print_line "$@" 2>/dev/null | PYTHONIOENCODING=utf-8 \
                    command timeout --kill-after=5 "$_limit" fedora-messaging publish - &
                wait "$!"
            )
            _status=$?
            case $_status in
                0) return ;;
                124) _said="it took longer than $_limit seconds" ;;
                137) _said="it was killed; perhaps it took longer than $_limit seconds" ;;
                *) _said="exit code $_status: ${_said##*$'\n'}" ;;
            esac
            _warn "$3 was not sent. fedora-messaging publish failed: $_said"
        }

        local _topic=${1-} _id _sent_at
        _check_topic "$_topic"
        shift
        _check_fields "$@" || set -- host="$(_full_name)" "$@"
        _id=$(_uuid) || _refuse "neither uuidgen nor the kernel gives an id to this one" "$_topic"
        _sent_at=$(command date -u +%Y-%m-%dT%H:%M:%S+00:00)
        case ${SEND_BUS_MSG_DRY_RUN:-0} in
            0) _publish "$_id" "$_sent_at" "$_topic" "$@" ;;
            *) _print_line "$_id" "$_sent_at" "$_topic" "$@" ;;
        esac
    ) || :
}
