"""What the manifests here use of Kubernetes' and KubeRay's schemas, written to k8s/schemas/.

`python k8s/cut_schemas.py KIND=FULL.schema.json ...`. The whole schemas are megabytes. What is cut from them knows no other field
than the manifests have, and asks of those what the whole one asks: a misspelt field, a wrong type, one that is missing are found;
a field that is new here is refused until its schema is cut again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
KEPT = (
    "type",
    "enum",
    "const",
    "format",
    "minimum",
    "maximum",
    "minItems",
    "minLength",
    "maxLength",
    "pattern",
    "required",
    "anyOf",
    "oneOf",
)


def cut(schema: dict[str, Any], file: Path, values: list[Any]) -> dict[str, Any]:
    """The part of a file's schema that says anything of `values`, which stand at its place."""
    if "$ref" in schema:
        name, _, pointer = schema["$ref"].partition("#")
        target = file.with_name(Path(name).name) if name else file
        found = json.loads(target.read_text())
        for key in pointer.strip("/").split("/"):
            found = found[key]
        return cut(found, target, values)
    rest = {key: schema[key] for key in KEPT if key in schema}
    objects = [value for value in values if isinstance(value, dict)]
    if "properties" in schema:
        used = sorted({key for one in objects for key in one if key in schema["properties"]})
        rest["properties"] = {
            key: cut(schema["properties"][key], file, [one[key] for one in objects if key in one]) for key in used
        }
        rest["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        inner = [value for one in objects for value in one.values()]
        rest["additionalProperties"] = cut(schema["additionalProperties"], file, inner)
    if "items" in schema:
        inner = [item for value in values if isinstance(value, list) for item in value]
        rest["items"] = cut(schema["items"], file, inner)
    return rest


def manifests(kind: str) -> list[dict[str, Any]]:
    """The manifests of a kind, from all files here."""
    found = [one for path in sorted(HERE.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    return [one for one in found if one["kind"] == kind]


def main() -> None:
    """Write the schema of each kind that is named."""
    for argument in sys.argv[1:]:
        kind, _, full = argument.partition("=")
        schema = json.loads(Path(full).read_text())
        schema["properties"]["kind"] = {"const": kind}
        schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
        small = cut(schema, Path(full), manifests(kind))
        (HERE / "schemas" / f"{kind}.schema.json").write_text(json.dumps(small, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
