"""`shiftproof reproduce`: the article's table from trained networks, and a training to compare with."""

from __future__ import annotations

from typing import Annotated

import typer

from shiftproof.cli import _options as o
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import messages, print_json, results, run_directory, stoppable
from shiftproof.cli._study import Networks, Workers

Minutes = Annotated[
    float,
    typer.Option(min=0, help="Minutes of training in total, shared by all networks; 0 to skip training."),
]


@grouped
def reproduce(
    *,
    minutes: Minutes = 2.0,
    networks: Networks = None,
    out: o.Out = None,
    fresh: o.Fresh = False,
    device: o.OneDevice = "auto",
    workers: Workers = None,
    shown: o.Shown,
) -> None:
    """Reproduce the article's table: measure its trained networks, and train for two minutes to compare.

    The networks in the package were trained for the article's 100 epochs. Here they are measured on its
    three test sets. Then each is trained again from scratch, as far as the time goes, and compared with
    its recorded training epoch by epoch. `shiftproof study article --preset article` trains in full.

    You can stop it at any time; the same command resumes it.
    """
    from shiftproof._device import choose_device
    from shiftproof._files import write_atomically
    from shiftproof._threads import available_cores
    from shiftproof.article import article_materials
    from shiftproof.article import reproduce as reproduced
    from shiftproof.cli._progress import watching
    from shiftproof.cli._study import names
    from shiftproof.engine import Engine
    from shiftproof.report import print_reproduction, reproduction_markdown

    materials = article_materials(choose_device(device), names(networks))
    processes = workers or (available_cores() if materials.device.type == "cpu" else 1)
    config = {**materials.config(), "minutes": minutes, "workers": processes}
    with run_directory("reproduce", config, out=out, fresh=fresh) as run:
        with stoppable() as stop, watching(messages, quiet=shown.quiet) as watcher:
            record = reproduced(
                materials,
                run,
                seconds=60 * minutes,
                engine=Engine(workers=processes, devices=(str(materials.device),)),
                watcher=watcher,
                stop=stop,
            )
        write_atomically(run.folder / "report.md", reproduction_markdown(record))
    if shown.as_json:
        print_json(record.to_json())
    else:
        print_reproduction(record, results)
        results.print(f"Record: {run.where('report.json')}", soft_wrap=True)
        results.print(f"To show: {run.where('report.html')}", soft_wrap=True)
