"""The OpenAPI document of the HTTP API, made from its models and from what can be asked for."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from pipeline.web.answers import Page, Problem
from pipeline.web.asked import Parameters, StreamParameters
from pipeline.web.catalogue import Catalogue
from pipeline.web.listings import Listing
from pipeline.web.parameters import allowed

API: Final = "/api/v1"
_REFS: Final = "#/components/schemas/{model}"
_STREAM: Final = (
    "Server-sent events, each with JSON data. `signals`: rows as arrays under `columns`, times in ms since the "
    "epoch; the first holds all (`whole`), later ones what is new or has changed; n = 0 takes a row back. "
    "`usual`: of each signal of the segment what is usual at this hour. `funnels`, `alerts`: as their addresses "
    "give them. `vitals`: how the worker is, every second. `trouble`: the store does not answer. A client that "
    "does not keep up is let go; whoever connects again is sent everything first."
)


def openapi(listings: Sequence[Listing], names: Catalogue) -> dict[str, Any]:
    """OpenAPI 3.1."""
    pages = {listing.row: Page[listing.row] for listing in listings}  # type: ignore[name-defined]  # made at run time, pydantic allows it
    modes = [(model, "serialization") for model in (*pages.values(), Problem)]
    refs, definitions = models_json_schema(modes, ref_template=_REFS)  # type: ignore[arg-type]  # str for Literal
    paths = {
        f"{API}/{listing.path}": _path(
            listing.path,
            listing.summary,
            _parameters(listing.parameters, names),
            {"application/json": {"schema": refs[pages[listing.row], "serialization"]}},
        )
        for listing in listings
    }
    stream = _parameters(StreamParameters, names)
    paths[f"{API}/stream"] = _path(
        "stream", "All of this as it changes", stream, {"text/event-stream": {}}, _STREAM
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cx-signals",
            "version": version("cx-signals"),
            "description": "How satisfied customers are and where they give up: now, over time, and as it "
            "changes. Read-only. Any worker answers for all of them.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "CX_WEB__TOKEN"}},
        },
        "security": [{}, {"token": []}],
    }


def _path(
    name: str, summary: str, parameters: list[dict[str, Any]], content: dict[str, Any], description: str = ""
) -> dict[str, Any]:
    trouble = {
        "400": "A parameter is not allowed; what is, is said.",
        "401": "A token is needed.",
        "503": "The store does not answer, or too much is asked at once.",
    }
    of_problem = {"application/problem+json": {"schema": {"$ref": _REFS.format(model="Problem")}}}
    operation = {
        "operationId": name.replace("/", "_"),
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": {"description": summary, "content": content}}
        | {status: {"description": text, "content": of_problem} for status, text in trouble.items()},
    }
    return {"get": operation | ({"description": description} if description else {})}


def _parameters(model: type[Parameters], names: Catalogue) -> list[dict[str, Any]]:
    schema = model.model_json_schema(by_alias=True)
    required = schema.get("required", [])
    found = []
    for name, given in schema["properties"].items():
        one = _without_null(given)
        text = one.pop("description", "")
        if name in allowed(names):
            one = {"type": "string", "enum": list(allowed(names)[name])}
        elif name == "segment":  # of several dimensions only in alphabetical order, which no pattern says
            one["pattern"] = rf"^(all|({'|'.join(names.known_dimensions)})=[^|=]+)$"
        parameter = {"name": name, "in": "query", "required": name in required, "schema": one}
        found.append(parameter | {"description": text})
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """In an address nothing can be null: it is left out."""
    found = {key: value for key, value in schema.items() if key not in ("title", "anyOf")}
    if found.get("default", "") is None:
        del found["default"]
    for one in schema.get("anyOf", []):
        if one.get("type") != "null":
            found |= {key: value for key, value in one.items() if key != "title"}
    return found
