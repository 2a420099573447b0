"""README.md and docs/*.md are true: what they tell you to type is typed, against a demo of its own.

What a fenced block means here:

- `bash`: each command is run. What starts with `make` or `docker` is only checked: the targets are
  in the Makefile, the services in docker-compose.yml, and the arguments are understood.
- `sql` that begins with a file's name is an excerpt of that file; `-- …` is where lines are left
  out. Any other `sql` is typed into psql as payrail_operator, in one session per page.
- `python` is a program that is run.
- `text` or `json` after such a block is the answer. UUIDs, times and widths of columns may differ,
  and `…` is anything. Without one, the block must succeed.
- `ini` is what goes into .env.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest

from pyapp import cli, settings
from pyapp.errors import SQLSTATES
from pyapp.settings import ROOT, Settings
from tests import banks, servers
from tests.docs.test_compose import SERVICES, Recorder

PAGES: Final = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
ADDRESS: Final = "http://127.0.0.1:8000"
BANK: Final = "http://127.0.0.1:8002"
RUN: Final = {"bash", "sql", "python"}
PATIENCE: Final = 60  # seconds for one block

UUID: Final = r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
TIME: Final = r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00)"
OBJECT: Final = re.compile(r"(payrail|payout|ledger|merchant|rail|audit|sandbox)\.(\w+)")
EXCERPT: Final = re.compile(
    r"(?:--|#|<!--) ((?:sql|migrations|docs/examples)/\S+\.(?:sql|toml|xml))(?: -->)?\n"
)


@dataclass
class Block:
    """A fenced block of a page; `answer` is the one that says what comes out of it."""

    page: str
    line: int
    language: str
    text: str
    answer: Block | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def fenced(page: str) -> list[Block]:
    found = [
        Block(page, PAGES[page].count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    ]
    for block, after in pairwise(found):
        if block.language in RUN and after.language in {"text", "json"}:
            block.answer = after
    return found


BLOCKS: Final = [block for page in PAGES for block in fenced(page)]
EXCERPTS: Final = [b for b in BLOCKS if EXCERPT.match(b.text)]
TYPED: Final = [b for b in BLOCKS if b.language in RUN and b not in EXCERPTS]


# ---------------------------------------------------------------------------------- typing it in


@dataclass
class Desk:
    """A running demo, a sandbox bank, and a psql session of an operator."""

    address: str
    bank: str
    env: dict[str, str]
    psql: subprocess.Popen[str]
    place: Path  # where commands are typed: it looks like the project's folder
    typed: list[str] = field(default_factory=list)

    def run(self, block: Block) -> None:
        """Type a block in, and compare what comes out."""
        if block.language == "sql":
            said = self.ask(block.text)
        elif block.language == "python":
            said = self.shell(shlex.join([sys.executable, "-c", block.text]))
        else:
            said = "".join(self.command(line) for line in commands(block))
        compare(block, said)

    def command(self, line: str) -> str:
        """Run one command, or check one that would build or start something bigger."""
        words = [*dropwhile(re.compile(r"\w+=").match, shlex.split(line))]
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets(), line
            return ""
        if words[0] == "docker":
            understand(words)
            return ""
        assert words[0] in {"curl", "payrail"}, f"neither run nor checked: {line}"
        said = self.shell(line)
        if "-H 'Idempotency-Key" in line and '"request_id"' not in said and "-i " not in line:
            assert self.shell(line) == said  # a stored answer, byte for byte
        return said

    def shell(self, line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line.replace(ADDRESS, self.address).replace(BANK, self.bank)],
            env=self.env,
            cwd=self.place,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), line
        return done.stdout

    def ask(self, text: str) -> str:
        """Type into psql; return what it says, errors included."""
        assert self.psql.stdin
        assert self.psql.stdout
        end = f"-- end of {len(self.typed)} --"
        self.typed.append(text)
        self.psql.stdin.write(f"{text}\n\\echo '{end}'\n")
        self.psql.stdin.flush()
        said = ""
        watchdog = threading.Timer(PATIENCE, self.psql.kill)
        watchdog.start()
        for line in self.psql.stdout:
            if line.strip() == end:
                watchdog.cancel()
                return said
            said += line
        pytest.fail(f"psql ended, or took too long:\n{said}")


def commands(block: Block) -> list[str]:
    """Return a block's commands, each on one line."""
    return [line for line in block.text.replace("\\\n", " ").splitlines() if line.strip()]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def understand(words: list[str]) -> None:
    """Check a `docker compose` line: its services exist, and payrail knows the arguments."""
    assert words[:2] == ["docker", "compose"]
    kind, *rest = words[2:]
    if kind == "run":
        assert rest[0] == "--rm"
        assert rest[1] in SERVICES
        cli._parser().parse_args(rest[2:] or SERVICES[rest[1]]["command"])
    else:
        assert kind == "up"
        flags = {"--build", "--detach", "--wait", "--scale"}
        assert {word.partition("=")[0] for word in rest} - flags <= {*SERVICES}


def plain(text: str) -> str:
    """Return a text without what differs from run to run."""
    text = re.sub(TIME, "<time>", re.sub(UUID, "<uuid>", text))
    lines = (re.sub(r"-{2,}", "--", " ".join(line.split())) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def document(text: str) -> Any:
    """Return JSON as nested pairs, so that the order of the fields counts."""
    found = json.loads(re.sub(TIME, "<time>", re.sub(UUID, "<uuid>", text)), object_pairs_hook=list)
    assert isinstance(found, list)
    return found


def compare(block: Block, said: str) -> None:
    where = f"{block} says:\n{said}"
    if block.answer is None:
        assert "/docs/#error-" not in said, where
        assert not re.search(r"^(ERROR|FATAL|invalid command|psql: error)", said, re.MULTILINE), (
            where
        )
    elif block.answer.language == "json":
        assert document(said) == document(block.answer.text), where
    else:
        pattern = re.escape(plain(block.answer.text)).replace("…", ".*")
        assert re.fullmatch(pattern, plain(said), re.DOTALL), where


def _place(folder: Path) -> Path:
    """Make a folder with all that is in the project's, where files may be left."""
    folder.mkdir()
    for path in ROOT.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


@contextmanager
def running(home: Path, programs: Path | None, bank: str) -> Iterator[Desk]:
    env = {**os.environ, "PAYRAIL_HOME": str(home), "PORT": "0"}
    env.pop("DATABASE_URL", None)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    if programs:
        env["PAYRAIL_PG_BIN"] = str(programs)
    options: dict[str, Any] = {
        "env": env,
        "cwd": ROOT,
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    with subprocess.Popen([sys.executable, "-m", "pyapp", "demo"], **options) as demo:
        assert demo.stdout
        drain = threading.Thread(target=shutil.copyfileobj, args=(demo.stdout, io.StringIO()))
        try:
            printed = ""
            for line in demo.stdout:
                printed += line
                if line.startswith("Ctrl-C"):
                    break
            found = re.search(r"(http://\S+)/api/v1/", printed)
            assert found, printed
            drain.start()  # what is logged from now on has to go somewhere
            with subprocess.Popen(["payrail", "psql", "-X"], **options) as psql:
                yield Desk(found[1], bank, env, psql, _place(home.with_name("place")))
        finally:
            demo.terminate()
            demo.wait(PATIENCE)
            if drain.is_alive():
                drain.join(PATIENCE)


@pytest.mark.parametrize("page", sorted({block.page for block in TYPED}))
def test_what_the_page_says_to_type_works(page: str) -> None:
    with (
        servers.folder() as folder,
        servers.own(folder / "home") as server,
        banks.bank(SANDBOX_BANK_KEY=Settings().sandbox_bank_key) as bank,
        running(server.home, server.programs, bank.url) as desk,
    ):
        for block in TYPED:
            if block.page == page:
                desk.run(block)


def test_every_block_has_a_meaning() -> None:
    answers = [block.answer for block in TYPED if block.answer]
    for block in BLOCKS:
        assert block in [*TYPED, *EXCERPTS, *answers] or block.language == "ini", str(block)
    assert {"README.md", "docs/operations.md"} <= {block.page for block in TYPED}
    assert len(EXCERPTS) >= 10


# ------------------------------------------------------------------------------- reading it through


@pytest.mark.parametrize("block", EXCERPTS, ids=str)
def test_an_excerpt_is_in_its_file(block: Block) -> None:
    named = EXCERPT.match(block.text)
    assert named
    rest = [line.strip() for line in (ROOT / named[1]).read_text().splitlines()]
    for part in block.text[named.end() :].split("-- …\n"):
        lines = [line.strip() for line in part.strip().splitlines()]
        starts = range(len(rest) - len(lines) + 1)
        at = next((n for n in starts if rest[n : n + len(lines)] == lines), None)
        assert at is not None, f"not in {named[1]}, or not in this order:\n{part}"
        rest = rest[at + len(lines) :]


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for text, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", PAGES[page]):
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.resolve().is_relative_to(ROOT), target
        assert path.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), target
        if text.startswith("test_"):
            assert f"def {text}(" in path.read_text(), text
    for alternative in re.findall(r"!\[([^\]]*)\]", PAGES[page]):
        assert alternative


def test_the_rules_are_where_the_readme_says() -> None:
    rows = re.findall(
        r"^\| [^|]+ \| \[(\S+)\]\(\S+\) \| `(.+)` \|$", PAGES["README.md"], re.MULTILINE
    )
    assert len(rows) >= 5
    for path, phrase in rows:
        assert (ROOT / path).read_text().count(phrase) == 1, (path, phrase)


@pytest.mark.parametrize("page", PAGES)
def test_what_is_named_exists(page: str) -> None:
    tables = "".join(path.read_text() for path in (ROOT / "migrations").glob("*.sql"))
    prose = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", prose):
        if re.fullmatch(r"(sql|migrations|pyapp|docs|tests)/\S*", code):
            assert (ROOT / code).exists(), code
        if named := OBJECT.fullmatch(code):
            file = ROOT / "sql" / named[1] / f"{named[2]}.sql"
            is_event = f"('{code}', " in tables
            assert file.exists() or f" {code} " in tables or is_event, code
        if code.startswith("make "):
            words = [word for word in code.split()[1:] if "=" not in word]
            assert set(words) <= targets(), code


@pytest.mark.parametrize("page", PAGES)
def test_every_sqlstate_is_documented(page: str) -> None:
    named = set(re.findall(r"\bPR\d{3}\b", PAGES[page]))
    assert named <= set(SQLSTATES)
    assert all(f"| {state} |" in PAGES["docs/errors.md"] for state in named)


def test_every_setting_is_documented() -> None:
    rows = dict(
        re.findall(r"^\| `([A-Z_]+)` \| (.*?) ?\|", PAGES["docs/operations.md"], re.MULTILINE)
    )
    recorder = Recorder()
    settings.load(recorder)
    assert set(rows) == recorder.asked
    defaults = Settings()
    for name, value in {
        "HOST": defaults.host,
        "PORT": defaults.port,
        "PAYRAIL_HOME": defaults.home.relative_to(ROOT),
        "PAYRAIL_PG_USER": defaults.pg_user,
        "SANDBOX_BANK_FILE": defaults.sandbox_bank_file.name,
        "SANDBOX_BANK_PORT": defaults.sandbox_bank_port,
        "SANDBOX_SEED": defaults.sandbox_seed,
        "SANDBOX_DEDUPLICATES": int(defaults.sandbox_deduplicates),
        "LOG_LEVEL": defaults.log_level,
    }.items():
        assert rows[name] == f"`{value}`"


def test_the_environment_file_has_what_docker_compose_asks_for() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    (block,) = [block for block in BLOCKS if block.language == "ini"]
    named = re.findall(r"^(\w+)=…$", block.text, re.MULTILINE)
    assert set(named) == set(re.findall(r"\$\{(\w+):\?", compose))


def test_the_picture_can_be_read_without_seeing_it() -> None:
    picture = ET.parse(ROOT / "docs" / "payrail.svg").getroot()  # noqa: S314  # our own file
    name = "{http://www.w3.org/2000/svg}"
    assert picture.findtext(f"{name}title")
    assert picture.findtext(f"{name}desc")
    assert "prefers-color-scheme: dark" in (picture.findtext(f"{name}style") or "")
