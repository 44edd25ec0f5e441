"""Reading `variants/NAME.yaml` of a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from proveout.project.documents import Document
from proveout.project.fingerprint import fingerprint
from proveout.project.json_text import parse_json
from proveout.project.patterns import compiled
from proveout.project.problems import FieldPath, Problem, suggestion
from proveout.project.processing import normalised_steps
from proveout.project.prompt_files import PromptFile, check_variables, read_prompt
from proveout.project.prompts import Prompt
from proveout.project.reading import Reader
from proveout.project.records import Lineage, Machine, OutputContract, Variant
from proveout.project.shapes import PairShape, VariantFile
from proveout.project.validation import validated

Pair = tuple[Mapping[str, Any], Any]


class VariantReader(msgspec.Struct):
    """Reads the variants of one service. `inputs` and `output` are None where the service's own file doesn't say
    them soundly.
    """

    reader: Reader
    folder: Path
    inputs: tuple[str, ...] | None
    output: OutputContract | None
    _prompts: dict[Path, PromptFile | None] = {}

    def read(self, path: Path) -> Variant | None:
        """A variant, or None and its problems."""
        before = len(self.reader.problems)
        read = self.reader.document(path, VariantFile)
        if read is None:
            return None
        document, shape = read
        self.reader.name_matches(document, "variant", shape.variant, path.stem, "file")
        model = shape.model and self.reader.model(document, ("model",), self.folder, shape.model)
        preprocess = self._steps(document, "preprocess", shape.preprocess)
        postprocess = self._steps(document, "postprocess", shape.postprocess)
        self._check_choice_step(document, postprocess)
        examples = self._examples(document, shape.examples)
        self._check_machine(document, shape.machine)
        prompt = self._prompt(document, shape.prompt, free=any("python" in step for step in preprocess))
        if len(self.reader.problems) > before or model is None or self.inputs is None or self.output is None:
            return None
        template = Prompt(
            source=prompt.source if prompt else "",
            sections=prompt.sections if prompt else (),
            includes=prompt.includes if prompt else {},
            inputs=self.inputs,
            examples=examples,
            preprocess=preprocess,
        )
        return Variant(
            name=shape.variant,
            model=model,
            parameters=shape.parameters,
            prompt=template,
            preprocess=preprocess,
            postprocess=postprocess,
            lineage=Lineage(shape.lineage.kind, tuple(shape.lineage.parents), shape.lineage.method),
            fingerprint=fingerprint(model, shape.parameters, template, preprocess, postprocess, self.output),
            path=path,
            output=self.output,
            examples=tuple({"input": asked, "output": answered} for asked, answered in examples),
            machine=None if shape.machine is None else Machine(**shape.machine.model_dump()),
        )

    def _check_machine(self, document: Document, machine: Any) -> None:
        known = self.reader.hosts
        if machine is not None and machine.host is not None and known is not None and machine.host not in known:
            instead = (
                suggestion(machine.host, known)
                if known
                else f"Add to prices.yaml `hosts: [{{name: {machine.host}, since: 2026-01-31, usd_per_hour: 2.5}}]`."
            )
            self._refuse(document, ("machine", "host"), f"prices.yaml has no host `{machine.host}`", instead)

    # --- prompt

    def _prompt(self, document: Document, text: str | None, free: bool) -> PromptFile | None:
        """The prompt's file. `free`: a Python step may add fields, so that its variables can't be checked."""
        if text is None:
            return None
        path = self.reader.file(document, ("prompt",), self.folder, text)
        if path is None:
            return None
        if path not in self._prompts:
            prompt = self._prompts[path] = read_prompt(self.reader, path, self.folder)
            if prompt is not None and self.inputs is not None and not free:
                self.reader.problems += check_variables(prompt, self.inputs)
        return self._prompts[path]

    # --- steps

    def _steps(self, document: Document, key: str, shapes: list[Any]) -> tuple[dict[str, Any], ...]:
        """Steps in their full form, with functions as absolute references."""
        steps = normalised_steps([shape if isinstance(shape, str) else shape.model_dump() for shape in shapes])
        return tuple(self._step(document, (key, index), dict(step)) for index, step in enumerate(steps))

    def _step(self, document: Document, at: FieldPath, step: dict[str, Any]) -> dict[str, Any]:
        if "python" in step:
            reference = self.reader.function(document, (*at, "python"), self.folder, step["python"])
            return {"python": reference or step["python"]}
        if "regex" in step:
            self._check_pattern(document, (*at, "regex"), step["regex"])
        return step

    def _check_pattern(self, document: Document, at: FieldPath, setting: Mapping[str, Any]) -> None:
        try:
            pattern = compiled(setting["pattern"])
        except ValueError as error:
            self._refuse(
                document, at, f"not a valid regular expression: {error}", "Mend it; in YAML, put it in single quotes."
            )
            return
        group = setting["group"]
        names = [*range(pattern.groups + 1), *pattern.groupindex]
        if group is not None and group not in names:
            known = ", ".join(map(str, names))
            self._refuse(document, (*at, "group"), f"the pattern has no group {group}", f"Write one of {known}.")

    def _check_choice_step(self, document: Document, steps: tuple[Mapping[str, Any], ...]) -> None:
        for index, step in enumerate(steps):
            if "choice" in step and self.output is not None and self.output.choices is None:
                what = "`choice` needs a service whose output is `choices`"
                self._refuse(document, ("postprocess", index), what, "Leave the step out.")

    # --- worked examples

    def _examples(self, document: Document, declared: Any) -> tuple[Pair, ...]:
        if declared is None:
            return ()
        if not isinstance(declared, str):
            pairs = [(index, self._pair(pair)) for index, pair in enumerate(declared)]
            for index, pair in pairs:
                self.reader.problems += [
                    document.problem(("examples", index, "input"), what, instead) for what, instead in self._unfit(pair)
                ]
            return tuple(pair for _, pair in pairs)
        path = self.reader.data_file(document, ("examples",), self.folder, declared)
        if path is None:
            return ()
        if path.suffix != ".jsonl":
            self._refuse(document, ("examples",), "worked examples are read from JSONL", "Convert the file.")
            return ()
        return tuple(self._rows(path))

    def _rows(self, path: Path) -> Iterator[Pair]:
        shown = self.reader.shown(path)
        for number, line in enumerate((self.reader.text(path) or "").split("\n"), start=1):
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                what, instead = "not a JSON object", 'Write {"input": {...}, "output": ...} on one line.'
                self.reader.problems.append(Problem(shown, number, None, "", what, instead))
                continue
            before = len(self.reader.problems)
            place = Document(path, shown, row, values={(): (number, 1)})
            shape = validated(PairShape, place, self.reader.problems)
            if len(self.reader.problems) == before:
                pair = self._pair(shape)
                self.reader.problems += [place.problem(("input",), *sentences) for sentences in self._unfit(pair)]
                yield pair

    def _pair(self, shape: PairShape) -> Pair:
        if isinstance(shape.input, str):
            return {(self.inputs or ("input",))[0]: shape.input}, shape.output
        return shape.input, shape.output

    def _unfit(self, pair: Pair) -> Iterator[tuple[str, str]]:
        """What is wrong with a worked example's fields, and what to write instead."""
        if self.inputs is None or isinstance(pair[0].get("messages"), list):
            return
        unknown = [name for name in pair[0] if name not in self.inputs]
        for name in unknown:
            yield f"`{name}` is not among the service's input fields", suggestion(name, self.inputs)
        for name in self.inputs:
            if name not in pair[0] and not unknown:
                yield f"the input field `{name}` is missing", f"Write `{name}: ...`."

    def _refuse(self, document: Document, at: FieldPath, what: str, instead: str) -> None:
        self.reader.problems.append(document.problem(at, what, instead))
