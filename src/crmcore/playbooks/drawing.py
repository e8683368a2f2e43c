"""A stage graph as a picture: the text of a Mermaid state diagram, or of a DOT graph.

Stages are called s1, s2, … in the order of the funnel, since a key may be a word of the language. Guards stand on the
arrows; a rollback begins with ↩ and is dashed, an automatic move begins with the word and is bold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from crmcore.domain.policies import Label, StageGraph, Transition
from crmcore.domain.values import FrozenMap
from crmcore.errors import Language

#: What a guard of :data:`crmcore.domain.playbook.GUARDS` is called on an arrow.
GUARD_LABELS: Mapping[str, Label] = {
    "reason": Label(zh="注明原因", en="reason"),
    "fields": Label(zh="填写", en="filled in"),
    "evidence": Label(zh="附件", en="attached"),
    "contract_signed": Label(zh="合同已签订", en="contract signed"),
    "customer": Label(zh="客户已登记", en="customer known"),
    "amount": Label(zh="金额已填", en="amount known"),
}
ROLLBACK = "↩"
AUTOMATIC = Label(zh="自动", en="automatic")
_PLAIN = " _-,.↩、，。（）"
_NO_LABELS: Mapping[str, Label] = FrozenMap()


def mermaid(graph: StageGraph, language: Language = "en", fields: Mapping[str, Label] = _NO_LABELS) -> str:
    """The graph as a Mermaid ``stateDiagram-v2``; ``fields`` says what dotted fields are called that a guard asks for.

    The language has no dashed or bold arrows: a style sheet for Mermaid 11 makes them, other versions show the words alone.
    """
    names = _names(graph)
    lines = ["stateDiagram-v2", "    direction LR"]
    lines += [f'    state "{_for_mermaid(stage.label.text(language))}" as {names[stage.key]}' for stage in graph.stages]
    lines.append(f"    [*] --> {names[graph.initial]}")
    for move in graph.transitions:
        told = _for_mermaid(_told(graph, move, language, fields))
        lines.append(f"    {names[move.source]} --> {names[move.target]}{f' : {told}' if told else ''}")
    lines += [f"    {names[stage.key]} --> [*]" for stage in graph.stages if stage.final]
    # Mermaid counts the arrows from 0; the first is that to the first stage.
    moves = list(enumerate(graph.transitions, 1))
    looks = {
        "stroke-dasharray: 4": [f"path[id$=edge{at}]" for at, move in moves if move.rollback],
        "stroke-width: 3px": [f"path[id$=edge{at}]" for at, move in moves if move.automatic],
    }
    styles = [f"{', '.join(arrows)} {{ {look} }}" for look, arrows in looks.items() if arrows]
    if styles:
        lines.insert(0, f'%%{{init: {{"themeCSS": "{" ".join(styles)}"}}}}%%')
    return "\n".join(lines) + "\n"


def dot(graph: StageGraph, language: Language = "en", fields: Mapping[str, Label] = _NO_LABELS) -> str:
    """The graph in DOT, for Graphviz; a final stage has a double border. ``fields`` as in :func:`mermaid`."""
    names = _names(graph)
    lines = [
        f"digraph {_for_dot(graph.key)} {{",
        "    rankdir=LR;",
        '    node [shape=box, style=rounded, fontname="sans-serif"];',
        '    edge [fontname="sans-serif", fontsize=11];',
        "    start [shape=point];",
    ]
    for stage in graph.stages:
        double = ", peripheries=2" if stage.final else ""
        lines.append(f"    {names[stage.key]} [label={_for_dot(stage.label.text(language))}{double}];")
    lines.append(f"    start -> {names[graph.initial]};")
    for move in graph.transitions:
        told = _told(graph, move, language, fields)
        styles = ["dashed"] * move.rollback + ["bold"] * move.automatic
        looks = [f"label={_for_dot(told)}"] * bool(told) + [f'style="{",".join(styles)}"'] * bool(styles)
        shown = f" [{', '.join(looks)}]" if looks else ""
        lines.append(f"    {names[move.source]} -> {names[move.target]}{shown};")
    return "\n".join([*lines, "}"]) + "\n"


def _names(graph: StageGraph) -> Mapping[str, str]:
    return {stage.key: f"s{number}" for number, stage in enumerate(graph.stages, 1)}


def _told(graph: StageGraph, move: Transition, language: Language, fields: Mapping[str, Label]) -> str:
    """What stands on an arrow: whether it goes back, whether it is automatic, its guards."""
    between = "、" if language == "zh-CN" else ", "
    return " ".join([ROLLBACK] * move.rollback + [between.join(guards_told(graph, move, language, fields))]).strip()


def guards_told(
    graph: StageGraph, move: Transition, language: Language = "en", fields: Mapping[str, Label] = _NO_LABELS
) -> Iterator[str]:
    """That a move is automatic, and what it asks for, one text per guard; a guard or a field without a label by its key."""
    if move.automatic:
        yield AUTOMATIC.text(language)
    moving = "customer" if graph.key == "lifecycle" else "opportunity"
    for guard in move.guards:
        label = GUARD_LABELS.get(guard)
        said = label.text(language) if label else guard
        if guard == "fields":
            dotted = (field if "." in field else f"{moving}.{field}" for field in move.fields)
            asked = [fields[field].text(language) if field in fields else field for field in dotted]
        else:
            asked = list(move.evidence) if guard == "evidence" else []
        yield f"{said}: {', '.join(asked)}" if asked else said


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _for_mermaid(text: str) -> str:
    """Every character that could mean something to Mermaid as its code."""
    return "".join(
        character if character.isalnum() or character in _PLAIN else f"#{ord(character)};"
        for character in _one_line(text)
    )


def _for_dot(text: str) -> str:
    """A quoted string; a backslash and an entity would mean something in there too."""
    return '"' + _one_line(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') + '"'
