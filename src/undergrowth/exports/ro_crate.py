"""RO-Crate 1.1 (https://w3id.org/ro/crate/1.1): published results as a data set that can be cited."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from undergrowth.exports.format import OfResults
from undergrowth.plain_text import json_text
from undergrowth.published.reading import (
    ABOUT,
    ARMS,
    CURVES,
    RESTORE,
    RUNS,
    VALUES,
    VERDICTS,
    Published,
    ResultsError,
    digest,
)
from undergrowth.store.files import write_whole

METADATA = "ro-crate-metadata.json"
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
LICENCE = "https://spdx.org/licenses/MIT"
FILES = {
    ABOUT: ("application/json", "Budget, seeds, date, commands, versions, and a digest of each file"),
    ARMS: ("application/json", "The spec of each arm, from which its runs can be trained again"),
    RUNS: ("application/json", "Seeds, forks, events and end of each run"),
    CURVES: (
        "application/x-npz",
        "Readings of each run over training steps, as columns of numpy arrays",
    ),
    VALUES: ("text/csv", "A row for each endpoint and seed"),
    VERDICTS: ("application/json", "Ruling, effect and interval of each endpoint, scored predictions"),
}
"""By name the media type of each file, and what is in it."""

Entity = dict[str, Any]


def write(its: Published, folder: Path) -> None:
    """Write `ro-crate-metadata.json` for the files of a study, with copies of them where the folder is
    another one.

    It has a digest of each file, the commands, the versions of the software, and the ruling, effect and
    interval of each primary endpoint. Authors are not known to it: add `author` to its data set. Raises
    ResultsError where a file is not as it was published.
    """
    contents = {name: _intact(its, name) for name in FILES}
    if folder.resolve() != its.where.resolve():
        for name, content in contents.items():
            write_whole(folder / name, content)
    graph = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": {"@id": SPECIFICATION},
            "about": {"@id": "./"},
        },
        *_data_set(its),
        *(_file(name, content) for name, content in contents.items()),
        *_training(its),
    ]
    crate = {"@context": f"{SPECIFICATION}/context", "@graph": graph}
    write_whole(folder / METADATA, (json_text(crate) + "\n").encode())


def _intact(its: Published, name: str) -> bytes:
    path = its.where / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}: {RESTORE}") from None
    if name != ABOUT and digest(content) != its.about["files"].get(name):
        raise ResultsError(f"{path}: its bytes are not those that were published: {RESTORE}")
    return content


def _data_set(its: Published) -> list[Entity]:
    """The data set as a whole, its licence, and the endpoints that decided its claims."""
    endpoints = [_endpoint(v) for v in its.verdicts if v["primary"]]
    whole = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Results of the study {its.study}",
        "description": f"{_question(its.study)} {its.in_words}.".strip(),
        "datePublished": its.about["date"],
        "license": {"@id": LICENCE},
        "hasPart": _all(FILES),
        "mentions": {"@id": "#training"},
        "variableMeasured": [{"@id": each["@id"]} for each in endpoints],
    }
    licence = {
        "@id": LICENCE,
        "@type": "CreativeWork",
        "name": "MIT License",
        "description": "Free to use, change and pass on, with the licence's text",
    }
    return [whole, licence, *endpoints]


def _question(study: str) -> str:
    """What the study asks; nothing of one that the package does not have."""
    from undergrowth.studies import STUDIES

    return STUDIES[study].question if study in STUDIES else ""


def _endpoint(verdict: Mapping[str, Any]) -> Entity:
    low, high = verdict["interval"] or (None, None)
    numbers = {"value": verdict["effect"], "minValue": low, "maxValue": high}
    return {
        "@id": f"#claim-{verdict['claim']}",
        "@type": "PropertyValue",
        "name": f"{verdict['claim']}: {verdict['endpoint']}",
        "description": f"{verdict['ruling']}: {verdict['says']}",
        **{name: number for name, number in numbers.items() if number is not None},
    }


def _file(name: str, content: bytes) -> Entity:
    media_type, says = FILES[name]
    return {
        "@id": name,
        "@type": "File",
        "name": name,
        "description": says,
        "encodingFormat": media_type,
        "contentSize": str(len(content)),
        "sha256": digest(content),
    }


def _training(its: Published) -> list[Entity]:
    """What made the files: the commands, and the software with its versions."""
    software = [
        {
            "@id": f"#{name}-{version}",
            "@type": "SoftwareApplication",
            "name": name,
            "version": version,
            "softwareVersion": version,
        }
        for name, version in its.about["versions"].items()
    ]
    training = {
        "@id": "#training",
        "@type": "CreateAction",
        "name": f"Training and answering {its.study}",
        "description": "\n".join(its.about["commands"]),
        "endTime": its.about["date"],
        "instrument": [{"@id": each["@id"]} for each in software],
        "result": _all(FILES),
    }
    return [training, *software]


def _all(names: Mapping[str, Any]) -> list[Entity]:
    return [{"@id": name} for name in names]


FORMAT = OfResults("published results as a data set to cite, with digests, versions and commands", write)
