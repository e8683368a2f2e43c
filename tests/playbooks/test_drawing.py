"""A drawing says what the graph says: every text is read back as Mermaid and Graphviz read it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crmcore.domain.policies import Label, Stage, StageGraph, Transition
from crmcore.playbooks import BUNDLED, GUARDS, load
from crmcore.playbooks.drawing import AUTOMATIC, GUARD_LABELS, ROLLBACK, dot, mermaid

LANGUAGES = ("zh-CN", "en")
AWKWARD = [
    '"',
    "\\",
    "#35;",
    "&amp;",
    "-->",
    ":",
    ";",
    "%%",
    "\n",
    "<b>",
    "{",
    "}",
    "[*]",
    "end",
    "\\N",
    "'",
    "\u202e",
    "；",
]
texts = st.text(st.sampled_from("aZ 9潜在é") | st.characters(), max_size=8) | st.lists(st.sampled_from(AWKWARD)).map(
    "".join
)
labels = st.builds(Label, zh=texts, en=texts)


@st.composite
def graphs(draw: st.DrawFn) -> StageGraph:
    """Graphs with any texts; keys are words of the drawing languages too."""
    keys = draw(
        st.lists(st.sampled_from(["end", "state", "note", "graph", "node", "阶段", "a"]), min_size=1, unique=True)
    )
    moves = st.builds(
        Transition,
        source=st.sampled_from(keys),
        target=st.sampled_from(keys),
        guards=st.lists(st.sampled_from([*GUARDS, "lottery"]), unique=True).map(tuple),
        rollback=st.booleans(),
        automatic=st.booleans(),
        fields=st.lists(st.sampled_from(["core_need", "customer.name"]), unique=True).map(tuple),
        evidence=st.lists(texts, max_size=2).map(tuple),
    )
    return StageGraph(
        key=draw(st.sampled_from(["lifecycle", "sales"])),
        label=draw(labels),
        initial=draw(st.sampled_from(keys)),
        stages=tuple(Stage(key=key, label=draw(labels), final=draw(st.booleans())) for key in keys),
        transitions=tuple(draw(st.lists(moves, max_size=6))),
    )


def one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def read_mermaid(text: str):
    """Stages with their labels, arrows with their texts, the dashed and the bold arrows; every line must be known."""
    stages, arrows, dashed, bold, ends = {}, [], set(), set(), set()
    initial = None
    lines = text.splitlines()
    if lines[0].startswith("%%{"):
        css = re.fullmatch(r'%%\{init: \{"themeCSS": "(.+)"\}\}%%', lines.pop(0))[1]
        for arrow, look in ((dashed, "stroke-dasharray: 4"), (bold, "stroke-width: 3px")):
            for named in re.findall(rf"([^{{}}]+) \{{ {look} \}}", css):
                arrow |= {int(number) for number in re.findall(r"path\[id\$=edge(\d+)\]", named)}
    assert lines[:2] == ["stateDiagram-v2", "    direction LR"]
    for line in lines[2:]:
        if found := re.fullmatch(r'    state "([^":;%<>{}\\]*|(?:#\d+;|[^":;%<>{}\\#])*)" as (s\d+)', line):
            stages[found[2]] = decoded(found[1])
        elif found := re.fullmatch(r"    \[\*\] --> (s\d+)", line):
            assert initial is None and not arrows
            initial = found[1]
        elif found := re.fullmatch(r"    (s\d+) --> \[\*\]", line):
            ends.add(found[1])
        else:
            found = re.fullmatch(r"    (s\d+) --> (s\d+)(?: : ((?:#\d+;|[^\":;%<>{}\\#])+))?", line)
            assert found, line
            arrows.append((found[1], found[2], decoded(found[3] or "")))
    return stages, initial, arrows, {at - 1 for at in dashed}, {at - 1 for at in bold}, ends


def decoded(text: str) -> str:
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)


_QUOTED = r'"((?:[^"\\]|\\["\\])*)"'


def read_dot(text: str):
    stages, arrows, dashed, bold, ends = {}, [], set(), set(), set()
    initial = None
    lines = text.splitlines()
    assert re.fullmatch(rf"digraph {_QUOTED} \{{", lines[0]) and lines[-1] == "}"
    for line in lines[5:-1]:
        if found := re.fullmatch(rf"    (s\d+) \[label={_QUOTED}(, peripheries=2)?\];", line):
            stages[found[1]] = unquoted(found[2])
            ends |= {found[1]} if found[3] else set()
        elif found := re.fullmatch(r"    start -> (s\d+);", line):
            initial = found[1]
        else:
            found = re.fullmatch(
                rf"    (s\d+) -> (s\d+)(?: \[(?:label={_QUOTED})?(?:, )?(?:style=\"([a-z,]+)\")?\])?;", line
            )
            assert found, line
            for look, drawn in (("dashed", dashed), ("bold", bold)):
                if look in (found[4] or "").split(","):
                    drawn.add(len(arrows))
            arrows.append((found[1], found[2], unquoted(found[3] or "")))
    return stages, initial, arrows, dashed, bold, ends


def unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text).replace("&amp;", "&")


def expected(graph: StageGraph, language):
    names = {stage.key: f"s{at}" for at, stage in enumerate(graph.stages, 1)}
    arrows = []
    for move in graph.transitions:
        said = [AUTOMATIC.text(language)] if move.automatic else []
        for guard in move.guards:
            word = GUARD_LABELS[guard].text(language) if guard in GUARD_LABELS else guard
            moving = "customer" if graph.key == "lifecycle" else "opportunity"
            asked = {
                "fields": [field if "." in field else f"{moving}.{field}" for field in move.fields],
                "evidence": list(move.evidence),
            }.get(guard, [])
            said.append(f"{word}: {', '.join(asked)}" if asked else word)
        told = ("、" if language == "zh-CN" else ", ").join(said)
        arrows.append((names[move.source], names[move.target], one_line(f"{ROLLBACK * move.rollback} {told}")))
    return (
        {names[stage.key]: one_line(stage.label.text(language)) for stage in graph.stages},
        names[graph.initial],
        arrows,
        {at for at, move in enumerate(graph.transitions) if move.rollback},
        {at for at, move in enumerate(graph.transitions) if move.automatic},
        {names[stage.key] for stage in graph.stages if stage.final},
    )


HOSTILE = Label(zh='"#35;"; --> [*]\n%%', en='\\" &amp; \\N')


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("draw", "read"), [(mermaid, read_mermaid), (dot, read_dot)], ids=["mermaid", "dot"])
@given(graph=graphs())
@example(
    graph=StageGraph(
        key="lifecycle",
        label=HOSTILE,
        initial="end",
        stages=(Stage(key="end", label=HOSTILE),),
        transitions=(
            Transition(source="end", target="end", guards=("evidence",), evidence=(HOSTILE.zh, HOSTILE.en), rollback=True),
        ),
    )
)  # fmt: skip
def test_a_drawing_read_back_is_the_graph(draw, read, language, graph) -> None:
    assert read(draw(graph, language)) == expected(graph, language)


def test_every_guard_has_its_label() -> None:
    assert GUARD_LABELS.keys() == GUARDS.keys()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", BUNDLED)
def test_the_stages_of_every_bundled_playbook_can_be_drawn(key, language) -> None:
    playbook = load(key)
    for graph in (playbook.lifecycle, *playbook.pipelines.values()):
        for drawn in (mermaid(graph, language, playbook.fields), dot(graph, language, playbook.fields)):
            assert all(stage.label.text(language) in drawn for stage in graph.stages)
            assert "customer." not in drawn


def test_a_picture_of_seed_004_shows_what_goes_by_itself() -> None:
    lifecycle = load("integration").lifecycle
    assert '    s2 -> s3 [label="自动、合同已签订", style="bold"];\n' in dot(lifecycle, "zh-CN")
    assert "    s2 --> s3 : automatic, contract signed\n" in mermaid(lifecycle)


def test_a_picture_of_seed_000() -> None:
    playbook = load("registration")
    drawn = mermaid(playbook.lifecycle, "zh-CN", playbook.fields)
    assert '    state "意向客户-方案洽谈" as s3\n' in drawn
    assert "    s2 --> s3 : 填写#58; 核心需求\n" in drawn
    assert "    s3 --> s4 : 合同已签订\n" in drawn
    assert '    s5 -> s2 [label="↩ reason", style="dashed"];\n' in dot(playbook.lifecycle, "en", playbook.fields)
