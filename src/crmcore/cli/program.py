"""The program as a whole: its verbs, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper

import click

from crmcore import __version__
from crmcore.cli.acting import follow, move
from crmcore.cli.auditing import delete, erase, restore, retain, verify
from crmcore.cli.cleaning import duplicates, merge, unmerge
from crmcore.cli.demo import demo
from crmcore.cli.doctor import doctor
from crmcore.cli.editing import edits
from crmcore.cli.exits import BROKEN_PIPE, FAILURE, INTERRUPTED, OK, USAGE, exit_code
from crmcore.cli.exporting import export, template
from crmcore.cli.importing import import_, imports
from crmcore.cli.issues import line
from crmcore.cli.keeping import backup, check, copy, upgrade
from crmcore.cli.keys import encrypt, keys, rekey
from crmcore.cli.looking import due, list_, show
from crmcore.cli.options import with_global_options
from crmcore.cli.owing import recompute, remind, replay
from crmcore.cli.playbooks import playbook
from crmcore.cli.reporting import report
from crmcore.cli.sampling import quality
from crmcore.cli.sending import outbox
from crmcore.cli.setup import init
from crmcore.cli.shell import Shell, harmless
from crmcore.cli.tiering import tier
from crmcore.errors import CRMError, ImportRejected, Invalid, TransitionRefused
from crmcore.interchange.rejections import REASONS, WHOLE_FILE, reason_text


class Program(click.Group):
    """The group, which ends quietly when the program that reads its output has gone away."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            code: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # The interpreter flushes stdout once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        return code


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="crmcore")
@with_global_options
@click.pass_context
def program(context: click.Context, shell: Shell) -> None:
    """Customers, follow-ups and opportunities: import them, say who is due, review the month.

    Data go to stdout, messages to stderr. Begin with: crmcore demo
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE)


_VERBS = (
    backup,
    check,
    copy,
    delete,
    demo,
    doctor,
    due,
    duplicates,
    edits,
    encrypt,
    erase,
    export,
    follow,
    import_,
    imports,
    init,
    keys,
    list_,
    merge,
    move,
    outbox,
    playbook,
    quality,
    recompute,
    rekey,
    remind,
    replay,
    report,
    restore,
    retain,
    show,
    template,
    tier,
    unmerge,
    upgrade,
    verify,
)
for verb in _VERBS:
    program.add_command(verb)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code; whatever goes wrong is one message on stderr, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # A terminal that lacks a character still gets the rest.
    shell = Shell()
    try:
        try:
            code = program.main(args=arguments, prog_name="crmcore", standalone_mode=False, obj=shell)
        finally:
            shell.close()
    except click.UsageError as error:
        _complain("usage", error.format_message())
        if error.ctx is not None:
            print(f"see: {error.ctx.command_path} --help", file=sys.stderr)
        return USAGE
    except click.ClickException as error:
        _complain("failed", error.format_message())
        return FAILURE
    except (click.Abort, KeyboardInterrupt):
        shell.say(shell.text("interrupted"))
        return INTERRUPTED
    except CRMError as error:
        _report(shell, error)
        return exit_code(error)
    except OSError as error:
        trouble = f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
        _complain("file", shell.text("file_failed", trouble=trouble) if error.strerror else str(error))
        return FAILURE
    except Exception as error:
        _complain("internal", f"{type(error).__name__}: this is a fault of the program; --debug shows where")
        if shell.debug:
            traceback.print_exc()
        return FAILURE
    return code if isinstance(code, int) else OK


def _complain(code: str, message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    shown = Text.assemble(("error", "bold red"), f" [{code}]: {harmless(message)}")
    Console(stderr=True, highlight=False).print(shown, soft_wrap=True)


def _report(shell: Shell, error: CRMError) -> None:
    """An error of the library in the reader's language, an invalid input with each of its issues on a line."""
    if isinstance(error, Invalid):
        _complain(error.code, shell.text("refused"))
        lines = [line(issue, shell.known_playbook, shell.language) for issue in error.issues]
        if isinstance(error, TransitionRefused) and error.target not in error.allowed:
            lines.append(_ways_out(shell, error))
        print("\n".join(harmless(f"  {found}") for found in lines), file=sys.stderr)
        return
    message = error.text(shell.language)
    if isinstance(error, ImportRejected) and error.reason in REASONS:
        message = reason_text(error.reason, shell.language) + (
            f" ({error.part})" if error.part not in (None, WHOLE_FILE) else ""
        )
        message = f"{error.reason}: {error.file}: {message}" if error.file else f"{error.reason}: {message}"
    _complain(error.code, message)


def _ways_out(shell: Shell, refused: TransitionRefused) -> str:
    """Where one can go instead, in the reader's words."""
    playbook = shell.known_playbook
    field = f"{(refused.issues[0].field or '').partition('.')[0]}.stage"
    stages = [playbook.choice_label(field, key, shell.language) if playbook else key for key in refused.allowed]
    return shell.text("allowed_stages", stages=", ".join(stages)) if stages else shell.text("no_ways_out")
