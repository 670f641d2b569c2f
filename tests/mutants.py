"""Small faults, made in the source of a right answer one at a time."""

import ast
import copy

OPERATORS = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div, ast.Add], ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult], ast.MatMult: [ast.Mult],
    ast.Lt: [ast.LtE], ast.Gt: [ast.GtE], ast.And: [ast.Or], ast.Or: [ast.And],
    ast.Is: [ast.IsNot], ast.IsNot: [ast.Is], ast.In: [ast.NotIn], ast.NotIn: [ast.In],
}  # fmt: skip
RENAMED = {
    "mean": ["sum"], "sum": ["mean"], "terminated": ["truncated"], "truncated": ["terminated"],
    "argmax": ["argmin"], "sigmoid": ["tanh"], "tanh": ["sigmoid"], "sample": ["rsample"],
    "zeros_like": ["ones_like"], "zeros": ["ones"], "state": ["next_state"],
    "next_state": ["state"], "var": ["std"], "low": ["high"], "high": ["low"],
    "log_softmax": ["softmax"], "entropy": ["perplexity"],
}  # fmt: skip
AROUND = ["({}).detach()", "({}).double()", "({}).half()", "-({})", "({}) + 1e-3", "({}) * 1.01",
          "({}).flip(0)", "({})[:-1]", "({}).abs()"]  # fmt: skip


def changes(node: ast.AST) -> list[ast.AST]:
    """What may stand in the place of this node."""
    found = []
    if isinstance(node, ast.BinOp):
        found += [node.left, node.right]
        for other in OPERATORS.get(type(node.op), []):
            found.append(ast.BinOp(node.left, other(), node.right))
        if isinstance(node.op, (ast.Sub, ast.Div, ast.Pow)):
            found.append(ast.BinOp(node.right, node.op, node.left))
    elif isinstance(node, ast.BoolOp):
        found += node.values
        found += [ast.BoolOp(other(), node.values) for other in OPERATORS[type(node.op)]]
    elif isinstance(node, ast.UnaryOp):
        found.append(node.operand)
    elif isinstance(node, ast.Compare):
        for other in OPERATORS.get(type(node.ops[0]), []):
            found.append(ast.Compare(node.left, [other()], node.comparators))
    elif isinstance(node, ast.IfExp):
        found += [node.body, node.orelse]
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        found += [ast.Constant(value) for value in (node.value + 1, node.value - 1)]
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        found.append(ast.Constant(not node.value))
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            found.append(node.func.value)  # without the call
        if len(node.args) > 1:
            found.append(ast.Call(node.func, node.args[::-1], node.keywords))
        if node.keywords:
            found.append(ast.Call(node.func, node.args, node.keywords[1:]))
    elif isinstance(node, ast.Slice):
        found.append(ast.Slice(node.upper, node.lower, node.step))
    elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
        key = "id" if isinstance(node, ast.Name) else "attr"
        for other in RENAMED.get(getattr(node, key), []):
            changed = copy.deepcopy(node)
            setattr(changed, key, other)
            found.append(changed)
    elif isinstance(node, (ast.Return, ast.Assign)) and node.value is not None:
        parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        for k, part in enumerate(parts):
            for around in AROUND:
                text = around.format(ast.unparse(part))
                other = [*parts[:k], ast.parse(text, mode="eval").body, *parts[k + 1 :]]
                changed = copy.copy(node)
                changed.value = ast.Tuple(other, ast.Load()) if len(parts) > 1 else other[0]
                found.append(changed)
        if len(parts) == 2:
            changed = copy.copy(node)
            changed.value = ast.Tuple(parts[::-1], ast.Load())
            found.append(changed)
        if isinstance(node, ast.Assign):
            found.append(ast.Pass())
    elif isinstance(node, (ast.Expr, ast.AugAssign, ast.Break)):
        found.append(ast.Pass())
    elif isinstance(node, ast.If):
        found += [ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse), ast.Pass()]
    elif isinstance(node, ast.For):
        found.append(ast.For(node.target, node.iter, [*node.body, ast.Break()], []))
    return found


def mutants(source: str) -> list[str]:
    """The source with one fault each."""
    tree, found = ast.parse(source), {}
    docstrings = {
        id(node.body[0])
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node)
    }
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            many = isinstance(value, list)
            for k, node in enumerate(value if many else [value]):
                if not isinstance(node, ast.AST) or id(node) in docstrings:
                    continue
                for other in changes(node):
                    if many:
                        value[k] = other
                    else:
                        setattr(parent, name, other)
                    found[ast.unparse(ast.fix_missing_locations(tree))] = None
                    if many:
                        value[k] = node
                    else:
                        setattr(parent, name, node)
    found.pop(ast.unparse(tree), None)
    return list(found)
