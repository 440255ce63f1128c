"""Completion scripts for bash, zsh and fish, made from the commands.

The scripts hold every command and option themselves, so that a press of Tab starts no Python; only the names of devices
are asked of ``enmctl completion devices``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from enmctl.cli.command_tree import Argument, Node, Option

HEADER = "made by: python -m enmctl.cli.documentation"
"""What a generated file says of itself."""

DEVICES = "enmctl completion devices 2>/dev/null"
"""Prints the words by which devices can be named, one a line."""

BASH_DEVICES = (
    "_enmctl_devices() {",
    "    # the names come from boards and servers: none of them is ever read as code",
    '    local word before=""',
    '    if [[ $COMP_WORDBREAKS == *:* && $1 == *:* ]]; then before=${1%"${1##*:}"}; fi',
    "    while IFS= read -r word; do",
    "        printf -v word '%q' \"$word\"",
    '        if [[ $word == "$1"* ]]; then COMPREPLY+=("${word#"$before"}"); fi',
    f"    done < <({DEVICES})",
    "}",
)

FILE_WORDS = ("FILE", "PATH", "FOLDER", "DIRECTORY")
DEVICE_WORDS = ("DEVICE", "BOARD")


def bash(program: Node) -> str:
    """The script for bash 4 and later; it needs no bash-completion package."""
    nodes = list(program.walk())
    lines = [
        f"# bash completion of enmctl; {HEADER}",
        *BASH_DEVICES,
        "_enmctl() {",
        '    local current="" path="" pending="" word',
        "    local -a words=()",
        "    local -i place count=0 arguments=0",
        "    COMPREPLY=()",
        "    for ((place = 1; place <= COMP_CWORD; place++)); do",
        "        word=${COMP_WORDS[place]}",
        "        # bash takes an address to pieces at its colons",
        "        if ((count)) && [[ $word == :* || (-n $word && ${words[count-1]} == *:) ]]; then",
        "            words[count-1]+=$word",
        "        else",
        "            words[count++]=$word",
        "        fi",
        "    done",
        "    current=${words[count-1]}",
        '    for word in "${words[@]:0:count-1}"; do',
        '        if [[ $word == "=" ]]; then continue; fi',
        '        if [[ $pending ]]; then pending=""; continue; fi',
        '        case "$path:$word" in',
        *(
            f"            {'|'.join(':'.join((_quote(_words(node)), child.name)) for child in node.children)})"
            ' path="${path:+$path }$word" ;;'
            for node in nodes
            if node.children
        ),
        *(
            f"            {'|'.join(f'{_quote(_words(node))}:{name}' for option in valued for name in option.names)})"
            " pending=$word ;;"
            for node in nodes
            if (valued := [option for option in node.options if option.value])
        ),
        "            *:-*) ;;",
        "            *) arguments+=1 ;;",
        "        esac",
        "    done",
        '    if [[ $current == "=" ]]; then current=""; fi',
        "    if [[ $pending ]]; then",
        '        case "$path:$pending" in',
        *(
            f"            {_quote(_words(node))}:{name}) {reply} ;;"
            for node in nodes
            for option in node.options
            if option.value and (reply := _bash_reply(option.value, option.choices))
            for name in option.names
        ),
        "        esac",
        "        return",
        "    fi",
        "    if [[ $current == -* ]]; then",
        "        local options",
        '        case "$path" in',
        *(f"            {_quote(_words(node))}) options={_quote(_all_options(node))} ;;" for node in nodes),
        "        esac",
        '        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")',
        "        return",
        "    fi",
        '    case "$path:$arguments" in',
        *(
            f"        {_quote(_words(node))}:{pattern}) {_bash_reply(argument.name, argument.choices)} ;;"
            for node in nodes
            for pattern, argument in _places(node.arguments)
        ),
        *(
            f"        {_quote(_words(node))}:0) {_bash_reply('', tuple(child.name for child in node.children))} ;;"
            for node in nodes
            if node.children
        ),
        "    esac",
        "}",
        "complete -F _enmctl enmctl",
    ]
    return "\n".join(lines) + "\n"


def zsh(program: Node) -> str:
    """The script for zsh; to be found as ``_enmctl`` on ``fpath``."""
    return (
        "\n".join(
            [
                "#compdef enmctl",
                f"# zsh completion of enmctl; {HEADER}",
                "_enmctl_device_words() {",
                f'    local -a found=("${{(@f)$({DEVICES})}}")',
                "    compadd -a found",
                "}",
                *(line for node in program.walk() for line in _zsh_function(node)),
                'if [[ $funcstack[1] == _enmctl ]]; then _enmctl "$@"; else compdef _enmctl enmctl; fi',
            ]
        )
        + "\n"
    )


def fish(program: Node) -> str:
    """The script for fish."""
    lines = [f"# fish completion of enmctl; {HEADER}", "complete -c enmctl -f"]
    for node in program.walk():
        here = _fish_condition(node)
        lines += [
            f"complete -c enmctl -n {_quote(here)} -a {child.name} -d {_quote(child.summary)}"
            for child in node.children
        ]
        for option in node.options:
            if option.shared and node.path:
                continue
            condition = "" if option.shared else f" -n {_quote(_fish_within(node))}"
            value = _fish_value(option.value, option.choices) if option.value else ""
            lines.append(
                f"complete -c enmctl{condition}{_fish_names(option)}{value} -d {_quote(_sentence(option.help))}"
            )
        lines += [
            f"complete -c enmctl -n {_quote(here)}{_fish_reply(argument.name, argument.choices)}"
            for argument in node.arguments
        ]
    return "\n".join(lines) + "\n"


SHELLS: dict[str, Callable[[Node], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
"""The shells that completions can be made for."""


def _words(node: Node) -> str:
    return " ".join(node.path)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _sentence(text: str) -> str:
    """The first sentence of a help text, without its full stop."""
    return text.replace("\n", " ").split(". ")[0].rstrip(".")


def _all_options(node: Node) -> str:
    return " ".join(name for option in node.options for name in option.names)


def _places(arguments: Iterable[Argument]) -> list[tuple[str, Argument]]:
    """Each argument with the shell pattern of how many came before it."""
    return [("*" if argument.many else str(place), argument) for place, argument in enumerate(arguments)]


def _bash_reply(value: str, choices: tuple[str, ...]) -> str:
    """The statement that fills COMPREPLY for one value; "" where nothing can be offered."""
    if choices:
        return f'mapfile -t COMPREPLY < <(compgen -W {_quote(" ".join(choices))} -- "$current")'
    if value in FILE_WORDS:
        return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current")'
    if value in DEVICE_WORDS:
        return '_enmctl_devices "$current"'
    return ""


def _zsh_function(node: Node) -> list[str]:
    """The function that completes one command's own words."""
    name = "_".join(("_enmctl", *node.path))
    options = [
        f"        {_quote(_zsh_option(option, spelling))}" for option in node.options for spelling in option.names
    ]
    if not node.children:
        arguments = [
            f"        {_quote(f'{chr(42) if argument.many else place}:{argument.name.lower()}:{action}')}"
            for place, argument in enumerate(node.arguments, start=1)
            if (action := _zsh_action(argument.name, argument.choices))
        ]
        return [f"{name}() {{", "    _arguments \\", " \\\n".join([*options, *arguments]), "}"]
    return [
        f"{name}() {{",
        "    local curcontext=$curcontext state line",
        "    _arguments -C \\",
        " \\\n".join([*options, "        '1: :->command'", "        '*:: :->rest'"]),
        "    case $state in",
        "        command)",
        "            local -a commands=(",
        *(
            f"                {_quote(child.name + ':' + child.summary.replace(':', chr(92) + ':'))}"
            for child in node.children
        ),
        "            )",
        "            _describe command commands ;;",
        "        rest)",
        "            case $words[1] in",
        *(f"                {child.name}) {'_'.join(('_enmctl', *child.path))} ;;" for child in node.children),
        "            esac ;;",
        "    esac",
        "}",
    ]


def _zsh_option(option: Option, spelling: str) -> str:
    meaning = _sentence(option.help).translate({ord(mark): f"\\{mark}" for mark in "[]:"})
    value = f":{option.value.lower()}:{_zsh_action(option.value, option.choices)}" if option.value else ""
    return f"{spelling}[{meaning}]{value}"


def _zsh_action(value: str, choices: tuple[str, ...]) -> str:
    if choices:
        return f"({' '.join(choices)})"
    if value in FILE_WORDS:
        return "_files"
    return "_enmctl_device_words" if value in DEVICE_WORDS else ""


def _fish_within(node: Node) -> str:
    """The condition that the words before the cursor name this command."""
    return "; and ".join(f"__fish_seen_subcommand_from {word}" for word in node.path) or "true"


def _fish_condition(node: Node) -> str:
    """The condition that this command's own words come next, and not those of one below it."""
    if not node.path:
        return "__fish_use_subcommand"
    below = " ".join(child.name for child in node.children)
    return _fish_within(node) + (f"; and not __fish_seen_subcommand_from {below}" if below else "")


def _fish_names(option: Option) -> str:
    return "".join(f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in option.names)


def _fish_value(value: str, choices: tuple[str, ...]) -> str:
    return " -r" + _fish_reply(value, choices)


def _fish_reply(value: str, choices: tuple[str, ...]) -> str:
    if choices:
        return f" -a {_quote(' '.join(choices))}"
    if value in FILE_WORDS:
        return " -F"
    return f" -a {_quote(f'({DEVICES})')}" if value in DEVICE_WORDS else ""
