"""Serve one run: gather the workers' payloads, keep the log.

Examples:
    gradwire server --listen 127.0.0.1:50051 --task 'mlp(digits, hidden=64)' --workers 4 --state-dir runs/one
"""

from __future__ import annotations

import asyncio
from typing import Any

from gradwire.common.errors import ConfigError
from gradwire.common.system.results import ResultFile, to_json
from gradwire.common.system.signals import StopSignals
from gradwire.common.transport.address import parse_address, require_protected
from gradwire.common.transport.tls import server_tls
from gradwire.deploy.exit_codes import FAILED, print_message
from gradwire.deploy.flags import configured
from gradwire.deploy.folder_page import FolderPage
from gradwire.deploy.models import read_start
from gradwire.deploy.options import ServerOptions
from gradwire.deploy.preflight import known_dim, sites_hold_data
from gradwire.deploy.stored_run import resolve, stored_run
from gradwire.deploy.watching.address_file import AddressFile
from gradwire.server.log.run_log import RunLog
from gradwire.server.progress import reporter, to_all
from gradwire.server.serving import Interrupted, open_log, serve
from gradwire.server.sinks.all import Sinks
from gradwire.server.summary import failed_check


@configured(ServerOptions)
def server(settings: dict[str, Any], options: ServerOptions) -> int:
    """Serve one run: gather the workers' payloads, fold them, keep the log.

    Without settings the run in --state-dir is resumed. The exit code is 0 only if the run finished, every byte was
    predicted, and all replicas ended with the server's parameters.
    """
    options.import_allowed()
    config = resolve(settings, None if "task" in settings else stored_run(options.state_dir))
    dim = known_dim(config, options.dim)
    address = parse_address(options.listen, any_port=True)
    tls = server_tls(options.certs, options.tls_cert, options.tls_key, options.tls_client_ca)
    if warning := require_protected(address, tls=tls is not None, insecure=options.insecure):
        print_message(warning)
    summary_file = None if options.summary is None else ResultFile(options.summary)
    if summary_file is not None:
        summary_file.check()
    shown = reporter(options.progress)
    sinks = Sinks(options.targets, warn=lambda message: shown({"event": "warning", "message": message}))
    page, address_file = FolderPage(options.state_dir), AddressFile(options.state_dir)
    report = to_all(page.note, address_file.note, shown, sinks.note)

    def log() -> RunLog:
        opened = open_log(options.state_dir, config, start)
        try:
            sinks.begin(opened)
        except ConfigError:
            opened.close()
            raise
        page.begin(opened)
        return opened

    start = None if options.init is None else read_start(options.init)
    try:
        with StopSignals() as signals:
            serving = serve(
                log,
                address,
                report,
                dim=dim,
                own_data=sites_hold_data(config),
                start=start,
                await_workers=options.await_workers,
                tls=tls,
                signals=signals,
            )
            summary = asyncio.run(serving)
        report({"event": "finished", "summary": summary})
    except Interrupted as stop:
        print_message(str(stop))
        return stop.exit_code
    finally:
        sinks.close()
        address_file.remove()
        page.write()
    if summary_file is not None:
        summary_file.write(to_json(summary, indent=2) + "\n")
    broken = failed_check(summary)
    if broken is None:
        return 0
    print_message(str(broken))
    return FAILED
