"""The command line. Commands are imported when they are called, so that --help stays quick."""

from __future__ import annotations

import sys
from importlib import import_module

import click

COMMANDS = {
    "init": ("project", "Write a project for your data, or an empty one."),
    "up": ("up", "Serve everything from one process."),
    "demo": ("demo", "Replay real flights through the whole loop."),
    "apply": ("project", "Record what the project file declares."),
    "ingest": ("project", "Check a CSV or Parquet file and append it to a table."),
    "train": ("models", "Train, judge and register a new version."),
    "deploy": ("models", "Let a version answer all requests at once."),
    "predict": ("predict", "Predict one entity, with its features read online, or all rows of a file or table."),
    "replay": ("predict", "What a version would have answered to logged traffic, before it ships."),
    "promote": ("models", "Start the rollout of a version."),
    "rollback": ("models", "Go back to the version that served before."),
    "rehearse": ("why", "Which faults would be named of a model, tried before they happen."),
    "hindsight": ("models", "What a version would have answered had it never been replaced."),
    "measure": ("model", "Measure now how good a model is, and how far what it sees has moved."),
    "estimate": ("model", "How good a model is, before its labels come."),
    "label": ("label", "Tell what really happened."),
    "check": ("validate", "Hold a file to checks and a schema; exit status for CI."),
    "profile": ("validate", "Explore a file: columns, target, leaks, time, and the problem."),
    "drift": ("validate", "How far the columns of a file have moved from another's."),
    "skew": ("validate", "How far what a model answers lies from what it was trained on."),
    "report": ("validate", "Profile, checks and drift as one HTML file."),
    "tune": ("tune", "Run the trials of an experiment file on this machine."),
    "nni": ("nni", "Let an installed NNI start Hanok in the place of its manager."),
    "study": ("study", "Studies: list, show, stop, resume, export, import."),
    "run": ("run", "Runs: list, show, compare, export, delete, move, fork."),
    "import": ("imports", "Bring an MLflow store over."),
    "sync": ("sync", "Bring runs that were logged offline to their store."),
    "experiment": ("experiment", "Experiments: list, delete, restore."),
    "sql": ("sql", "One SELECT over runs, params, tags and metrics."),
    "model": ("model", "Models: list, show, compare, history."),
    "feature": ("feature", "Features: views and services, values, training sets."),
    "table": ("table", "Tables: list, show, statistics."),
    "schema": ("schema", "Schemas declared for tables: declare, show, diff, accept."),
    "quarantine": ("quarantine", "Rows set aside: list, mend and replay."),
    "alert": ("alert", "Alerts: list, show, mark as benign."),
    "job": ("job", "Jobs: list, cancel; events that a reaction gave up: events, replay."),
    "prediction": ("prediction", "Predictions: list, show, batches."),
    "why": ("why", "Causes of a strange prediction, alert or day."),
    "reproduce": ("why", "Rebuild a version from the graph and compare its bytes."),
    "user": ("user", "Users: add, list, disable, enable, password."),
    "token": ("token", "API tokens: create, list, revoke."),
    "role": ("role", "Roles in projects: grant, list, revoke."),
    "project": ("projects", "Projects: list, assign."),
    "audit": ("audit", "Who did what, from where, and what came of it."),
    "lineage": ("upkeep", "All that a node came from and all that came from it."),
    "gc": ("gc", "Remove deleted runs for good, with their artifacts."),
    "doctor": ("upkeep", "Read everything in the home; say what is damaged, and what to do."),
    "backup": ("upkeep", "Copy the whole home into one file."),
    "restore": ("upkeep", "Make a home from a backup."),
}


MEANT = {
    "serve": "up", "server": "up", "start": "up", "ui": "up", "web": "up",
    "new": "init", "create": "init", "add": "ingest", "load": "ingest", "upload": "ingest", "fit": "train",
    "validate": "check", "test": "check", "score": "predict", "infer": "predict",
    "simulate": "replay", "revert": "rollback", "undo": "rollback",
    "data": "table", "dataset": "table", "registry": "model", "log": "run", "trace": "prediction", "search": "tune",
    "evaluate": "measure", "performance": "measure", "monitor": "measure", "status": "doctor", "fsck": "doctor",
    "explain": "why", "graph": "lineage", "plan": "apply", "query": "sql",
}  # fmt: skip
"""What people call a command elsewhere."""


class Lazy(click.Group):
    """Knows names and summaries; imports a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"hanok.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, "import_" if cmd_name == "import" else cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; for a word that is none, the near one is named."""
        word = args[0] if args else ""
        if word and not word.startswith("-") and word not in COMMANDS:
            ctx.fail(f"there is no command {word!r}{meant(word) or '.'} All commands: hanok --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def meant(word: str) -> str:
    """`"; did you mean 'train'?"`, or nothing when no command is near."""
    from difflib import get_close_matches

    lower = word.lower()
    singular = lower.removesuffix("s")
    near = next((w for w in (lower, singular) if w in COMMANDS), "") or MEANT.get(lower) or MEANT.get(singular, "")
    found = [near] if near else get_close_matches(lower, [*COMMANDS, *MEANT], n=1, cutoff=0.6)
    return f"; did you mean {MEANT.get(found[0], found[0])!r}?" if found else ""


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="hanok")
def cli() -> None:
    """Hanok: one MLOps system on one lineage graph.

    Results go to stdout (--json: one JSON value), everything else to stderr. Exit status: 0 done, 1 failed,
    2 wrong use, 3 unreachable or locked.
    """


def main() -> None:
    """The entry point: errors that teach, never a traceback for what a user can mend."""
    from hanok.core.errors import HanokError

    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except HanokError as error:
        from hanok.cli.output import show_error

        show_error(error, as_json="--json" in sys.argv)
        sys.exit(getattr(error, "exit_status", error.exit_code))
