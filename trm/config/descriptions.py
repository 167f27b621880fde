"""What a field says of itself: the text under it in its class. Read when somebody asks, because no process that trains does.

pydantic can keep it with every class (`use_attribute_docstrings`), and then reads the sources whenever they are imported.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping

from pydantic import BaseModel


def described(model: type[BaseModel], field: str) -> str:
    """The description of a model's field; empty where it has none."""
    given = model.model_fields[field].description
    texts = (_texts(base).get(field) for base in model.__mro__ if field in vars(base).get("__annotations__", {}))
    return given or next(texts, None) or ""


@functools.cache
def _texts(model: type) -> Mapping[str, str]:
    """Field -> the text that stands under it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(said))):
                found[name] = inspect.cleandoc(said)
    return found
