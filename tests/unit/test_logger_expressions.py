"""ClassAd expressions in parts: what decides a match is taken apart, and nothing else is."""

import classad2 as classad
import pytest
from snakemake_logger_plugin_htcondor.expressions import All, Choice, Leaf, Not, Some, conjuncts, parse, unparse


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("A && B", ["A", "B"]),
        ("(A && B) && (C)", ["A", "B", "C"]),
        ("A || B && C", ["A || (B && C)"]),
        ('Name == "a && b" && C', ['Name == "a && b"', "C"]),
        ('Name == "quote \\" && (" && C', ['Name == "quote \\" && ("', "C"]),
        ("A ? B && C : D", ["A ? (B && C) : D"]),
        ("member(A, {B && C, D}) && E", ["member(A, {B && C, D})", "E"]),
        ("'odd && name' > 1 && C", ["'odd && name' > 1", "C"]),
    ],
)
def test_clauses_are_split_where_they_are_joined(text, clauses):
    assert [unparse(clause) for clause in conjuncts(parse(text))] == clauses


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("!(A && B)", Not),
        ("!A == B", Leaf),  # the sign binds to A alone
        ("!f(x, y)", Not),
        ("!!A", Not),
        ("A ?: B", Choice),
        ("A ? : B", Choice),
        ("A ? B ? C : D : E", Choice),
        ("A || B", Some),
        ("((A && B))", All),
        ("(A || B) == C", Leaf),
        ("{A || B}[0]", Leaf),
    ],
)
def test_kinds(text, kind):
    assert isinstance(parse(text), kind)


def test_references_tell_scopes_and_no_functions_words_or_strings():
    leaf = parse('regexp("x", TARGET.Name) == MY.Flag && true').parts[0]
    assert {(reference.scope, reference.name) for reference in leaf.references} == {("target", "name"), ("my", "flag")}
    assert leaf.functions == {"regexp"}


@pytest.mark.parametrize(
    "text",
    [
        "A && !(B || C) && (D ? E : F || G)",
        "(A ?: B) && C",
        '!(A == "x") || (B && (C || D))',
        "A ? (B ? C : D) : (E && F)",
    ],
)
def test_what_is_put_together_again_means_the_same(text):
    names = "ABCDEFG"
    for number in range(3**4):
        values = {name: (True, False, None)[number // 3 ** (place % 4) % 3] for place, name in enumerate(names)}
        ad = classad.ClassAd({name: value for name, value in values.items() if value is not None})
        assert classad.ExprTree(text).eval(ad) == classad.ExprTree(unparse(parse(text))).eval(ad), values
