"""Checks as YAML, read and written. Errors name the line.

checks:
  - name: orders
    level: error
    rules:
      - isComplete: id
      - hasSize: ">= 100"
      - hasMean: {column: price, assertion: between 5 and 50, where: "country = 'KR'"}
      - any: [{isUnique: id}, {isUnique: code}]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from hanok.core.checks import METHODS, SNAKE, Check, Combined, Constraint, Rule, constraint
from hanok.core.errors import Invalid, Unreadable


def parse_checks(text: str, *, name: str = "checks.yaml") -> list[Check]:
    """Read a file of checks. Raises Unreadable with the line of what is wrong."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise Unreadable(f"{name}, line {line}: this is no YAML: {error.problem}", line=line) from None
    reader = _Reader(name)
    if root is None:
        raise Unreadable(f"{name} is empty; it begins with 'checks:'", line=1)
    return reader.checks(root)


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name

    def _fail(self, node: Any, what: str) -> NoReturn:
        line = node.start_mark.line + 1
        raise Unreadable(f"{self._name}, line {line}: {what}", line=line)

    def checks(self, root: Any) -> list[Check]:
        members = self._mapping(root, "the file", ("checks",))
        if "checks" not in members:
            self._fail(root, "expected 'checks:' with a list")
        return [self._check(node) for node in self._list(members["checks"], "checks")]

    def _check(self, node: Any) -> Check:
        members = self._mapping(node, "a check", ("name", "level", "rules"))
        if "rules" not in members:
            self._fail(node, "a check needs 'rules'")
        level = self._plain(members["level"]) if "level" in members else "error"
        if level not in ("error", "warning"):
            self._fail(members["level"], f"level is error or warning, not {level!r}")
        name = str(self._plain(members["name"])) if "name" in members else "checks"
        rules = tuple(self._rule(rule) for rule in self._list(members["rules"], "rules"))
        return Check(name, "error" if level == "error" else "warning", rules)

    def _rule(self, node: Any) -> Rule:
        if node.id != "mapping" or len(node.value) != 1:
            self._fail(node, "a rule is one method with its arguments, like 'isComplete: id'")
        key, value = node.value[0]
        method = str(self._plain(key))
        if method in ("all", "any"):
            rules = tuple(self._rule(n) for n in self._list(value, method))
            return Combined("and" if method == "all" else "or", rules)
        if method not in METHODS and method not in SNAKE:
            self._fail(key, f"there is no check {method!r}; there are {', '.join(sorted(METHODS))}")
        arguments = self._plain(value)
        try:
            if isinstance(arguments, dict):
                where = str(arguments.pop("where", ""))
                return constraint(method, where=where, **arguments)
            parameters = METHODS.get(method) or METHODS[SNAKE[method]]
            if isinstance(arguments, list) and parameters.parameters[0] != "columns":
                return constraint(method, *arguments)
            return constraint(method, arguments)
        except Invalid as error:
            self._fail(value, error.message)
        except TypeError as error:
            self._fail(value, f"{method}: {error}")

    def _mapping(self, node: Any, what: str, known: Sequence[str]) -> dict[str, Any]:
        if node.id != "mapping":
            self._fail(node, f"{what} is a mapping with {', '.join(known)}")
        members = {}
        for key, value in node.value:
            name = self._plain(key)
            if name not in known:
                self._fail(key, f"{what} has no {name!r}; it has {', '.join(known)}")
            members[name] = value
        return members

    def _list(self, node: Any, what: str) -> list[Any]:
        if node.id != "sequence":
            self._fail(node, f"{what} is a list")
        return list(node.value)

    def _plain(self, node: Any) -> Any:
        import yaml

        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            self._fail(node, str(error.problem))
        finally:
            loader.dispose()


def write_checks(checks: Sequence[Check]) -> str:
    """Checks as YAML that reads back as the same. Raises Invalid for an assertion that is a Python function."""
    import yaml

    body = {"checks": [{"name": c.name, "level": c.level, "rules": [_written(r) for r in c.rules]} for c in checks]}
    return str(yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=110))


def _written(rule: Rule) -> Mapping[str, Any]:
    if isinstance(rule, Combined):
        return {"all" if rule.op == "and" else "any": [_written(r) for r in rule.rules]}
    return {rule.method: _arguments(rule)}


def _arguments(rule: Constraint) -> Any:
    if callable(rule.must):
        raise Invalid(f"{rule.text}: an assertion that is a Python function has no text; write it as '>= 0.9'")
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in rule.arguments if k != "assertion"}
    if rule.must.text != METHODS[rule.method].default:
        given["assertion"] = rule.must.text
    extra = {k: v for k, v in rule.metric.options if k == "keys"}
    if rule.metric.where:
        given["where"] = rule.metric.where
    if extra:
        raise Invalid(f"{rule.text}: YAML has no word for keys of another name; rename the column in the reference")
    if len(given) == 1 and not isinstance(only := next(iter(given.values())), list):
        return only
    return given
