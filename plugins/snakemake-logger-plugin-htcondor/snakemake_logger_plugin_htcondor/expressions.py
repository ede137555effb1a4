"""ClassAd expressions in parts: the bindings evaluate them, and don't show what they are made of.

Only what decides a match is taken apart: ``&&``, ``||``, ``!`` and ``?:``. All else is a leaf, which the bindings
evaluate as a whole. Grammar: HTCondor's manual, "ClassAd syntax"; from low to high, ``?:``, ``||``, ``&&`` bind.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

TOKEN = re.compile(
    r"""
    \s+
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<quoted>'(?:[^'\\]|\\.)*')
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\w*)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>=\?=|=!=|==|!=|<=|>=|&&|\|\||\?:|>>>|<<|>>|.)
    """,
    re.VERBOSE | re.DOTALL,
)
OPEN, CLOSE = "([{", ")]}"
WORDS = {"true", "false", "undefined", "error", "is", "isnt"}
OWN, OTHER = "my", "target"
ELVIS = "?:"
DISPUTED = "[?:]"  # stands among the functions of a leaf: see `_is_disputed`


@dataclass(frozen=True)
class Token:
    """A word of an expression: its kind (string, quoted, number, name or sign), its text, and where it stands."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Reference:
    """An attribute that an expression names.

    Attributes
    ----------
    name
        In lower case: ClassAds don't tell cases apart.
    scope
        ``my``, ``target``, or empty where HTCondor looks into the expression's own ad first and then into the other.
    """

    name: str
    scope: str = ""


@dataclass(frozen=True)
class Leaf:
    """A part that is evaluated as a whole."""

    text: str
    references: frozenset[Reference]
    functions: frozenset[str]
    alone: Reference | None  # the leaf is nothing but this name


@dataclass(frozen=True)
class All:
    """Parts joined by ``&&``."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Some:
    """Parts joined by ``||``."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Not:
    """``!`` before a part."""

    part: "Node"


@dataclass(frozen=True)
class Choice:
    """``condition ? yes : no``; `condition` is None in ``yes ?: no``."""

    condition: "Node | None"
    yes: "Node"
    no: "Node"


Node = Leaf | All | Some | Not | Choice


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """Take an expression apart.

    >>> parse('A && (B || "x && y" == C)').parts[1].parts[1].text
    '"x && y" == C'
    >>> parse("!(A && B)").part.parts[0].text
    'A'
    """
    return _parse(text, list(_tokens(text)))


def _tokens(text: str) -> Iterator[Token]:
    for match in TOKEN.finditer(text):
        if match.lastgroup:
            yield Token(match.lastgroup, match[0], match.start(), match.end())


def _parse(text: str, tokens: Sequence[Token]) -> Node:
    if _disputes(_signs_outside(tokens)):
        return _leaf(text, tokens)
    if (choice := _choice(text, tokens)) is not None:
        return choice
    for sign, kind in (("||", Some), ("&&", All)):
        parts = _split(tokens, sign)
        if len(parts) > 1:
            return kind(tuple(_parse(text, part) for part in parts))
    if _is_bracketed(tokens):
        return _parse(text, tokens[1:-1])
    if len(tokens) > 1 and tokens[0].text == "!" and _is_primary(tokens[1:]):
        return Not(_parse(text, tokens[1:]))
    return _leaf(text, tokens)


def _is_disputed(tokens: Sequence[Token]) -> bool:
    """Tell whether a text holds what HTCondor's parts and versions read differently.

    That is ``?:`` beside another operator with no bracket between them (it binds least in 23.9, most in the bindings'
    24.12), and a name without a scope in an ad literal, which the negotiator looks up elsewhere than the bindings do
    (both seen).
    """
    groups: list[set[str]] = [set()]
    before = Token("sign", "", 0, 0)
    for number, token in enumerate(tokens):
        sign = token.kind == "sign"
        literal = sign and token.text == "[" and before.kind == "sign" and before.text not in tuple(CLOSE)
        if literal and _looks_up(tokens[number:]):
            return True
        if sign and token.text in OPEN:
            groups.append(set())
        elif sign and token.text in (*CLOSE, ","):
            if _disputes(groups[-1]):
                return True
            groups[-1].clear()
            if token.text != "," and len(groups) > 1:
                groups.pop()
        elif _is_operator(token):
            groups[-1].add(token.text)
        before = token
    return _disputes(groups[-1])


def _looks_up(tokens: Sequence[Token]) -> bool:
    """Tell whether an ad literal, with which the tokens begin, names an attribute without a scope."""
    depth = 0
    for number, token in enumerate(tokens):
        depth += _step(token)
        if depth == 0:
            return False
        around = tokens[number - 1].text, tokens[number + 1].text if number + 1 < len(tokens) else ""
        is_own = around[1] == "=" or around[0] == "." or _name(token) in (OWN, OTHER)
        if _names(token) and not is_own and around[1] != "(":
            return True
    return False


def _signs_outside(tokens: Sequence[Token]) -> set[str]:
    """Return the operators that stand in no bracket."""
    signs, depth = set(), 0
    for token in tokens:
        depth += _step(token)
        if depth == 0 and _is_operator(token):
            signs.add(token.text)
    return signs


def _is_operator(token: Token) -> bool:
    if token.kind == "sign":
        return token.text not in (".", *CLOSE)
    return token.text.lower() in ("is", "isnt")


def _disputes(signs: set[str]) -> bool:
    return ELVIS in signs and len(signs) > 1


def _choice(text: str, tokens: Sequence[Token]) -> Choice | None:
    """Return the choice that the tokens are, if they are one: ``?:`` binds least, and from right to left."""
    depth, waiting, first = 0, 0, -1
    for number, token in enumerate(tokens):
        depth += _step(token)
        if depth or token.kind != "sign":
            continue
        if token.text == ELVIS and first < 0:
            return Choice(None, _parse(text, tokens[:number]), _parse(text, tokens[number + 1 :]))
        if token.text == "?":
            first = number if first < 0 else first
            waiting += 1
        elif token.text == ":" and first >= 0:
            waiting -= 1
            if waiting == 0:
                condition, yes, no = tokens[:first], tokens[first + 1 : number], tokens[number + 1 :]
                if not yes:  # the short form, with a space in it
                    return Choice(None, _parse(text, condition), _parse(text, no))
                return Choice(_parse(text, condition), _parse(text, yes), _parse(text, no))
    return None


def _step(token: Token) -> int:
    return 0 if token.kind != "sign" else (token.text in OPEN) - (token.text in CLOSE)


def _split(tokens: Sequence[Token], sign: str) -> list[Sequence[Token]]:
    parts, depth, start = [], 0, 0
    for number, token in enumerate(tokens):
        depth += _step(token)
        if depth == 0 and token.kind == "sign" and token.text == sign:
            parts.append(tokens[start:number])
            start = number + 1
    return [*parts, tokens[start:]]


def _is_bracketed(tokens: Sequence[Token]) -> bool:
    """Tell whether one pair of brackets holds all of it."""
    if len(tokens) < 3 or tokens[0].text != "(" or tokens[-1].text != ")":
        return False
    depth = 0
    for token in tokens[:-1]:
        depth += _step(token)
        if depth == 0:
            return False
    return True


def _is_primary(tokens: Sequence[Token]) -> bool:
    """Tell whether ``!`` before these takes all of them."""
    if tokens[0].text == "!":
        return len(tokens) > 1 and _is_primary(tokens[1:])
    if _is_bracketed(tokens) or len(tokens) == 1:
        return True
    if _scoped(tokens):
        return True
    return tokens[0].kind == "name" and _is_bracketed(tokens[1:]) if len(tokens) > 3 else False


def _scoped(tokens: Sequence[Token]) -> Reference | None:
    """Return the attribute that the tokens name, where they do nothing else."""
    if len(tokens) == 1 and _names(tokens[0]):
        return Reference(_name(tokens[0]))
    if len(tokens) == 3 and tokens[1].text == "." and tokens[0].text.lower() in (OWN, OTHER) and _names(tokens[2]):
        return Reference(_name(tokens[2]), tokens[0].text.lower())
    return None


def _names(token: Token) -> bool:
    return token.kind == "quoted" or (token.kind == "name" and token.text.lower() not in WORDS)


def _name(token: Token) -> str:
    return (token.text[1:-1] if token.kind == "quoted" else token.text).lower()


def _leaf(text: str, tokens: Sequence[Token]) -> Leaf:
    references, functions = set(), {DISPUTED} if _is_disputed(tokens) else set()
    for number, token in enumerate(tokens):
        if not _names(token):
            continue
        before = tokens[number - 1].text if number else ""
        after = tokens[number + 1].text if number + 1 < len(tokens) else ""
        if after == "(":
            functions.add(_name(token))
        elif before == ".":
            scope = tokens[number - 2].text.lower() if number > 1 else ""
            if scope in (OWN, OTHER):
                references.add(Reference(_name(token), scope))
        elif not (after == "." and _name(token) in (OWN, OTHER)):
            references.add(Reference(_name(token)))
    span = text[tokens[0].start : tokens[-1].end] if tokens else ""
    return Leaf(span, frozenset(references), frozenset(functions), _scoped(tokens))


def conjuncts(node: Node) -> tuple[Node, ...]:
    """Return the clauses that must all hold.

    >>> len(conjuncts(parse("A && (B && C) && (D || E)")))
    4
    """
    if isinstance(node, All):
        return tuple(clause for part in node.parts for clause in conjuncts(part))
    return (node,)


def unparse(node: Node) -> str:
    """Return a part as text again, with the fewest brackets that keep its meaning plain.

    >>> unparse(parse("((A) && (B || !(C)))"))
    'A && (B || !C)'
    """
    if isinstance(node, Leaf):
        return node.text
    if isinstance(node, Not):
        inner = unparse(node.part)
        simple = isinstance(node.part, Leaf) and node.part.alone is not None
        return f"!{inner}" if simple else f"!({inner})"
    if isinstance(node, Choice):
        first = [] if node.condition is None else [node.condition]
        words = [
            unparse(part) if isinstance(part, Leaf) else f"({unparse(part)})" for part in [*first, node.yes, node.no]
        ]
        return f"{words[0]} ?: {words[1]}" if len(words) == 2 else f"{words[0]} ? {words[1]} : {words[2]}"
    sign = " && " if isinstance(node, All) else " || "
    return sign.join(unparse(part) if isinstance(part, Leaf | Not) else f"({unparse(part)})" for part in node.parts)
