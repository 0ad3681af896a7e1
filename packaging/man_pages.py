"""The manual pages of the commands, made of what ``--help`` is made of.

click-man would make pages, too. But it has no place for examples, exit codes and the environment,
cuts the line under NAME short, and does not see commands that are imported only when they run.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import click

from datanommer.commands.cli import main
from datanommer.commands.command import Command
from datanommer.commands.command_list import COMMANDS, GROUPS
from datanommer.commands.exit_codes import MEANINGS
from datanommer.models.configuration import READ_URL_VARIABLE, URL_VARIABLE

_ENVIRONMENT = {
    URL_VARIABLE: "The database, if neither --url nor --config-filename names one.",
    READ_URL_VARIABLE: "A replica of it, which commands that only read ask; if it does not answer, "
    "they ask the database.",
    "NO_COLOR": "If it is set, nothing is printed in colour.",
}
_MORE = "https://github.com/fedora-infra/datanommer/"
#: What roff would take for something else, or print as another character.
_ESCAPES = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}


def pages(version: str) -> Iterator[tuple[str, str]]:
    """The name of each console script, and its page in roff.

    Args:
        version: of the commands.
    """
    assert main.help
    yield "datanommer", _page(version, "datanommer", main, main.help, COMMANDS)
    for group in GROUPS.values():
        for name, line in group.items():
            full = f"datanommer-{name}"
            yield full, _page(version, full, _command(name), line, group)


def _page(
    version: str, name: str, command: click.Command, line: str, related: Iterable[str]
) -> str:
    summary = line[0].lower() + line[1:].removesuffix(".")
    others = sorted({"datanommer", *(f"datanommer-{each}" for each in related)} - {name})
    sections = {
        "NAME": [f"{_text(name)} \\- {_text(summary)}"],
        "SYNOPSIS": [_usage(name, command)],
        "DESCRIPTION": _paragraphs(command),
        "OPTIONS": _options(command),
        "COMMANDS": _commands(name, command),
        "EXAMPLES": _examples(command),
        "EXIT STATUS": _list({str(code): meaning for code, meaning in MEANINGS.items()}),
        "ENVIRONMENT": _list(_ENVIRONMENT),
        "SEE ALSO": [", ".join(f"{_bold(other)}(1)" for other in others), ".PP", _text(_MORE)],
    }
    # Without a date: a page is as old as the version.
    title = f'.TH {_text(name.upper())} 1 "" "datanommer {version}" "datanommer"'
    # Nothing is broken in the middle: names are there to be copied.
    lines = [title, ".nr HY 0", ".hy 0", ".ad l"]
    for heading, body in sections.items():
        if written := list(body):
            lines += [f".SH {heading}", *written]
    return "\n".join(lines) + "\n"


def _usage(name: str, command: click.Command) -> str:
    pieces = command.collect_usage_pieces(_context(command))
    return f"{_bold(name)} {_text(' '.join(pieces))}"


def _paragraphs(command: click.Command) -> Iterator[str]:
    first, *others = inspect.cleandoc(command.help or "").split("\n\n")
    yield _text(" ".join(first.split()))
    for paragraph in others:
        yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _options(command: click.Command, but: Collection[str | None] = ()) -> Iterator[str]:
    """The options, but not those of these names."""
    ctx = _context(command)
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is not None and param.name not in but:
            words = record[0].split()
            yield from (".TP", " ".join(map(_word_of_option, words)), _text(record[1]))


def _word_of_option(word: str) -> str:
    if not word.startswith("-"):
        return rf"\fI{_text(word)}\fR"
    name = word.removesuffix(",")
    return _bold(name) + word.removeprefix(name)


def _commands(name: str, command: click.Command) -> Iterator[str]:
    """The commands of a group, whole; those of the umbrella have pages of their own."""
    if command is main:
        for title, group in GROUPS.items():
            yield f".SS {title}"
            yield from _list({f"datanommer-{each}": line for each, line in group.items()})
    elif isinstance(command, click.Group):
        of_all = {param.name for param in command.get_params(_context(command))}
        for sub_name, sub_command in command.commands.items():
            whole = f"{name} {sub_name}"
            yield from (f".SS {_text(whole)}", _usage(whole, sub_command), ".PP")
            yield from _paragraphs(sub_command)
            yield from _options(sub_command, but=of_all)


def _examples(command: click.Command) -> Iterator[str]:
    examples = _examples_of(command)
    for example in examples:
        yield from (".EX", _text(example), ".EE")
        if example != examples[-1]:
            yield ".PP"


def _examples_of(command: click.Command) -> Sequence[str]:
    """The examples of a command, those of a group's commands, or for the umbrella, one of each."""
    if command is main:
        return [_examples_of(_command(name))[0] for name in COMMANDS]
    if isinstance(command, click.Group):
        return [each for own in command.commands.values() for each in _examples_of(own)]
    assert isinstance(command, Command)
    return command.examples


def _command(name: str) -> click.Command:
    command = main.get_command(_context(main), name)
    assert command is not None
    return command


def _context(command: click.Command) -> click.Context:
    # One of its own class: it names the option of help as well.
    return command.context_class(command)


def _list(meanings: Mapping[str, str]) -> Iterator[str]:
    for name, meaning in meanings.items():
        yield from (".TP", _bold(name), _text(meaning))


def _bold(text: str) -> str:
    return rf"\fB{_text(text)}\fR"


def _text(text: str) -> str:
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    # At the start of a line, it would be a request.
    return rf"\&{escaped}" if escaped.startswith(".") else escaped
