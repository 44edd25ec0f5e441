"""The inside of the sandbox: a program of its own, started by `sandbox.py` with an empty environment and nothing but
the standard library.

It reads its task from stdin, reports on stdout, and lends stderr to the code that it runs.
"""

import ctypes
import json
import os
import platform
import resource
import signal
import sys
import traceback

NOBODY = 65534
NEW_NAMESPACES = (
    0x00020000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
)  # mount user pid net ipc uts
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_READ_ONLY = 442, -100, 0x8000, 1
SYSTEM_FOLDERS = ("/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64", "/nix/store")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/etc/ld.so.cache")


def main() -> None:
    task = json.load(sys.stdin)
    enter_namespaces(task) if task["isolation"] == "namespaces" else adopt_orphans()
    child = os.fork()
    if child:
        wait_for(child, task)
    run_limited(task)


def enter_namespaces(task) -> None:
    """Go on as process 1 of namespaces of its own, under a root that holds Python and nothing else.

    The parent stays outside to say which users the namespace knows: only there may two be named, which root needs to
    become nobody.
    """
    if sys.platform != "linux" or platform.machine() not in PIVOT_ROOT:
        fail("namespaces are not known on this system")
    inside, outside = os.pipe(), os.pipe()
    shut_off = os.fork()
    if shut_off:
        os.read(inside[0], 1)
        name_users(shut_off)
        os.write(outside[1], b"1")
        wait_for(shut_off, task)
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    call("unshare", NEW_NAMESPACES)
    os.write(inside[1], b"1")
    os.read(outside[0], 1)
    write("/proc/sys/user/max_user_namespaces", "0")
    mount(None, "/", None, MS_REC | MS_PRIVATE, None)
    build_root(task)
    first = os.fork()
    if first:
        wait_for(first, task)
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def name_users(process) -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        users = groups = f"0 0 1\n{NOBODY} {NOBODY} 1"
    else:
        users, groups = f"{NOBODY} {user} 1", f"{NOBODY} {group} 1"
        write(f"/proc/{process}/setgroups", "deny")
    write(f"/proc/{process}/uid_map", users)
    write(f"/proc/{process}/gid_map", groups)


def become_nobody() -> None:
    """Root becomes nobody, as limits on processes don't bind root. Then nothing is left to gain privileges by."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    call("capset", ctypes.byref(header), ctypes.byref(nothing))


def visible(prefixes) -> list[str]:
    """What the code may read: Python's own folder and the libraries that it is linked to. Longer paths after those
    that hold them."""
    paths = {path for path in (*prefixes, *SYSTEM_FOLDERS, *DEVICES) if os.path.exists(path)}
    return sorted(paths, key=lambda path: (path.count("/"), path))


def build_root(task) -> None:
    mount("tmpfs", ".", "tmpfs", MS_NOSUID | MS_NODEV, f"size={task['disk_mb']}m,nr_inodes=4096,mode=0755")
    os.chdir(os.getcwd())
    for path in visible(task["prefixes"]):
        inside = "." + path
        if os.path.lexists(inside):
            continue
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        if os.path.islink(path):
            os.symlink(os.readlink(path), inside)
            continue
        os.mkdir(inside) if os.path.isdir(path) else write(inside, "")
        mount(path, inside, None, MS_BIND | MS_REC, None)
        read_only(inside)
    for folder in ("work", "tmp"):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o777)  # noqa: S103
    if libc.syscall(PIVOT_ROOT[platform.machine()], b".", b".") != 0:
        fail_with_errno("pivot_root")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/work")


def read_only(path) -> None:
    attributes = (ctypes.c_uint64 * 4)(MOUNT_READ_ONLY, 0, 0, 0)
    if libc.syscall(MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, ctypes.byref(attributes), 32) != 0:
        fail_with_errno(f"making {path[1:]} read-only")


def wait_for(child, task) -> None:
    """Wait for a child, but not longer than allowed, and end as it did."""

    def stop(number, _) -> None:
        os.kill(child, signal.SIGKILL)
        sweep(task)
        if number == signal.SIGALRM:
            report("late", task)
        os._exit(1)

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, stop)
    signal.setitimer(signal.ITIMER_REAL, task["wall_s"])
    _, status = os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    sweep(task)
    if os.WIFSIGNALED(status):
        describe_signal(os.WTERMSIG(status), task)
    os._exit(os.waitstatus_to_exitcode(status) & 0x7F)


def adopt_orphans() -> None:
    """Without namespaces, become the parent of whatever the code leaves running, so that it can be found and ended."""
    if sys.platform == "linux":
        call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def sweep(task) -> None:
    """End what the code left running. In namespaces the kernel does that."""
    while task["isolation"] == "process" and sys.platform == "linux":
        for process in children():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def children() -> list[int]:
    """The processes whose parent this one is (`/proc/*/stat`, fourth field)."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                parent = file.read().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found.append(int(name))
    return found


def describe_signal(number, task) -> None:
    if number in (signal.SIGXCPU, signal.SIGKILL):
        message = f"used more than {task['cpu_s']} s of processor time, or was killed"
    else:
        message = f"killed by {signal.Signals(number).name}"
    os.write(2, f"\n{message}\n".encode())


def run_limited(task) -> None:
    """Give up what is left of privileges, set the limits, then run the code and its tests."""
    megabyte = 1024 * 1024
    limits = {
        resource.RLIMIT_CPU: task["cpu_s"],
        resource.RLIMIT_AS: task["memory_mb"] * megabyte,
        resource.RLIMIT_FSIZE: task["disk_mb"] * megabyte,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: task["processes"] + others_of_this_user(task),
    }
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (limit, limit))
        except (OSError, ValueError) as error:
            if task["isolation"] == "namespaces":
                fail(f"limit {kind}: {error}")
    if task["isolation"] == "namespaces":
        become_nobody()
    reports = os.dup(1)
    os.set_inheritable(reports, False)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    nonce = task["nonce"]
    code, tests = task.pop("code"), task.pop("tests")
    task.clear()
    os.write(reports, f"ready:{nonce}\n".encode())
    run(code, tests)
    os.write(reports, f"passed:{nonce}\n".encode())
    os._exit(0)


def others_of_this_user(task) -> int:
    """The limit on processes counts all of a user's threads: inside its own namespace only process 1, outside all
    that are there now."""
    if task["isolation"] == "namespaces":
        return 1
    count = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.geteuid():
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return count


def run(code, tests) -> None:
    names = {"__name__": "answer", "__builtins__": __builtins__}
    try:
        exec(compile(code, "answer.py", "exec", dont_inherit=True), names)  # noqa: S102
        exec(compile(tests, "tests.py", "exec", dont_inherit=True), names)  # noqa: S102
    except BaseException as error:
        tell(error)
        os._exit(1)


def tell(error) -> None:
    """The traceback of the code's own lines, its last line saying what went wrong and where."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    line = f", {frames[-1].filename} line {frames[-1].lineno}" if frames else ""
    sys.stdout.flush()
    sys.stderr.flush()
    text = f"{type(error).__name__}: {error}".split("\n")[0][:400]
    os.write(2, f"\n{text}{line}\n".encode("utf-8", "replace"))


def report(word, task) -> None:
    os.write(1, f"{word}:{task['nonce']}\n".encode())


def write(path, text) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        fail(f"{path}: {error.strerror}")


def mount(source, target, kind, flags, data) -> None:
    arguments = [None if part is None else part.encode() for part in (source, target, kind, data)]
    if libc.mount(*arguments[:3], ctypes.c_ulong(flags), arguments[3]) != 0:
        fail_with_errno(f"mounting {target}")


def call(name, *arguments) -> None:
    if getattr(libc, name)(*arguments) != 0:
        fail_with_errno(name)


def fail_with_errno(what) -> None:
    fail(f"{what}: {os.strerror(ctypes.get_errno())}")


def fail(message) -> None:
    os.write(2, f"{message}\n".encode())
    os._exit(1)


libc = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    main()
