"""Loading a project: every declared file into frozen records, or every problem of all of them at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from proveout.project.datasets import DatasetError, read_examples
from proveout.project.documents import Document
from proveout.project.problems import Problem, ProjectError, suggestion
from proveout.project.reading import Reader
from proveout.project.records import DatasetKind, Environment, Host, LongContext, Price, Project, Secret
from proveout.project.services import KnownScorers, ServiceFolder, read_service
from proveout.project.shapes import ProjectFile

if TYPE_CHECKING:
    from proveout.project.shapes import PriceShape

PROJECT_FILE = "proveout.yaml"
DEFAULT_STORE = ".proveout/store.db"


class Survey(msgspec.Struct, frozen=True):
    """A project as far as it could be read: all that is wrong with its files, and its services' folders. `project` is
    None where anything is wrong.
    """

    project: Project | None
    problems: list[Problem]
    folders: list[ServiceFolder]


def load_project(start: Path | str = ".", *, known_scorers: KnownScorers | None = None) -> Project:
    """The project in this folder, or in the nearest folder above it that has a `proveout.yaml`.

    `known_scorers` are the registered scorers' names with their parameters' names; without it, scorers are taken as
    they stand.

    Raises:
        ProjectError: there is no project, or its files have problems; it names them all.
    """
    survey = survey_project(start, known_scorers=known_scorers)
    if survey.project is None:
        raise ProjectError(survey.problems)
    return survey.project


def survey_project(start: Path | str = ".", *, known_scorers: KnownScorers | None = None) -> Survey:
    """What `load_project` reads, also where something is wrong with it: for those who then look at the data as well.

    Raises:
        ProjectError: there is no project.
    """
    root = find_root(Path(start))
    reader = Reader(root)
    settings = reader.document(root / PROJECT_FILE, ProjectFile)
    prices, hosts = _read_prices(reader)
    reader.hosts = None if hosts is None else tuple(host.name for host in hosts)
    folders = _read_services(reader, known_scorers)
    environments = _read_environments(reader, folders)
    if reader.problems or settings is None:
        return Survey(None, reader.problems, folders)
    _, shape = settings
    project = Project(
        name=shape.project,
        root=root,
        store_url=_store_url(root, shape.store),
        services={folder.name: folder.service for folder in folders if folder.service is not None},
        environments=environments,
        prices=prices,
        hosts=hosts or (),
        settings={"defaults": shape.defaults.model_dump(exclude_none=True), "telemetry": _telemetry(shape)},
    )
    return Survey(project, [], folders)


def count_examples(folder: ServiceFolder, problems: list[Problem]) -> dict[DatasetKind, int]:
    """How many examples each of a service's datasets holds. What is wrong with their rows is added to the problems."""
    counts: dict[DatasetKind, int] = {}
    for kind, ref in folder.datasets.items():
        try:
            counts[kind] = sum(1 for _ in read_examples(ref, folder.inputs))
        except DatasetError as error:
            problems += error.listed()
    return counts


def find_root(start: Path) -> Path:
    """The folder of the nearest `proveout.yaml`, here or upward.

    Raises:
        ProjectError: there is none.
    """
    here = start.resolve()
    if here.name == PROJECT_FILE and here.is_file():
        here = here.parent
    for folder in (here, *here.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    what = "there is no such file in this folder or any above it" if here.is_dir() else "there is no such folder"
    instead = "Run `proveout init`, or name a project's folder with --project."
    raise ProjectError([Problem(PROJECT_FILE, None, None, "", what, instead)])


def _read_services(reader: Reader, known_scorers: KnownScorers | None) -> list[ServiceFolder]:
    parent = reader.root / "services"
    folders = [entry for entry in sorted(parent.iterdir()) if _is_service(entry)] if parent.is_dir() else []
    if not folders:
        what, instead = "the project has no service", "Write services/NAME/service.yaml."
        reader.problems.append(Problem("services", None, None, "", what, instead))
    return [read_service(reader, folder, known_scorers) for folder in folders]


def _is_service(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith((".", "_"))


def _read_environments(reader: Reader, folders: list[ServiceFolder]) -> dict[str, Environment]:
    environments = [
        _read_environment(reader, path, folders) for path in reader.yaml_files(reader.root / "environments")
    ]
    return {environment.name: environment for environment in environments if environment is not None}


def _read_environment(reader: Reader, path: Path, folders: list[ServiceFolder]) -> Environment | None:
    from proveout.project.shapes import EnvironmentFile

    before = len(reader.problems)
    read = reader.document(path, EnvironmentFile)
    if read is None:
        return None
    document, shape = read
    reader.name_matches(document, "environment", shape.environment, path.stem, "file")
    variants = {folder.name: folder.variant_names for folder in folders}
    for service, release in (shape.releases or {}).items():
        if service not in variants:
            problem = document.problem(
                ("releases", service), f"there is no service `{service}`", suggestion(service, variants), key=True
            )
            reader.problems.append(problem)
            continue
        for field in ("champion", "fallback"):
            name = getattr(release, field)
            if name is not None and name not in variants[service]:
                what = f"{service} has no variant `{name}`"
                reader.problems.append(
                    document.problem(("releases", service, field), what, suggestion(name, variants[service]))
                )
    if len(reader.problems) > before:
        return None
    return Environment(
        name=shape.environment,
        path=path,
        releases={service: release.model_dump(exclude_none=True) for service, release in shape.releases.items()},
        targets=tuple(shape.targets),
        approvals=shape.approvals,
    )


def _read_prices(reader: Reader) -> tuple[tuple[Price, ...], tuple[Host, ...] | None]:
    """Prices and hosts; no hosts (None) where the file has problems, so that nothing is held against it."""
    path = reader.root / "prices.yaml"
    if not path.exists():
        return (), ()
    from proveout.project.shapes import PricesFile

    before = len(reader.problems)
    read = reader.document(path, PricesFile)
    if read is None:
        return (), None
    sound = len(reader.problems) == before
    document, shape = read
    prices = [_price(price) for price in shape.prices or []]
    hosts = [Host(**host.model_dump()) for host in shape.hosts or []]
    _refuse_second(reader, document, "prices", [(price.provider, price.model, price.since) for price in prices])
    _refuse_second(reader, document, "hosts", [(host.name, host.since) for host in hosts])
    return tuple(prices), tuple(hosts) if sound else None


def _price(shape: PriceShape) -> Price:
    fields = shape.model_dump()
    long_context = fields.pop("long_context")
    return Price(**fields, long_context=LongContext(**long_context) if long_context else None)


def _refuse_second(reader: Reader, document: Document, section: str, keys: list[tuple[str, ...]]) -> None:
    """Nothing has two prices from one day on."""
    seen: dict[tuple[str, ...], int] = {}
    for index, key in enumerate(keys):
        first = seen.setdefault(key, index)
        if first != index:
            *_, name, since = key
            line, _ = document.position((section, first))
            what = f"{name} already has a price from {since} on, on line {line}"
            reader.problems.append(document.problem((section, index), what, "Keep one of them, or mend its `since`."))


def _store_url(root: Path, declared: str | None) -> str:
    """The store's address: a relative SQLite file is meant from the project's folder; an unset reference stays as it
    is.
    """
    url = declared or f"sqlite:///{DEFAULT_STORE}"
    if url.startswith(("env:", "file:")):
        try:
            url = Secret(url).resolve()
        except LookupError:
            return url
    kind, separator, path = url.partition(":///")
    relative = kind == "sqlite" and separator and not path.startswith("/")
    return f"sqlite:///{root / path}" if relative else url


def _telemetry(shape: ProjectFile) -> dict[str, Any]:
    telemetry = shape.telemetry.model_dump(exclude_none=True)
    telemetry["headers"] = {
        name: Secret(value) if value.startswith(("env:", "file:")) else value
        for name, value in telemetry["headers"].items()
    }
    return telemetry
