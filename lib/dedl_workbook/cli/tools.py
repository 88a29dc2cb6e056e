"""What the other commands do: the demo, rules, schemas, JupyterLab, targets and the sandbox.

Imports stand in the functions: a command loads what it needs, and no more.
"""

from __future__ import annotations

import os
from typing import Any

from dedl_workbook.cli.batch import DONE, FAILED, mend_sandbox, sandbox_folder


def demo(_: Any) -> int:
    from dedl_sandbox.demo import demo

    return DONE if demo() else FAILED


def target_check(options: Any) -> int:
    from dedl_workbook.parameters.target import Target
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.services import health
    from dedl_workbook.views import terminal

    root = workbook_root()
    known = health.names(root)
    for name in options.names:
        if name not in known:
            # It says which there are: a wrong name is no service that fails.
            Target.load(name, root)
    found = {name: health.check(name, root) for name in options.names or known}
    if options.json:
        terminal.show_json({name: [one.as_json() for one in all_] for name, all_ in found.items()})
    else:
        for name, services in found.items():
            terminal.show_table(health.COLUMNS, [health.row(one) for one in services], name)
    fails = any(one.state == "fails" for services in found.values() for one in services)
    return FAILED if fails else DONE


def rules(options: Any) -> int:
    from dedl_workbook.base.errors import InputError
    from dedl_workbook.base.text import nearest
    from dedl_workbook.rules.rulebook import RULES
    from dedl_workbook.views import terminal

    for name in options.rules:
        if name not in RULES:
            near = nearest(name.upper(), RULES)
            raise InputError(f"there is no rule {name!r}", remedy=near or "See them all: rules")
    columns = ("rule", "severity", "what must hold")
    chosen = [RULES[name] for name in options.rules or RULES]
    rows = [(rule.id, str(rule.severity), rule.doc) for rule in chosen]
    if options.json:
        terminal.show_json(
            [dict(zip(("rule", "severity", "text"), row, strict=True)) for row in rows]
        )
    else:
        terminal.show_table(columns, rows)
    return DONE


def schemas_sync(options: Any) -> int:
    from dedl_workbook.rules.schemas import store
    from dedl_workbook.views import terminal

    if options.folder:
        report = store.sync(source=options.folder)
    else:
        report = store.sync(source="packages" if options.from_packages else "network")
    if options.json:
        terminal.show_json(
            {
                "store": str(store.default_store()),
                "written": len(report.written),
                "kept": len(report.kept),
                "absent": len(report.absent),
                "problems": list(report.problems),
            }
        )
        return FAILED if report.problems else DONE
    terminal.out.print(
        f"{len(report.written)} schemas written, {len(report.kept)} were there, "
        f"{len(report.absent)} absent, in {store.default_store()}"
    )
    for problem in report.problems:
        terminal.err.print(problem, markup=False)
    if report.problems and not (options.folder or options.from_packages):
        terminal.err.print(
            "without these hosts: `dedl-workbook schemas sync --from-packages` brings STAC's own "
            "schemas by pip, `--from FOLDER` whatever was fetched elsewhere",
            markup=False,
        )
    return FAILED if report.problems else DONE


def sample(options: Any) -> int:
    from dedl_sandbox.sample.dataset import make_sample

    from dedl_workbook.views import terminal

    with terminal.Progress() as progress:
        root = make_sample(
            options.folder, progress=lambda done, of: progress(f"sample: {done} of {of} scenes")
        )
    terminal.out.print(f"a sample dataset lies in {root}", markup=False)
    return DONE


def lab(options: Any) -> int:
    from dedl_workbook.notebooks.jupyter import lab
    from dedl_workbook.parameters.yaml_files import workbook_root
    from dedl_workbook.views import terminal

    root = workbook_root()
    if options.sandbox:
        with terminal.Progress() as progress:
            mend_sandbox("sandbox", progress)
    more = [f"--ServerApp.port={options.port}"] if options.port is not None else []
    more += ["--no-browser"] if options.no_browser else []
    command = lab.command(root, *more)
    os.execve(command[0], command, lab.environment(root))  # noqa: S606 - no shell is wanted


def sandbox_up(options: Any) -> int:
    import dedl_sandbox as sandbox

    from dedl_workbook.views import terminal

    with terminal.Progress() as progress:
        sandbox.up(sandbox_folder(), progress=lambda text: progress(f"sandbox: {text}"))
    return sandbox_status(options)


def sandbox_down(options: Any) -> int:
    import dedl_sandbox as sandbox

    from dedl_workbook.views import terminal

    sandbox.down(sandbox_folder(), wipe=options.wipe)
    terminal.out.print("the sandbox is down" + (", and wiped" if options.wipe else ""))
    return DONE


def sandbox_status(options: Any) -> int:
    import dedl_sandbox as sandbox

    from dedl_workbook.views import terminal

    found = sandbox.status(sandbox_folder())
    columns = ("service", "address", "pid", "state", "log")
    rows = [
        (s.name, s.url, str(s.pid or ""), "up" if s.healthy else f"down: {s.reason}", str(s.log))
        for s in found.services
    ]
    if options.json:
        services = [dict(zip(columns, row, strict=True)) for row in rows]
        terminal.show_json({"phase": found.phase, "services": services})
    else:
        terminal.show_table(columns, rows, found.phase)
    return DONE if found.healthy else FAILED


def sandbox_file(options: Any) -> int:
    import dedl_sandbox as sandbox

    from dedl_workbook.views import terminal

    filed = sandbox.file(sandbox_folder(), options.ticket)
    if options.json:
        terminal.show_json({"ticket": options.ticket, "filed": filed})
    else:
        said = "is filed in" if filed else "is already in"
        terminal.out.print(f"{options.ticket} {said} the sandbox's help desk", markup=False)
    return DONE


def sandbox_grant(options: Any) -> int:
    import dedl_sandbox as sandbox

    from dedl_workbook.views import terminal

    sandbox.grant(sandbox_folder(), options.user, options.role)
    terminal.out.print(f"{options.user} holds {options.role} now", markup=False)
    return DONE
