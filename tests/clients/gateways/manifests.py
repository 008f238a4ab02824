"""Holds the manifests under tools/gateways/kubernetes against the schemas of their kinds.

    manifests.py CRDS MANIFEST...

Kubernetes's own kinds are held against kubernetes-validate's copy of its OpenAPI document, strictly: a member that is not in it is a
mistake. The others are held against the custom resource definitions in the directory CRDS. Each document is a line of the output.
"""

import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.37"
# libyaml, where PyYAML has it: the definitions are long.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def definitions(directory):
    """The schema of each version of each kind that is defined there."""
    found = {}
    for file in sorted(pathlib.Path(directory).rglob("*.yaml")):
        for document in yaml.load_all(file.read_text(), LOADER):
            if not document or document.get("kind") != "CustomResourceDefinition":
                continue
            spec = document["spec"]
            for version in spec["versions"]:
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                found[key] = closed(version["schema"]["openAPIV3Schema"])
    return found


def closed(schema):
    """The schema without members that it does not name, as the API server refuses them with --validate=strict."""
    schema = dict(schema)
    # What stands under oneOf, anyOf and not names members of the schema around it.
    if "properties" in schema:
        schema["properties"] = {name: closed(inner) for name, inner in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            schema[name] = closed(schema[name])
    return schema


def check(document, known):
    key = (document["apiVersion"], document["kind"])
    if key not in known:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return "kubernetes"
    schema = known[key]
    # What every object has; its form is the API server's own.
    envelope = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    schema["properties"] |= envelope
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(document))
    if error:
        sys.exit(f"{key}: {error.json_path}: {error.message}")
    return "definition"


def main():
    known = definitions(sys.argv[1])
    for file in sys.argv[2:]:
        for document in yaml.load_all(pathlib.Path(file).read_text(), LOADER):
            by = check(document, known)
            print(f"{pathlib.Path(file).name} {document['apiVersion']} {document['kind']} {by}")


main()
