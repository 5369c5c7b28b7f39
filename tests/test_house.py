"""The house itself: the README tells the truth, the commands say what they do, the rooms stay small and wake fast."""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from intentcast_agent.cli import EXIT_CODES
from intentcast_agent.cli import cli as agent
from intentcast_relay.cli import main as relay

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGES = ("protocol/intentcast_protocol", "relay/intentcast_relay", "agent/intentcast_agent")
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "PROTOCOL.md", "deploy/README.md")
PROGRAMS = {"intentcast": agent, "intentcast-relay": relay}
MOST_LINES = 450
# What costs more than the whole of `--help` to import.
HEAVY = {"aiohttp", "aiosqlite", "jinja2", "multiformats", "nacl", "rich"}


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shown_commands(text: str) -> Iterator[list[str]]:
    """Yield every command of ours a document shows, in a block or between backticks, as words."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`(intentcast(?:-relay)? [^`]+)`", prose)
    for line in [*"\n".join(blocks(text, "sh")).splitlines(), *(found.replace("\n", " ") for found in inline)]:
        for part in re.split(r"&&|\|", line.split(" > ")[0].removeprefix("uv run ")):
            words = shlex.split(part, comments=True)
            if words and Path(words[0]).name in PROGRAMS:
                yield [Path(words[0]).name, *words[1:]]


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command under one, itself included, by its whole name."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for verb in command.list_commands(context):
            inner = command.get_command(context, verb)
            assert inner is not None
            yield from leaves(inner, f"{name} {verb}")


COMMANDS = dict(pair for name, program in PROGRAMS.items() for pair in leaves(program, name))


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


class TestReadme:
    def test_test_command_is_the_one_that_ci_runs(self) -> None:
        line = next(line for line in "\n".join(blocks(README, "sh")).splitlines() if line.endswith("/pytest"))
        assert f'"{line}"' in (ROOT / ".ci/run").read_text(encoding="utf-8")

    @pytest.mark.parametrize("document", DOCUMENTS)
    def test_every_command_shown_exists_with_these_options(self, document: str) -> None:
        for words in shown_commands((ROOT / document).read_text(encoding="utf-8")):
            name, rest = words[0], words[1:]
            while rest and f"{name} {rest[0]}" in COMMANDS:
                name, rest = f"{name} {rest[0]}", rest[1:]
            command = COMMANDS[name]
            if isinstance(command, click.Group):
                assert not rest or rest == ["--help"], f"{document}: there is no {' '.join(words)}"
                continue
            given, left, _ = command.make_parser(click.Context(command)).parse_args(list(rest))
            assert not left, f"{document}: {' '.join(words)} has {left} too much"
            # Between backticks a bare verb stands for itself; with any argument it has to be whole.
            if rest:
                missing = [one.name for one in command.params if one.required and not given.get(one.name or "")]
                assert not missing, f"{document}: {' '.join(words)} lacks {missing}"

    def test_readme_shows_every_noun(self) -> None:
        shown = {words[1] for words in shown_commands(README) if words[0] == "intentcast" and len(words) > 1}
        assert shown >= {name.split()[1] for name in COMMANDS if name.startswith("intentcast ")}

    def test_exit_codes_are_those_of_the_command(self) -> None:
        rows = re.findall(r"^\| (\d+) \| (.+?) \|$", README, re.MULTILINE)
        assert {int(code): words for code, words in rows} == EXIT_CODES

    def test_example_of_embedding_runs(self) -> None:
        (example,) = blocks(README, "python")
        assert len(example.strip().splitlines()) <= 11
        done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True, cwd="/")
        assert "did:key:z6Mk" in done.stdout

    def test_files_and_folders_it_names_are_there(self) -> None:
        for name in re.findall(r"^    ([a-z]\S*/|[A-Z]+\.md)  ", README, re.MULTILINE):
            assert (ROOT / name).exists(), name


class TestCommands:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_command_says_what_it_does_and_what_each_option_means(self, name: str) -> None:
        command = COMMANDS[name]
        context = click.Context(command, info_name=name)
        text = command.get_help(context)
        assert command.help
        assert command.help.splitlines()[0].rstrip().endswith((".", ":")), f"{name}: its help is a sentence"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts[0]}"
                assert parameter.opts[-1] in text
            else:
                assert parameter.make_metavar(context) in text

    def test_every_verb_that_ends_speaks_json(self) -> None:
        lasting = {"serve", "vendor serve"}
        for name, command in leaves(agent, ""):
            if not isinstance(command, click.Group) and name.strip() not in lasting:
                assert any("--json" in option.opts for option in command.params), name

    @pytest.mark.parametrize(
        "words",
        [["--help"], ["demand", "--help"], ["status"], ["status", "--json"], ["demand", "draft", "--template"],
         ["demand", "draft", "car under 900 EUR"], ["vendor", "feed", "--help"]],
        ids=" ".join,
    )  # fmt: skip
    def test_short_verbs_import_nothing_slow(self, words: list[str], tmp_path: Path) -> None:
        code = (
            "import json, sys\n"
            f"sys.argv = ['intentcast', *{words!r}]\n"
            "from intentcast_agent.cli import main\n"
            "try:\n    main()\n"
            "except SystemExit as end:\n    assert not end.code, end.code\n"
            "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
        )
        env = {"INTENTCAST_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        loaded = set(json.loads(done.stderr.splitlines()[-1]))
        assert not loaded & HEAVY


class TestRooms:
    def test_every_module_is_small_and_says_what_it_is(self) -> None:
        for path in modules():
            text = path.read_text(encoding="utf-8")
            assert len(text.splitlines()) <= MOST_LINES, f"{path.relative_to(ROOT)} has outgrown its room"
            assert ast.get_docstring(ast.parse(text)), f"{path.relative_to(ROOT)} has no docstring"
            assert path.stem not in {"utils", "helpers", "common", "manager", "base", "misc"}, path

    def test_everything_public_has_a_docstring(self) -> None:
        silent = [f"{path.relative_to(ROOT)}: {name}" for path in modules() for name in _silent(path)]
        assert not silent, "\n".join(silent)

    def test_nothing_kept_names_a_registry_or_a_machine(self) -> None:
        # Written so that this file does not find itself.
        hosts = "index[-]url|py[p]i[.]|python[h]osted|registry[.]npm"
        forbidden = re.compile(rf"{hosts}|(?<![\w.~)}}$/-])/(?:root|work|home/\w+|Users/\w+)/")
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        names = listed.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in modules()]
        found = []
        for path in (ROOT / name for name in names):
            text = path.read_bytes().decode("utf-8", "ignore") if path.is_file() else ""
            found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in forbidden.finditer(text)]
        assert not found, "\n".join(found)


def _silent(path: Path) -> Iterator[str]:
    """Yield the public classes, functions and methods of a module that have no docstring."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            yield from (f"{node.name}.{name}" for name in _silent_functions(node.body))
        else:
            yield from _silent_functions([node])


def _silent_functions(body: list[Any]) -> Iterator[str]:
    for node in body:
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        if named and not ast.get_docstring(node):
            yield node.name
