"""Tab completion in bash, zsh and fish: that of click, with better scripts.

Each shell gets one function for all commands, which starts Python only when somebody presses Tab.
It passes on the line up to the cursor, because bash splits words at colons and equals signs, and
gets back the candidates in click's format for the shell.
"""

from __future__ import annotations

import os
import re

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from datanommer.commands.command_list import COMMANDS

_COMMANDS = " ".join(["datanommer", *(f"datanommer-{name}" for name in COMMANDS)])

_BASH = r"""_datanommer() {
    local name=${1##*/} answer
    local variable=_${name//-/_}_COMPLETE
    COMPREPLY=()
    while IFS= read -r answer; do
        case $answer in
            plain,*) COMPREPLY+=("${answer#plain,}") ;;
            file,*) compopt -o default ;;
            dir,*) compopt -o dirnames ;;
        esac
    done < <(env "${variable^^}=bash_complete" COMP_WORDS="${COMP_LINE:0:COMP_POINT}" \
        COMP_WORD="$2" "${1/#\~/$HOME}" 2>/dev/null)
}
complete -o nosort -F _datanommer @COMMANDS@
"""

_ZSH = r"""#compdef @COMMANDS@

_datanommer() {
    local name=${words[1]:t} line="${words[1,CURRENT-1]} $QIPREFIX$PREFIX"
    local variable=_${(U)name//-/_}_COMPLETE answers type value text
    local -a values described
    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
    answers=$(env "$variable=zsh_complete" COMP_WORDS="$line" ${~words[1]} 2>/dev/null)
    for type value text in ${(f)answers}; do
        case $type in
            plain) [[ $text == _ ]] && values+=("$value") || described+=("$value:$text") ;;
            file) _files ;;
            dir) _files -/ ;;
        esac
    done
    (( $#described )) && _describe -V datanommer described
    (( $#values )) && compadd -V datanommer -a values
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _datanommer "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _datanommer @COMMANDS@
fi
"""

_FISH = r"""function __datanommer
    set -l command (string replace -r '^~' "$HOME" -- (commandline -cpo)[1])
    set -l name (string replace -r '.*/' '' -- $command)
    set -l variable (string upper -- _(string replace -a - _ -- $name)_COMPLETE)
    set -l option (string match -r -- '^--[^=]*=' (commandline -ct))
    set -l line (commandline -cp | string collect)
    for answer in (env $variable=fish_complete COMP_WORDS=$line $command 2>/dev/null)
        set -l part (string split --max 1 , -- $answer)
        switch $part[1]
            case plain
                printf '%s\n' "$option$part[2]"
            case file
                __fish_complete_path $part[2] | string replace -r '^' -- "$option"
            case dir
                __fish_complete_directories $part[2] | string replace -r '^' -- "$option"
        end
    end
end

for command in @COMMANDS@
    complete --command $command --no-files --keep-order --arguments '(__datanommer)'
end
"""

#: The script of each shell, for all commands.
SCRIPTS = {
    shell: text.replace("@COMMANDS@", _COMMANDS)
    for shell, text in {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}.items()
}

# Characters that are special within quotes.
_SPECIAL = re.compile(r"""[\\"'$`!]""")


class _Shell(ShellComplete):
    """What the three shells have in common."""

    def source(self) -> str:
        return SCRIPTS[self.name]

    def get_completion_args(self) -> tuple[list[str], str]:
        # The extra character makes sure of a last word, even if none of it is typed yet.
        _, *words, last = split_arg_string(f"{os.environ['COMP_WORDS']}_")
        return [os.path.expandvars(_with_home(word)) for word in words], last[:-1]

    def complete(self) -> str:
        # Any message would land in the middle of the line that is being typed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        return super().complete()


def _with_home(word: str) -> str:
    # A Path would turn the two slashes of a URL into one.
    return os.path.expanduser(word)  # noqa: PTH111


class _Bash(_Shell, BashComplete):
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        option, equals, after = incomplete.partition("=")
        value = after if equals and option.startswith("--") else incomplete
        # What bash replaces: the value, or what follows a colon or an equals sign in it.
        replaced = os.environ.get("COMP_WORD", value)
        before = os.environ["COMP_WORDS"].removesuffix(replaced)
        self._is_quoted = before.endswith(("'", '"'))
        self._kept = max(len(value) - len(re.sub(r"\\(.)", r"\1", replaced)), 0)
        items = super().get_completions(args, incomplete)
        return [each for each in items if not (self._is_quoted and _SPECIAL.search(each.value))]

    def format_completion(self, item: CompletionItem[str]) -> str:
        value = item.value[self._kept :]
        if not self._is_quoted:
            value = re.sub(r"[^\w%+,./:=@-]", r"\\\g<0>", value)
        return f"{item.type},{value}"


class _Zsh(_Shell, ZshComplete):
    pass


class _Fish(_Shell, FishComplete):
    pass


def register() -> None:
    """Let click use the completion of this module."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)
