"""Shell completion: a script that knows the commands and their options."""

SCRIPT = """\
_colorvae() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case "${{COMP_WORDS[COMP_CWORD-1]}}" in
{values}
        *)
            case "${{COMP_WORDS[1]}}" in
{options}
            esac
            case "$current" in -*) ;; *) words="";; esac
            case "${{COMP_WORDS[1]}}" in
{positionals}
            esac
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _colorvae colorvae
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def script(parser, shell):
    """The script for a shell.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        It has commands.
    shell : {"bash", "zsh"}
        Where a word can't be completed, both offer files.

    Returns
    -------
    script : str
    """
    (commands,) = (a.choices for a in parser._actions if hasattr(a.choices, "items"))
    actions = {name: part._actions for name, part in commands.items()}
    options = {n: words(a.option_strings for a in acts) for n, acts in actions.items()}
    values, positionals = {}, {}
    for name, acts in actions.items():
        for action in filter(lambda action: action.choices, acts):
            if action.option_strings:
                key = "|".join(action.option_strings)
                values[key] = words([action.choices, values.get(key, "").split()])
            else:
                positionals[name] = words([action.choices])
    text = SCRIPT.format(
        commands=" ".join(commands),
        values=cases(values),
        options=cases(options),
        positionals=cases(positionals),
    )
    return text if shell == "bash" else ZSH + text


def words(groups):
    """Words of several groups, each once."""
    return " ".join(dict.fromkeys(word for group in groups for word in group))


def cases(table):
    """Branches of a shell's case."""
    return "\n".join(f'        {key}) words="{text}";;' for key, text in table.items())
