"""Completions for shells, made from the flags: their names, the values that there are, files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from nvltop.cli.flags import Flag


def script(shell: str, program: str, flags: Sequence[Flag]) -> str:
    """Return the completion script for one of `SHELLS`."""
    return "\n".join(MAKERS[shell](program, flags))


def _head(shell: str, program: str) -> str:
    return f"# {shell} completion, made by `{program} --print-completion {shell}`"


def _bash(program: str, flags: Sequence[Flag]) -> Iterator[str]:
    names = shlex.quote(" ".join(name for flag in flags for name in flag.names))
    yield _head("bash", program)
    yield f"_{program}() {{"
    yield f"    local cur=${{COMP_WORDS[COMP_CWORD]}} flag=${{COMP_WORDS[COMP_CWORD-1]}} words={names}"
    yield "    COMPREPLY=()"
    yield "    # Bash takes the = of --flag=value for a word of its own."
    yield "    if [[ $cur == = ]]; then cur="
    yield "    elif [[ $flag == = ]]; then flag=${COMP_WORDS[COMP_CWORD-2]}; fi"
    yield "    if [[ $cur != -* ]]; then"
    yield "        case $flag in"
    for flag in flags:
        if then := _bash_value(flag):
            yield f"            {'|'.join(flag.names)}) {then} ;;"
    yield "        esac"
    yield "    fi"
    yield '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")'
    yield "}"
    yield f"complete -F _{program} {program}"


def _bash_value(flag: Flag) -> str:
    if flag.choices:
        return f"words={shlex.quote(' '.join(flag.choices))}"
    if flag.file:
        return "compopt -o default; return"
    return "return" if flag.value and not flag.optional else ""


def _zsh(program: str, flags: Sequence[Flag]) -> Iterator[str]:
    yield f"#compdef {program}"
    yield _head("zsh", program)
    yield f"_{program}() {{"
    yield "    _arguments -s -S \\"
    specs = [spec for flag in flags for spec in _zsh_specs(flag)]
    yield " \\\n".join(f"        {shlex.quote(spec)}" for spec in specs)
    yield "}"
    yield "# From fpath this file is the function; sourced, it names it."
    yield f'if [[ ${{funcstack[1]-}} == _{program} ]]; then _{program} "$@"'
    yield f"else compdef _{program} {program}; fi"


def _zsh_specs(flag: Flag) -> Iterator[str]:
    others = "*" if flag.repeats else f"({' '.join((*flag.names, *flag.conflicts))})"
    for name in flag.names:
        # A value may stand behind `=` of a long name and right behind a short one.
        glue = ("=" if name.startswith("--") else "+") if flag.value else ""
        yield f"{others}{name}{glue}[{_escaped(flag.help, '[]:')}]{_zsh_value(flag)}"


def _zsh_value(flag: Flag) -> str:
    if flag.value is None:
        return ""
    action = "_files" if flag.file else ""
    if flag.choices:
        # The words are read three times: by _arguments, by the shell, and as word and description.
        pairs = " ".join(_zsh_word(word, what) for word, what in flag.choices.items())
        action = f"(({_escaped(pairs, ':')}))"
    return f"{'::' if flag.optional else ':'}{_escaped(flag.value, ':')}:{action}"


def _zsh_word(word: str, what: str) -> str:
    return shlex.quote(f"{word}:{what}" if what else word)


def _fish(program: str, flags: Sequence[Flag]) -> Iterator[str]:
    yield _head("fish", program)
    yield f"complete -c {program} -f"
    for flag in flags:
        names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in flag.names)
        values = _fish_values(flag)
        # -x: a value and no file.
        needed = "" if flag.optional or not flag.value else " -r" if flag.file else " -x"
        yield f"complete -c {program} {names}{needed}{values} -d {_fish_quote(flag.help)}"
        if flag.optional and values:
            # Fish knows no value that can be left out, except behind `=`.
            after = _fish_quote(f"__fish_prev_arg_in {' '.join(flag.names)}")
            yield f"complete -c {program} -n {after}{values}"


def _fish_values(flag: Flag) -> str:
    if flag.choices:
        words = " ".join(
            f"{word}\\t{_fish_quote(what)}" if what else word for word, what in flag.choices.items()
        )
        return f" -a {_fish_quote(words)}"
    return " -F" if flag.file else ""


def _fish_quote(text: str) -> str:
    return f"'{_escaped(text, chr(39))}'"


def _escaped(text: str, special: str) -> str:
    """Return `text` with a backslash before backslashes and each of `special`."""
    return re.sub(f"[{re.escape(special)}\\\\]", r"\\\g<0>", text)


MAKERS: Final[Mapping[str, Callable[[str, Sequence[Flag]], Iterator[str]]]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
