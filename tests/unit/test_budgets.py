"""What importing may cost, counted in modules so that no clock is asked."""

import subprocess
import sys

HEAVY = (
    "numpy",
    "pyarrow",
    "duckdb",
    "sqlalchemy",
    "deltalake",
    "lightgbm",
    "sklearn",
    "optuna",
    "starlette",
    "pandas",
)


def loaded(code):
    script = f"{code}\nimport sys; print(' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_importing_hanok_loads_nothing_heavy():
    assert not loaded("import hanok") & set(HEAVY)


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['hanok', '--help']\nfrom hanok.cli import cli\ntry:\n  cli()\nexcept SystemExit: pass"
    )
    script = f"{code}\nprint('::', ' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not set(out.rpartition("::")[2].split()) & set(HEAVY)


def test_declaring_a_project_loads_nothing_heavy():
    code = "import hanok as hk\nhk.FeatureView('v', keys='k', source=hk.Source('t', event_time='at'), features=['x'])"
    assert not loaded(code) & set(HEAVY)


def test_serving_never_imports_a_training_library():
    code = "import hanok.server.run, hanok.engine.app"
    assert not loaded(code) & {"lightgbm", "sklearn", "optuna", "pandas", "scipy", "dbos"}
