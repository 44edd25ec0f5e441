"""The sandbox against code that really tries."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from proveout.evaluation.sandbox import Limits, Sandbox, SandboxUnavailable

NAMESPACES = Sandbox(Limits(wall_s=4, cpu_s=2, memory_mb=128, processes=4))
PROCESS = Sandbox(NAMESPACES.limits, "process")
SECRET = "sk-very-secret-value"

isolated = pytest.mark.skipif(NAMESPACES.problem() is not None, reason=f"no isolation here: {NAMESPACES.problem()}")
both = pytest.mark.parametrize(
    "sandbox", [pytest.param(NAMESPACES, marks=isolated, id="namespaces"), pytest.param(PROCESS, id="process")]
)


def run(sandbox: Sandbox, code: str, tests: str = "pass"):
    return asyncio.run(sandbox.run(code, tests))


@both
def test_code_that_passes_its_tests(sandbox):
    result = run(sandbox, "import math\ndef area(r):\n    return math.pi * r * r", "assert round(area(1), 2) == 3.14")
    assert result.passed, result


@both
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f(): return 1", "AssertionError: f is 1, tests.py line 1"),
        ("def f(:", "SyntaxError"),
        ("import numpy_that_is_not_there", "ModuleNotFoundError"),
        ("raise SystemExit(0)", "SystemExit: 0, answer.py line 1"),
        ("import os; os._exit(0)", "ended before its tests did"),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
        ("def f(): return f()", "RecursionError"),
        ("print('passed:0123')\nprint('ready')\ndef f(): return 1", "AssertionError: f is 1"),
        ("def f(): return '\\ud800'", "AssertionError"),
    ],
)
def test_code_that_fails_says_why(sandbox, code, reason):
    result = run(sandbox, code, "assert f() == 2, f'f is {f()}'")
    assert not result.passed
    assert reason in result.reason


@both
def test_an_answer_that_ends_early_with_success_has_not_passed(sandbox):
    for code in ("exit()", "import sys; sys.exit(0)", "import os; os._exit(0)", "import os; os.kill(os.getpid(), 15)"):
        assert not run(sandbox, code, "assert False").passed


@both
def test_an_endless_loop_is_ended_by_its_processor_time(sandbox):
    patient = Sandbox(Limits(wall_s=60, cpu_s=1), sandbox.isolation)
    assert "used more than 1 s of processor time" in run(patient, "while True: pass").reason


@both
def test_a_sleeper_is_ended_by_the_clock(sandbox):
    short = Sandbox(Limits(wall_s=0.5), sandbox.isolation)
    began = time.monotonic()
    assert run(short, "import time; time.sleep(60)").reason == "ran longer than 0.5 s"
    assert time.monotonic() - began < 20


@both
@pytest.mark.parametrize("code", ["x = bytearray(10**9)", "x = []\nwhile True: x.append('y' * 10**6)"])
def test_a_memory_hog_is_refused(sandbox, code):
    assert "MemoryError" in run(sandbox, code).reason


@both
def test_huge_output_is_cut_off(sandbox):
    patient = Sandbox(Limits(wall_s=60, cpu_s=30), sandbox.isolation)
    result = run(patient, "while True: print('x' * 1000)")
    assert result.reason == "wrote more than 4 MB"
    assert len(result.output) <= 16_384


@both
def test_a_huge_file_is_refused(sandbox):
    assert (
        "OSError" in run(sandbox, "with open('big', 'wb') as f:\n  for _ in range(100): f.write(b'x' * 10**6)").reason
    )


@isolated
def test_many_files_don_t_fill_the_disk_either():
    code = "for n in range(100):\n  open(f'/tmp/{n}', 'wb').write(b'x' * 10**6)"
    assert "No space left on device" in run(NAMESPACES, code).reason


@isolated
def test_a_fork_bomb_is_refused():
    result = run(NAMESPACES, "import os\nwhile True: os.fork()")
    assert "BlockingIOError" in result.reason
    threads = "import threading, time\nfor _ in range(50): threading.Thread(target=time.sleep, args=(9,)).start()"
    assert "can't start new thread" in run(NAMESPACES, threads).reason


@both
def test_what_it_leaves_running_is_dead_afterwards(sandbox):
    marker = f"proveout-left-{os.getpid()}-{sandbox.isolation}"
    code = f"""
import os, time, ctypes
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, {marker[-15:]!r}.encode())
        time.sleep(60)
    os._exit(0)
time.sleep(0.3)
"""
    assert run(sandbox, code).passed
    assert marker[-15:] not in names_of_processes()


def names_of_processes() -> set[str]:
    names = set()
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            names.add(Path(f"/proc/{process}/comm").read_text().strip())
        except OSError:
            continue
    return names


@isolated
def test_there_is_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run(NAMESPACES, f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)")
        assert "OSError" in result.reason or "Error" in result.reason
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    assert "Error" in run(NAMESPACES, "import socket\nsocket.create_connection(('1.1.1.1', 53), timeout=1)").reason


@isolated
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/etc/hostname", "/root/.ssh", str(Path(__file__)), "/proc/1/environ", "/sys", "/home"]
)
def test_files_of_this_machine_are_not_there(path):
    result = run(NAMESPACES, f"import os\nfound = os.path.lexists({path!r})", "assert not found")
    assert result.passed, result


@isolated
def test_nothing_can_be_written_outside():
    program = f"""
import os, sys
wrote = []
for folder in ['/', '/home/..', '/usr', '/lib', '/dev', os.path.dirname(os.__file__), {str(Path(__file__).parent)!r}]:
    try:
        open(os.path.join(folder, 'written'), 'w').write('x')
        wrote.append(folder)
    except OSError:
        pass
"""
    assert run(NAMESPACES, program, "assert wrote == [], wrote").passed
    assert not (Path(__file__).parent / "written").exists()
    assert not (Path(os.__file__).parent / "written").exists()


@both
def test_the_parent_s_environment_does_not_come_along(sandbox, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    result = run(sandbox, "import os\nseen = dict(os.environ)\nseen.pop('LC_CTYPE', None)", "assert seen == {}, seen")
    assert result.passed, result


@isolated
def test_the_parent_s_memory_and_environment_can_t_be_reached(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    code = """
import os
found = [n for n in range(1, 40000) if os.path.exists(f'/proc/{n}')]
killed = []
for n in [1, *range(3, 50)]:
    try:
        os.kill(n, 9)
        killed.append(n)
    except OSError:
        pass
"""
    result = run(NAMESPACES, code, "assert found == [] and killed == [], (found, killed)")
    assert result.passed, result


@isolated
def test_privileges_can_t_be_gained_back():
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
gained = []
if libc.unshare(0x10000000) == 0: gained.append('user namespace')
if libc.unshare(0x00020000) == 0: gained.append('mount namespace')
if libc.mount(b'tmpfs', b'/work', b'tmpfs', 0, None) == 0: gained.append('mount')
if libc.chroot(b'.') == 0: gained.append('chroot')
if libc.umount2(b'/lib', 2) == 0: gained.append('umount')
for user in (0, 1000):
    try:
        os.setuid(user); gained.append(f'user {user}')
    except OSError: pass
ids = os.getuid(), os.geteuid(), os.getgid()
"""
    result = run(NAMESPACES, code, "assert gained == [], gained\nassert set(ids) == {65534}, ids")
    assert result.passed, result


@both
def test_no_file_of_ours_is_open_in_it(sandbox, tmp_path):
    with (tmp_path / "ours").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        ours = (os.fstat(file.fileno()).st_ino, os.fstat(file.fileno()).st_dev)
        code = f"""
import os
found = []
for n in range(3, 256):
    try:
        if (os.fstat(n).st_ino, os.fstat(n).st_dev) == {ours}:
            found.append(n)
    except OSError: pass
"""
        assert run(sandbox, code, "assert found == [], found").passed


@both
def test_temporary_folders_are_gone(sandbox, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run(sandbox, "open('kept', 'w').write('x')").passed
    assert list(tmp_path.iterdir()) == []


def test_where_isolation_does_not_work_nothing_runs(monkeypatch, tmp_path):
    from proveout.evaluation import sandbox as module

    child = tmp_path / "sandbox_child.py"
    source = Path(module.__file__).with_name("sandbox_child.py").read_text()
    child.write_text(source.replace('"x86_64": 155', '"elsewhere": 155'))
    monkeypatch.setattr(module, "_CHILD", child)
    with pytest.raises(SandboxUnavailable, match="namespaces are not known on this system"):
        run(NAMESPACES, "open('/tmp/ran', 'w')")


def test_many_runs_at_once_keep_apart():
    sandbox = PROCESS if NAMESPACES.problem() else NAMESPACES

    async def many():
        return await asyncio.gather(*(sandbox.run(f"x = {n}", f"assert x == {n if n % 2 else -1}") for n in range(8)))

    assert [result.passed for result in asyncio.run(many())] == [bool(n % 2) for n in range(8)]


def test_a_cancelled_run_is_ended_soon():
    sandbox = Sandbox(Limits(wall_s=30), "process")

    async def cancelled():
        task = asyncio.ensure_future(sandbox.run("import time; time.sleep(25)", "pass"))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(cancelled())
    while any(thread.name.startswith("proveout-sandbox") and _busy() for thread in threading.enumerate()):
        assert time.monotonic() - began < 5
        time.sleep(0.05)


def _busy() -> bool:
    mine = str(os.getpid())
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            continue
        if (
            stat.rpartition(")")[2].split()[1] == mine
            and "sandbox_child" in Path(f"/proc/{process}/cmdline").read_text()
        ):
            return True
    return False


def test_it_needs_nothing_but_the_standard_library():
    child = Path(__file__).parents[3] / "src/proveout/evaluation/sandbox_child.py"
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import runpy; runpy.run_path({str(child)!r}, run_name='x')"], check=True
    )
